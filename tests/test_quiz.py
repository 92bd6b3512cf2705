import ast
import re

import numpy as np
import pytest
from conftest import run_cli

from scratchformer.engine.plain import plain_functions
from scratchformer.engine.steps import backward_steps, forward_steps
from scratchformer.system.errors import RunError
from scratchformer.system.program import command_line
from scratchformer.tools.quiz import errors as quiz_errors
from scratchformer.tools.quiz.errors import QUIZZES, Quiz
from scratchformer.tools.quiz.quiz import bare_source, handed_out, plant, quiz
from scratchformer.tools.quiz.trial import CASES, Trial, judge_backward, step_of

FIRST_WRONG = {                         # what the judge names: where the planted error is
    "loss": "probs", "probs": "logits", "probs-2": "logits", "linear": "b_unembed", "linear-2": "resid_post",
    "residual": "resid_mid", "ffn_hidden": "ffn_pre", "ffn_hidden-2": "ffn_pre", "ffn_pre": "resid_mid",
    "attn_out": "mixed", "mixed": "v", "attention": "scores", "attention-2": "scores",
    "attention-3": "scores", "scores": "q", "project": "W_q", "embed": "pos_embed", "pos_embed": "W_pos",
    "token_embed": "W_token",
}
DEF = "def ffn_hidden_backward(dffn_hidden, ffn_pre, dffn_pre):\n"
GRADIENTS = [(step.name, fill) for step in backward_steps() for fill in step.fills]


def backward_of(name):
    return step_of(QUIZZES[name].step).function.__name__


def engine_source(name):
    return bare_source(step_of(QUIZZES[name].step).function)


@pytest.mark.parametrize("name", QUIZZES)
def test_handed_out_then_wrong_then_repaired(name, tmp_path):
    path = tmp_path / "quiz" / f"{name}.py"
    text, code = quiz(name, path.parent)
    assert code == 0 and str(path) in text and command_line(f"--quiz {name}") in text
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    given = path.read_text("utf-8")

    text, code = quiz(name, path.parent)
    assert code == 1
    first, second, third, unchanged, last = text.splitlines()
    assert unchanged == "the file is unchanged so far"
    label = first.split()[1].removesuffix(",")
    assert first.startswith(f"wrong: {label}, the gradient of {FIRST_WRONG[name]} (")
    assert label in ast.unparse(ast.parse(given).body[-1].args).split(", ")
    assert second.startswith(f"worst: {label}[") and "the measured slope" in second
    assert third.startswith("right so far: ") and f"{label}," not in third
    assert last == f"a hint: {command_line(f'--quiz {name}')} --hint"
    assert path.read_text("utf-8") == given                     # never overwritten

    repaired = given.replace(plant(name), engine_source(name))
    assert repaired != given
    path.write_text(repaired, "utf-8")
    text, code = quiz(name, path.parent)
    right, *following = text.splitlines()
    assert (right[:49], code) == ("right: all gradients agree (worst relative error ", 0)
    assert float(right[49:-1]) < 1e-8
    names = list(QUIZZES)
    after = names[names.index(name) + 1 :][:1]
    assert following == [f"next: {command_line(f'--quiz {each}')}" for each in after]
    quiz(name, path.parent, fresh=True)
    assert path.read_text("utf-8") == given


@pytest.mark.parametrize("name", QUIZZES)
def test_the_file_says_what_to_do_and_not_the_solution(name):
    text = handed_out(name)
    assert text.startswith(f"# Quiz {name}: one error is planted in {backward_of(name)}.")
    made = forward_steps()[QUIZZES[name].step]
    forward = getattr(made.function, "py_func", made.function)
    comment = "".join(line[1:] for line in text.splitlines() if line.startswith("#"))
    assert "".join(forward.__doc__.split()) in "".join(comment.split()) and f"#     {made.formula}\n" in text
    (function,) = ast.parse(text).body
    assert function.name == backward_of(name) and ast.get_docstring(function) is None
    backward = step_of(QUIZZES[name].step).function
    solution = getattr(backward, "py_func", backward).__doc__
    assert not re.search(r"\S {3,}#", text.split("\n\n\n")[1])       # no comment tells by its place
    assert solution.splitlines()[0] not in text and QUIZZES[name].hint not in text
    assert all(len(line) <= 110 for line in text.splitlines())


def test_hint_only_when_asked(tmp_path):
    hint = "hint: " + QUIZZES["ffn_hidden"].hint
    assert hint not in quiz("ffn_hidden", tmp_path)[0]
    assert hint not in quiz("ffn_hidden", tmp_path)[0]
    text, code = quiz("ffn_hidden", tmp_path, hint=True)
    assert code == 1 and text.splitlines()[-1] == hint
    assert quiz("linear", tmp_path, hint=True)[0].splitlines()[-1] == "hint: " + QUIZZES["linear"].hint


def test_no_hint_for_what_is_right(tmp_path):
    (tmp_path / "ffn_hidden.py").write_text(engine_source("ffn_hidden"), "utf-8")
    text, code = quiz("ffn_hidden", tmp_path, hint=True)
    assert code == 0 and text.startswith("right: ") and "hint" not in text


@pytest.mark.parametrize(("text", "complaint"), [
    ("\n\n" + DEF + "    dffn_pre[:] = q\n", ":4: NameError: name 'q' is not defined"),
    (DEF + "\n    np.dot(dffn_hidden, ffn_pre, out=dffn_pre)\n", ":3: ValueError: "),
    ("dx = ffn_hidden_backward\n", ":1: NameError: name 'ffn_hidden_backward' is not defined"),
    ("def ffn_hidden_backward(dp, p):\n    pass\n", ": TypeError: ffn_hidden_backward() takes 2"),
    ("def ffn_hidden_backwards(dp, p, dx):\n    pass\n", ": there is no function ffn_hidden_backward in it"),
    ("raise ValueError('two\\nlines')\n", ":1: ValueError: two lines"),
    ("import sys\nsys.exit()\n", ":2: SystemExit: "),
    (DEF + "    exit(0)\n", ":2: SystemExit: 0"),
])
def test_mistakes_are_told_in_one_line(text, complaint, tmp_path):
    path = tmp_path / "ffn_hidden.py"
    path.write_text(text)
    said, code = quiz("ffn_hidden", tmp_path)
    first, hint = said.splitlines()
    assert code == 1 and first.startswith(f"{path}{complaint}")
    assert hint.startswith("a hint: ")


def test_a_syntax_error_shows_the_line_and_the_place(tmp_path):
    (tmp_path / "ffn_hidden.py").write_text(DEF + "    dffn_pre[:] = = p\n")
    said, code = quiz("ffn_hidden", tmp_path)
    where, line, caret, _ = said.splitlines()
    assert code == 1 and where.endswith(":2: SyntaxError: invalid syntax")
    assert line.strip() == "dffn_pre[:] = = p"
    assert line[caret.index("^")] == "=" and line.count("=", 0, caret.index("^")) == 1


@pytest.mark.parametrize("text", [DEF + "    while True: pass\n", "while True: pass\n"])
def test_a_loop_that_never_ends_is_ended(text, tmp_path, monkeypatch):
    monkeypatch.setattr("scratchformer.tools.quiz.answer.SECONDS", 0.2)
    (tmp_path / "ffn_hidden.py").write_text(text)
    said, code = quiz("ffn_hidden", tmp_path)
    assert code == 1 and "ffn_hidden.py: has not come to an end after 0.2 s" in said


@pytest.mark.parametrize(("body", "said"), [
    ("pass", "nothing is written into dffn_pre, which comes filled with nan: write dffn_pre[...] = ..."),
    ("dffn_pre[:] = np.nan", "nothing is written into dffn_pre"),
    ("dffn_pre = dffn_hidden * (ffn_pre > 0)", "line 2 gives the name dffn_pre to another array; write into"),
])
def test_an_answer_that_is_not_written_into_the_array(body, said, tmp_path):
    (tmp_path / "ffn_hidden.py").write_text(DEF + f"    {body}\n")
    text, code = quiz("ffn_hidden", tmp_path)
    assert code == 1 and text.startswith(f"wrong: {said}")


@pytest.mark.parametrize("body", [
    "dffn_pre[:] = ffn_pre / np.zeros(1)", "dffn_pre[0] = np.nan; dffn_pre[1:] = 0",
])
def test_what_is_not_a_number_is_wrong(body, tmp_path):
    (tmp_path / "ffn_hidden.py").write_text(DEF + f"    {body}\n")
    text, code = quiz("ffn_hidden", tmp_path)
    assert code == 1 and text.startswith("wrong: dffn_pre, ")


def test_the_learner_cannot_touch_the_judge(tmp_path):
    source = "def ffn_hidden_forward(x, p):\n    p[:] = 1\n\n\n" + engine_source("ffn_hidden")
    (tmp_path / "ffn_hidden.py").write_text(source, "utf-8")
    assert quiz("ffn_hidden", tmp_path)[1] == 0


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "linear.py").mkdir()
    with pytest.raises(RunError, match=r"linear\.py: cannot be read"):
        quiz("linear", tmp_path)
    (tmp_path / "ffn_hidden.py").write_bytes(b"# \xff\n")
    with pytest.raises(RunError, match=r"ffn_hidden\.py: cannot be read"):
        quiz("ffn_hidden", tmp_path)


def test_unknown_name(tmp_path):
    with pytest.raises(RunError, match="no quiz 'atention'; did you mean 'attention'?"):
        quiz("atention", tmp_path)
    with pytest.raises(RunError, match=f"no quiz 'zzz'; there are list, {', '.join(QUIZZES)}"):
        quiz("zzz", tmp_path)
    assert not list(tmp_path.iterdir())


def test_list():
    text, code = quiz("list")
    assert quiz() == (text, code)
    lines = text.splitlines()
    assert code == 0 and len(lines) == len(QUIZZES) + 1
    for line, (name, entry) in zip(lines, QUIZZES.items(), strict=False):
        assert line.split(maxsplit=1) == [name, entry.question]


def test_every_backward_function_has_a_quiz():
    functions = {name for name in plain_functions() if name.endswith("_backward")}
    assert functions == set(map(backward_of, QUIZZES))


def test_an_engine_that_has_changed_is_noticed(monkeypatch):
    monkeypatch.setitem(quiz_errors.QUIZZES, "odd", Quiz("ffn_hidden", "", (("no such line", ""),), ""))
    with pytest.raises(AssertionError, match="quiz odd: the engine does not hold once: no such line"):
        plant("odd")


@pytest.mark.parametrize(("name", "fill"), GRADIENTS)
def test_an_error_of_a_thousandth_is_caught(name, fill):
    step = step_of(name)
    engine, at = plain_functions()[step.function.__name__], step.arguments.index(fill)

    def planted(*args):
        engine(*args)
        args[at][...] *= 1.001

    lines, code = judge_backward(planted, name)
    assert code == 1 and lines[0].startswith("wrong: d") and f"the gradient of {fill[1]} (" in lines[0]


def test_the_cases_hold_what_is_hard():
    assert any(sizes["T"] == 1 for sizes in CASES) and any(sizes["L"] > sizes["T"] for sizes in CASES)
    assert any(min(sizes["B"], sizes["H"], sizes["T"], sizes["D"]) > 1 for sizes in CASES)
    assert {sizes["flag"] for sizes in CASES} == {True, False}
    empty = []
    for number, sizes in enumerate(CASES):
        rng = np.random.default_rng(number)
        tokens = Trial("token_embed", sizes, rng).inputs["c", "tokens"]
        assert len(np.unique(tokens)) < tokens.size             # some token is read twice
        targets = Trial("probs", sizes, rng).inputs["c", "targets"]
        assert (targets == -1).any() and (targets >= 0).any()
        empty.append(Trial("attn_out", sizes, rng).inputs["p", "W_o"].size == 0)
        trial = Trial("ffn_hidden", sizes, np.random.default_rng(number))
        assert np.abs(trial.inputs["c", "ffn_pre"]).min() > 1e-3        # far from ReLU's kink
    assert set(empty) == {True, False}


def test_a_quiz_through_the_command_line(tmp_path):
    def take(*options):
        return run_cli("--quiz", "attention", *options, cwd=tmp_path)

    assert "attention" in run_cli("--quiz", "list", cwd=tmp_path).stdout
    assert take().returncode == 0 and (tmp_path / "quiz" / "attention.py").is_file()
    wrong = take()
    assert wrong.returncode == 1 and wrong.stderr == "" and len(take("--hint").stdout) > len(wrong.stdout)
    unknown = run_cli("--quiz", "attentoin", cwd=tmp_path)
    assert unknown.returncode == 2 and "did you mean 'attention'?" in unknown.stderr
    assert run_cli("plus_last_even", "--hint", cwd=tmp_path).returncode == 2
