import ast

import numpy as np
import pytest
from conftest import run_cli

from scratchformer.engine.plain import plain_functions
from scratchformer.system.errors import RunError
from scratchformer.tools.quiz import errors as quiz_errors
from scratchformer.tools.quiz.errors import QUIZZES, Quiz
from scratchformer.tools.quiz.quiz import bare_source, find_function, handed_out, plant, quiz
from scratchformer.tools.quiz.trial import CASES, LAYERS, Trial, compare

FIRST_WRONG = {                         # what the judge names: where the planted error is
    "lm_head": "probs", "lm_head-2": "logits", "linear": "b", "linear-2": "x", "softmax": "x",
    "residual": "stream", "feed_forward": "ffn_pre", "feed_forward-2": "ffn_pre",
    "feed_forward-3": "resid_mid", "attention": "v", "attention-2": "k", "attention-3": "scores",
    "attention-4": "scores", "output": "mixed", "project": "W", "embedding": "pos_embed",
    "embedding-2": "W_token",
}
GRADIENTS = [
    (layer, name)
    for layer in LAYERS
    for name in Trial(layer, CASES[0], np.random.default_rng(0)).gradients(
        plain_functions()[f"{layer}_backward"]
    )
]


def backward_of(name):
    return f"{QUIZZES[name].layer}_backward"


def engine_source(name):
    return bare_source(LAYERS[QUIZZES[name].layer].module, backward_of(name))


@pytest.mark.parametrize("name", QUIZZES)
def test_handed_out_then_wrong_then_repaired(name, tmp_path):
    path = tmp_path / "quiz" / f"{name}.py"
    text, code = quiz(name, path.parent)
    assert code == 0 and str(path) in text and f"python run.py --quiz {name}" in text
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    given = path.read_text("utf-8")

    text, code = quiz(name, path.parent)
    assert code == 1
    first, second, third, last = text.splitlines()
    assert first.startswith(f"wrong: d{FIRST_WRONG[name]}, the gradient of {FIRST_WRONG[name]} (")
    assert second.startswith(f"worst: d{FIRST_WRONG[name]}[") and "the measured slope" in second
    assert third.startswith("right so far: ") and f"d{FIRST_WRONG[name]}," not in third
    assert last == f"a hint: python run.py --quiz {name} --hint"
    assert path.read_text("utf-8") == given                     # never overwritten

    repaired = given.replace(plant(name), engine_source(name))
    assert repaired != given
    path.write_text(repaired, "utf-8")
    text, code = quiz(name, path.parent)
    assert (text[:49], code) == ("right: all gradients agree (worst relative error ", 0)
    assert float(text[49:-1]) < 1e-8


def test_the_mask_can_be_repaired_where_it_was_forgotten(tmp_path):
    path = tmp_path / "attention-4.py"
    quiz("attention-4", tmp_path)
    given = path.read_text("utf-8")
    assert given.count("False") == 1
    path.write_text(given.replace("False", "True"), "utf-8")
    assert quiz("attention-4", tmp_path)[1] == 0


@pytest.mark.parametrize("name", QUIZZES)
def test_the_file_says_what_to_do_and_not_the_solution(name):
    text = handed_out(name)
    layer = LAYERS[QUIZZES[name].layer]
    assert text.startswith(f"# Quiz {name}: one error is planted in {backward_of(name)}.")
    forward = find_function(layer.module, f"{QUIZZES[name].layer}_forward")
    comment = "".join(line[1:] for line in text.splitlines() if line.startswith("#"))
    assert "".join(ast.get_docstring(forward).split()) in "".join(comment.split())
    (function,) = ast.parse(text).body
    assert function.name == backward_of(name) and ast.get_docstring(function) is None
    solution = ast.get_docstring(find_function(layer.module, backward_of(name)))
    assert solution.splitlines()[0] not in text and QUIZZES[name].hint not in text
    assert all(len(line) <= 110 for line in text.splitlines())


def test_hint_only_when_asked(tmp_path):
    hint = "hint: " + QUIZZES["softmax"].hint
    assert hint not in quiz("softmax", tmp_path)[0]
    assert hint not in quiz("softmax", tmp_path)[0]
    text, code = quiz("softmax", tmp_path, hint=True)
    assert code == 1 and text.splitlines()[-1] == hint
    assert quiz("linear", tmp_path, hint=True)[0].splitlines()[-1] == "hint: " + QUIZZES["linear"].hint


def test_no_hint_for_what_is_right(tmp_path):
    (tmp_path / "softmax.py").write_text(engine_source("softmax"), "utf-8")
    text, code = quiz("softmax", tmp_path, hint=True)
    assert code == 0 and text.startswith("right: ") and len(text.splitlines()) == 1


@pytest.mark.parametrize(("text", "complaint"), [
    ("def softmax_backward(dp, p, dx):\n    dx[:] = = p\n", ":2: SyntaxError: invalid syntax"),
    ("\n\ndef softmax_backward(dp, p, dx):\n    dx[:] = q\n", ":4: NameError: name 'q' is not defined"),
    ("def softmax_backward(dp, p, dx):\n\n    np.dot(dp, p, out=dx)\n", ":3: ValueError: "),
    ("dx = softmax_backward\n", ":1: NameError: name 'softmax_backward' is not defined"),
    ("def softmax_backward(dp, p):\n    pass\n", ": TypeError: softmax_backward() takes 2"),
    ("def softmax_backwards(dp, p, dx):\n    pass\n", ": there is no function softmax_backward in it"),
    ("raise ValueError('two\\nlines')\n", ":1: ValueError: two lines"),
    ("import sys\nsys.exit()\n", ":2: SystemExit: "),
    ("def softmax_backward(dp, p, dx):\n    exit(0)\n", ":2: SystemExit: 0"),
])
def test_mistakes_are_told_in_one_line(text, complaint, tmp_path):
    path = tmp_path / "softmax.py"
    path.write_text(text)
    said, code = quiz("softmax", tmp_path)
    first, hint = said.splitlines()
    assert code == 1 and first.startswith(f"{path}{complaint}")
    assert hint.startswith("a hint: ")


@pytest.mark.parametrize("body", ["pass", "dx[:] = p / np.zeros(1)", "dx[:] = np.nan"])
def test_what_is_not_a_number_is_wrong(body, tmp_path):
    (tmp_path / "softmax.py").write_text(f"def softmax_backward(dp, p, dx):\n    {body}\n")
    text, code = quiz("softmax", tmp_path)
    assert code == 1 and text.startswith("wrong: dx, ")


def test_the_learner_cannot_touch_the_judge(tmp_path):
    source = "def softmax_forward(x, causal, p):\n    p[:] = 1\n\n\n" + engine_source("softmax")
    (tmp_path / "softmax.py").write_text(source, "utf-8")
    assert quiz("softmax", tmp_path)[1] == 0


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "linear.py").mkdir()
    with pytest.raises(RunError, match=r"linear\.py: cannot be read"):
        quiz("linear", tmp_path)
    (tmp_path / "softmax.py").write_bytes(b"# \xff\n")
    with pytest.raises(RunError, match=r"softmax\.py: cannot be read"):
        quiz("softmax", tmp_path)


def test_unknown_name(tmp_path):
    with pytest.raises(RunError, match="no quiz 'atention'; did you mean 'attention'?"):
        quiz("atention", tmp_path)
    with pytest.raises(RunError, match=f"no quiz 'zzz'; there are list, {', '.join(QUIZZES)}"):
        quiz("zzz", tmp_path)
    assert not list(tmp_path.iterdir())


def test_list():
    text, code = quiz("list")
    lines = text.splitlines()
    assert code == 0 and len(lines) == len(QUIZZES) + 1
    for line, (name, entry) in zip(lines, QUIZZES.items(), strict=False):
        assert line.split(maxsplit=1) == [name, entry.question]


def test_every_backward_function_has_a_quiz():
    functions = {name for name in plain_functions() if name.endswith("_backward")}
    assert functions == {f"{layer}_backward" for layer in LAYERS} == set(map(backward_of, QUIZZES))


def test_an_engine_that_has_changed_is_noticed(monkeypatch):
    monkeypatch.setitem(quiz_errors.QUIZZES, "odd", Quiz("softmax", "", (("no such line", ""),), ""))
    with pytest.raises(AssertionError, match="quiz odd: the engine does not hold once: no such line"):
        plant("odd")


@pytest.mark.parametrize(("layer", "name"), GRADIENTS)
def test_an_error_of_a_thousandth_is_caught(layer, name):
    engine = plain_functions()[f"{layer}_backward"]
    at = Trial(layer, CASES[0], np.random.default_rng(0)).wanted.index(f"d{name}")

    def planted(*args):
        engine(*args)
        args[at][...] *= 1.001

    lines, code = compare(planted, layer)
    assert code == 1 and lines[0].startswith(f"wrong: d{name}, ")


def test_the_cases_hold_what_is_hard():
    assert any(sizes["T"] == 1 for sizes in CASES) and any(sizes["N"] != sizes["M"] for sizes in CASES)
    assert any(min(sizes["B"], sizes["H"], sizes["T"], sizes["D"]) > 1 for sizes in CASES)
    assert {sizes["flag"] for sizes in CASES} == {True, False}
    empty = []
    for number, sizes in enumerate(CASES):
        rng = np.random.default_rng(number)
        tokens = Trial("embedding", sizes, rng).inputs["tokens"]
        assert len(np.unique(tokens)) < tokens.size             # some token is read twice
        targets = Trial("lm_head", sizes, rng).inputs["targets"]
        assert (targets == -1).any() and (targets >= 0).any()
        empty.append(Trial("attention", sizes, rng).inputs["W_o"].size == 0)
        trial = Trial("feed_forward", sizes, np.random.default_rng(number))
        assert np.abs(trial.run()["ffn_pre"]).min() > 1e-3      # far from ReLU's kink
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
