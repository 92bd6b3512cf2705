"""The course: handed out, judged, hinted at, and a judge that 200 mistakes do not get past."""

import ast
import copy
import inspect
import json
import textwrap

import numpy as np
import pytest
from conftest import run_cli

from scratchformer.engine.plain import plain_functions
from scratchformer.run.foreign import TooLong, limited
from scratchformer.system.errors import RunError
from scratchformer.system.program import command_line
from scratchformer.tools.course import course as course_module
from scratchformer.tools.course.course import (
    course, empty_function, engine_source, judge_written, lesson_text,
)
from scratchformer.tools.course.judge import judge_functions
from scratchformer.tools.course.lessons import LESSONS
from scratchformer.tools.quiz.quiz import bare_source

FUNCTIONS = [name for lesson in LESSONS.values() for name in lesson.functions]


def source_of(name):
    """The engine's function without its decorator and docstring."""
    return bare_source(plain_functions()[name].__code__)


def solved(name):
    """A lesson's file with the engine's bodies in it."""
    text = lesson_text(name)
    for each in LESSONS[name].functions:
        text = text.replace(empty_function(each), source_of(each))
    return text


def verdict_on(name, source):
    """(lines, exit code) of one function, written as `source`; what it raises is a mistake as well."""
    namespace = plain_functions()
    del namespace[name]
    exec(source, namespace)
    try:
        with limited(20, lambda: "late"):
            return judge_functions({name: namespace[name]}, {})
    except TooLong:
        return ["does not end"], 1
    except Exception as error:
        return [str(error)], 1


@pytest.mark.parametrize("name", LESSONS)
def test_lesson_text_then_empty_then_solved(name, tmp_path):
    folder = tmp_path / "course"
    text, code = course(name, folder)
    path = folder / f"{name.replace('-', '_')}.py"
    assert code == 0 and str(path) in text and LESSONS[name].task in text
    given = path.read_text("utf-8")
    assert given == lesson_text(name) and all(len(line) <= 110 for line in given.splitlines())

    text, code = course(name, folder)
    assert code == 1 and "wrong" in text and "the file is unchanged so far" in text
    assert path.read_text("utf-8") == given

    path.write_text(solved(name), "utf-8")
    text, code = course(name, folder)
    assert code == 0 and text.count("right: ") == len(LESSONS[name].functions)
    assert text.splitlines()[-1].startswith("1 of 12 are right; next: ")
    assert json.loads((folder / "progress.json").read_text())[name]["right"] is True
    course(name, folder, fresh=True)
    assert path.read_text("utf-8") == given


@pytest.mark.parametrize("name", LESSONS)
def test_the_file_does_not_hold_the_solution(name):
    text = lesson_text(name)
    for each in LESSONS[name].functions:
        (function,) = (node for node in ast.parse(text).body if getattr(node, "name", "") == each)
        assert isinstance(function.body[0].value, ast.Constant)
        body = [line.strip() for line in source_of(each).splitlines()[1:]]
        assert not [line for line in body if "=" in line and len(line) > 20 and line in text]
    assert not any(hint in text for hint in LESSONS[name].hints)
    for each in LESSONS[name].functions:
        assert f"def {each}(" in engine_source(name)


def test_twelve_lessons_from_softmax_to_adam():
    names = list(LESSONS)
    assert len(names) == 12 and (names[0], names[-1]) == ("softmax", "adam")
    assert len(set(FUNCTIONS)) == len(FUNCTIONS)
    assert all(len(lesson.hints) == 3 for lesson in LESSONS.values())


def test_hints_grow_and_are_kept(tmp_path):
    course("relu", tmp_path)
    hints = LESSONS["relu"].hints
    for count in (1, 2, 3, 3):
        text, code = course("relu", tmp_path, hint=True)
        assert code == 1
        assert [hint in text for hint in hints] == [number < count for number in range(3)]
    assert command_line("--course relu --solution") in text
    assert "3 hints" in course(None, tmp_path)[0]
    text, code = course("relu", tmp_path, solution=True)
    assert code == 0 and "max(ffn_pre[b, t, f], 0)" in text and "@jit" not in text
    assert "3 hints, solution seen" in course(None, tmp_path)[0]


def test_where_one_is(tmp_path):
    text, code = course(None, tmp_path / "none")
    assert code == 0 and len(text.splitlines()) == 13 and not (tmp_path / "none").exists()
    course("3", tmp_path)
    assert (tmp_path / "loss_back.py").exists() and " 3 loss-back    begun" in course(None, tmp_path)[0]


@pytest.mark.parametrize("damaged", ["", "[]", '{"relu": 3}', '{"relu": {"hints": "x"}}', "{"])
def test_a_damaged_progress_file_is_told(damaged, tmp_path):
    (tmp_path / "progress.json").write_text(damaged)
    with pytest.raises(RunError, match=r"progress\.json: cannot be read"):
        course(None, tmp_path)


@pytest.mark.parametrize(("body", "said"), [
    ("while True: pass", "has not come to an end"),
    ("raise ValueError('no idea')", ":2: ValueError: no idea"),
    ("ffn_hidden_forward(ffn_pre, ffn_hidden)", "RecursionError"),
    ("import sys; sys.exit(0)", "SystemExit"),
    ("ffn_hidden[:] = np.empty(10**15)", "MemoryError"),
    ("ffn_hidden[:] = = 3", "SyntaxError"),
    ("ffn_hidden = np.maximum(ffn_pre, 0)", "line 2 gives the name ffn_hidden to another array"),
    ("ffn_pre[ffn_pre < 0] = 0; ffn_hidden[:] = ffn_pre", "it changes ffn_pre, which it may only read"),
    ("return np.maximum(ffn_pre, 0)", "nothing is written into ffn_hidden"),
])
def test_what_goes_wrong_is_told_in_one_kind_sentence(body, said, tmp_path, monkeypatch):
    monkeypatch.setattr("scratchformer.tools.quiz.answer.SECONDS", 0.5)
    source = f"def ffn_hidden_forward(ffn_pre, ffn_hidden):\n    {body}\n\n\n"
    source += source_of("ffn_hidden_backward")
    (tmp_path / "relu.py").write_text(source, "utf-8")
    text, code = course("relu", tmp_path)
    assert code == 1 and said in text.splitlines()[0], text
    assert len(text.splitlines()) <= 4


def test_unknown_lesson(tmp_path):
    with pytest.raises(RunError, match="no lesson 'softmaxx'; did you mean 'softmax'?"):
        course("softmaxx", tmp_path)
    for number in ("0", "13", "-1"):
        with pytest.raises(RunError, match="no lesson"):
            course(number, tmp_path)


def test_all_twelve_train_the_engine_s_model(tmp_path, monkeypatch):
    monkeypatch.setattr("scratchformer.tools.course.train.STEPS", 4)
    assert "no function of yours yet" in course("train", tmp_path)[0]
    for name in LESSONS:
        (tmp_path / f"{name.replace('-', '_')}.py").write_text(solved(name), "utf-8")
        text, code = course(name, tmp_path)
        assert code == 0
    assert text.splitlines()[-1].startswith("all 12 are right: ")
    text, code = course("train", tmp_path)
    assert code == 0 and f"{len(FUNCTIONS)} functions of yours" in text and "apart by at most 0.0e+00" in text
    path = tmp_path / "adam.py"
    path.write_text(path.read_text("utf-8").replace("theta[i] -=", "theta[i] +="), "utf-8")
    text, code = course("train", tmp_path)
    assert code == 1 and text.endswith("not the same model")


def loss_forward(probs, targets, loss):
    there = targets >= 0
    loss[()] = -np.log(np.take_along_axis(probs, targets[..., None], -1)[..., 0][there]).mean()


def test_in_a_notebook(tmp_path):
    namespace = plain_functions()
    exec("def loss_forward(probs, targets, loss):\n    loss[()] = 0", namespace)
    text, code = judge_written("loss", [namespace["loss_forward"]], tmp_path)
    assert code == 1 and "should be" in text and not (tmp_path / "progress.json").exists()
    text, code = judge_written("loss", [loss_forward], tmp_path)
    assert code == 0 and course_module.state_of("loss", tmp_path)["right"]
    assert "def loss_forward(" in (tmp_path / "loss.py").read_text("utf-8")
    assert course("train", tmp_path)[1] == 0
    with pytest.raises(RunError, match="relu asks for ffn_hidden_forward, ffn_hidden_backward: "):
        judge_written("relu", [plain_functions()["ffn_hidden_forward"]], tmp_path)


def test_through_the_command_line(tmp_path):
    assert run_cli("--course", cwd=tmp_path).stdout.count("\n") == 13
    assert run_cli("course", "softmax", cwd=tmp_path).returncode == 0
    wrong = run_cli("course", "softmax", "--hint", cwd=tmp_path)
    assert wrong.returncode == 1 and "hint 1 of 3" in wrong.stdout and wrong.stderr == ""
    unknown = run_cli("course", "sofmax", cwd=tmp_path)
    assert unknown.returncode == 2 and "did you mean 'softmax'?" in unknown.stderr


# mistakes: every small change of the engine's own functions

class Mutate(ast.NodeTransformer):
    """Changes the number-th place that can be changed; `count` is how many there are."""

    def __init__(self, number):
        self.number, self.count = number, 0

    def choose(self, node, options):
        """The node, or one of the options in its place."""
        for option in options:
            if self.count == self.number:
                self.count += 1
                return option
            self.count += 1
        return node

    def visit_BinOp(self, node):
        self.generic_visit(node)
        swaps = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult}
        other = copy.copy(node)
        other.op = swaps[type(node.op)]()
        return self.choose(node, [other, node.left, node.right])

    def visit_AugAssign(self, node):
        self.generic_visit(node)
        plain = ast.Assign([node.target], node.value)
        swaps = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
        other = ast.AugAssign(node.target, swaps[type(node.op)](), node.value)
        return self.choose(node, [plain, other, ast.Pass()])

    def visit_Assign(self, node):
        self.generic_visit(node)
        options = [ast.Pass()]
        if isinstance(node.targets[0], ast.Subscript):
            options.append(ast.AugAssign(node.targets[0], ast.Add(), node.value))
        return self.choose(node, options)

    def visit_Compare(self, node):
        self.generic_visit(node)
        swaps = {ast.Gt: ast.Lt, ast.GtE: ast.Lt, ast.Eq: ast.NotEq}
        other = ast.Compare(node.left, [swaps[type(node.ops[0])]()], node.comparators)
        return self.choose(node, [other, ast.Constant(True), ast.Constant(False)])

    def visit_Attribute(self, node):
        self.generic_visit(node)
        return self.choose(node, [node.value]) if node.attr == "T" else node

    def visit_Constant(self, node):
        number = isinstance(node.value, int | float) and not isinstance(node.value, bool)
        return self.choose(node, [ast.Constant(node.value + 1)]) if number else node

    def visit_For(self, node):
        self.generic_visit(node)
        none, fewer = ast.parse("range(0)").body[0].value, copy.deepcopy(node.iter)
        fewer.args[-1] = ast.BinOp(fewer.args[-1], ast.Sub(), ast.Constant(1))
        return self.choose(node, [ast.For(node.target, over, node.body, []) for over in (none, fewer)])

    def visit_Subscript(self, node):
        self.generic_visit(node)
        inner = node.slice
        if isinstance(inner, ast.Tuple) and len(inner.elts) > 1:
            first = ast.Tuple([*inner.elts[:-1], ast.Constant(0)], ast.Load())
            return self.choose(node, [ast.Subscript(node.value, first, node.ctx)])
        return node


SAME = (                                # changes that change nothing, or nothing that the lesson asks for
    "TINY", "loss[()] = total / count if True else nan", "dW_pos[t, c] += dpos_embed[t, c]",
)


def mutants(name):
    """(what was changed, source) of every mutant of a function."""
    source = source_of(name)
    number = 0
    while True:
        mutate = Mutate(number)
        tree = ast.fix_missing_locations(mutate.visit(ast.parse(source)))
        if number >= mutate.count:
            return
        number += 1
        yield ast.unparse(tree)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_mistake_gets_past_the_judge(name):
    plain = ast.unparse(ast.parse(source_of(name)))
    for source in mutants(name):
        changed = sorted(set(source.splitlines()) - set(plain.splitlines()))
        if source != plain and not any(same in line for same in SAME for line in changed):
            lines, code = verdict_on(name, source)
            assert code == 1, f"accepted: {changed}"


def test_there_are_enough_mistakes():
    counts = {name: sum(1 for _ in mutants(name)) for name in FUNCTIONS}
    assert sum(counts.values()) >= 400 and min(counts.values()) >= 8


VARIANTS = [
    ("softmax_forward", """
        e = np.where(np.arange(x.shape[2]) <= np.arange(x.shape[1])[:, None], x, -np.inf) if causal else x
        e = np.exp(e - e.max(axis=-1, keepdims=True))
        p[...] = e / e.sum(axis=-1, keepdims=True)"""),
    ("softmax_forward", """
        for n in range(len(x)):
            for i, row in enumerate(x[n]):
                seen = row[:i + 1] if causal else row
                e = np.exp(seen - max(seen))
                p[n, i] = 0
                p[n, i, :len(seen)] = e / sum(e)"""),
    ("softmax_forward", """
        y = x + np.triu(np.full(x.shape[1:], -1e300), 1) * causal
        m = np.max(y, -1)[..., None]
        p[:] = np.exp(y - m - np.log(np.sum(np.exp(y - m), -1, keepdims=True)))"""),
    ("loss_forward", """
        chosen = [-log(probs[b, t, y]) for b, row in enumerate(targets) for t, y in enumerate(row) if y >= 0]
        loss[...] = sum(chosen) / len(chosen)"""),
    ("loss_forward", """
        there = targets >= 0
        loss[()] = -np.log(np.take_along_axis(probs, targets[..., None], -1)[..., 0][there]).mean()"""),
    ("probs_backward", """
        onehot = np.eye(probs.shape[2])[targets]
        dlogits[...] = (probs - onehot) * (targets >= 0)[..., None] / (targets >= 0).sum()"""),
    ("probs_backward", """
        n = count_targets(targets)
        dlogits[...] = 0
        for b, t in zip(*np.nonzero(targets >= 0)):
            dlogits[b, t] = probs[b, t] / n
            dlogits[b, t, targets[b, t]] -= 1 / n"""),
    ("linear_forward", "y[...] = x @ W + b"),
    ("linear_forward", 'y[:] = np.einsum("btn,nm->btm", x, W) + b'),
    ("linear_forward", """
        for i in range(y.shape[0]):
            for t in range(y.shape[1]):
                for j in range(y.shape[2]):
                    y[i, t, j] = b[j] + sum(x[i, t, n] * W[n, j] for n in range(len(W)))"""),
    ("linear_backward", """
        dx[...] = dy @ W.T
        dW[...] = np.einsum("btn,btm->nm", x, dy)
        db[...] = dy.sum(axis=(0, 1))"""),
    ("linear_backward", """
        dx[...] = np.einsum("btm,nm->btn", dy, W)
        dW[...] = np.tensordot(x, dy, axes=([0, 1], [0, 1]))
        db[...] = np.ones(dy.shape[0] * dy.shape[1]) @ dy.reshape(-1, dy.shape[2])"""),
    ("linear_backward", """
        dx[...], dW[...], db[...] = 0, 0, 0
        for b in range(dy.shape[0]):
            for t in range(dy.shape[1]):
                db += dy[b, t]
                dW += np.outer(x[b, t], dy[b, t])
                dx[b, t] = W @ dy[b, t]"""),
    ("ffn_hidden_forward", "np.maximum(ffn_pre, 0, out=ffn_hidden)"),
    ("ffn_hidden_forward", "ffn_hidden[...] = ffn_pre * (ffn_pre > 0)"),
    ("ffn_hidden_forward", "ffn_hidden[...] = (ffn_pre + np.abs(ffn_pre)) / 2"),
    ("ffn_hidden_backward", "dffn_pre[...] = np.where(ffn_pre > 0, dffn_hidden, 0)"),
    ("ffn_hidden_backward", "dffn_pre[...] = dffn_hidden * np.heaviside(ffn_pre, 0)"),
    ("attention_backward", """
        g = dattention * attention
        dscores[...] = g - attention * g.sum(-1, keepdims=True)"""),
    ("attention_backward", """
        for at in np.ndindex(attention.shape[:3]):
            p = attention[at]
            dscores[at] = (np.diag(p) - np.outer(p, p)) @ dattention[at]"""),
    ("scores_forward", "scores[...] = q @ k.swapaxes(2, 3) / sqrt(q.shape[3])"),
    ("scores_forward", 'scores[...] = np.einsum("bhtd,bhsd->bhts", q, k) * q.shape[-1] ** -0.5'),
    ("scores_backward", """
        root = np.sqrt(q.shape[3])
        dq[...] = np.matmul(dscores, k) / root
        dk[...] = np.einsum("bhts,bhtd->bhsd", dscores, q) / root"""),
    ("scores_backward", """
        dq[...], dk[...] = 0, 0
        for b, h, t, s in np.ndindex(dscores.shape):
            dq[b, h, t] += dscores[b, h, t, s] * k[b, h, s] / sqrt(q.shape[3])
            dk[b, h, s] += dscores[b, h, t, s] * q[b, h, t] / sqrt(q.shape[3])"""),
    ("mixed_forward", "mixed[...] = attention @ v"),
    ("mixed_forward", 'np.einsum("bhts,bhsd->bhtd", attention, v, out=mixed)'),
    ("mixed_backward", """
        dattention[...] = dmixed @ v.transpose(0, 1, 3, 2)
        dv[...] = attention.transpose(0, 1, 3, 2) @ dmixed"""),
    ("mixed_backward", """
        for b, h, t, s in np.ndindex(attention.shape):
            dattention[b, h, t, s] = dmixed[b, h, t] @ v[b, h, s]
        for b, h, s in np.ndindex(v.shape[:3]):
            dv[b, h, s] = sum(attention[b, h, t, s] * dmixed[b, h, t] for t in range(v.shape[2]))"""),
    ("project_forward", 'q[...] = np.einsum("btc,chd->bhtd", embed, W)'),
    ("project_forward", """
        for h in range(W.shape[1]):
            q[:, h] = embed @ W[:, h]"""),
    ("project_backward", """
        dembed += np.einsum("bhtd,chd->btc", dq, W)
        dW[...] = np.einsum("btc,bhtd->chd", embed, dq)"""),
    ("project_backward", """
        dW[...] = 0
        for b, h in np.ndindex(dq.shape[:2]):
            dembed[b] += dq[b, h] @ W[:, h].T
            dW[:, h] += embed[b].T @ dq[b, h]"""),
    ("embed_backward", """
        dtoken_embed[...] = dembed
        dpos_embed[...] = dembed.sum(0)"""),
    ("pos_embed_backward", """
        dW_pos[len(dpos_embed):] = 0
        dW_pos[:len(dpos_embed)] = dpos_embed"""),
    ("token_embed_backward", """
        dW_token[...] = 0
        np.add.at(dW_token, tokens, dtoken_embed)"""),
    ("token_embed_backward", """
        for i in range(len(dW_token)):
            dW_token[i] = dtoken_embed[tokens == i].sum(0)"""),
    ("adam_update", """
        b1, b2, eps, decay = settings
        m[...] = b1 * m + (1 - b1) * gradient
        v[...] = b2 * v + (1 - b2) * gradient ** 2
        way = m / (1 - b1 ** step) / (np.sqrt(v / (1 - b2 ** step)) + eps)
        theta -= learning_rate * (way + decay * theta)"""),
    ("adam_update", """
        m += (1 - settings.beta1) * (gradient - m)
        v += (1 - settings.beta2) * (gradient * gradient - v)
        theta *= 1 - learning_rate * settings.weight_decay
        mean, spread = m / (1 - settings.beta1 ** step), v / (1 - settings.beta2 ** step)
        theta -= learning_rate * mean / (spread ** 0.5 + settings.epsilon)"""),
]


@pytest.mark.parametrize(("name", "body"), VARIANTS)
def test_no_right_answer_is_refused(name, body):
    labels = ", ".join(inspect.signature(plain_functions()[name]).parameters)
    lines, code = verdict_on(name, f"def {name}({labels}):\n{textwrap.indent(textwrap.dedent(body), '    ')}")
    assert code == 0, lines
