"""Rules of the user's own, the way a user reaches them: by `load_config`."""

import dataclasses
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import REPO, SHORT, train_run

from scratchformer.run import foreign
from scratchformer.run.config import ConfigError, load_config, to_toml
from scratchformer.run.data import judge_sequence
from scratchformer.run.own_rule import find_rule
from scratchformer.run.run import Run
from scratchformer.system.errors import Untrusted

GOOD = '''"""A rule."""

def after_three(history):
    """After 3 comes 5. And so on."""
    return {5} if history[-1] == 3 else None
'''


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a file into the working directory, which is empty otherwise."""
    monkeypatch.chdir(tmp_path)

    def write(text, name="my_rule.py"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


@pytest.mark.parametrize("name", ["my_rule.py", "my_rule.py:after_three", "./my_rule.py"])
def test_a_python_file_is_a_config(write, name):
    path = write(GOOD)
    config = load_config(name)
    assert config.name == "my_rule" and config.data.rule == f"{path}:after_three"
    assert config.description == "After 3 comes 5. And so on"
    base = load_config("plus_last_even_robust")
    assert config.model == base.model and config.training == base.training
    assert find_rule(config.data)([3]) == {5}
    assert load_config(name, ["training.seed=7"]).training.seed == 7


@pytest.mark.parametrize("name", ["my_rule.py", "my_rule.py:after_three"])
def test_any_config_with_an_own_rule(write, name):
    path = write(GOOD)
    config = load_config("step_back", [f"data.rule={name}"])
    assert config.name == "step_back" and config.data.rule == f"{path}:after_three"
    assert config.data.operators == () and config.description == "After 3 comes 5. And so on"


def test_in_a_config_file_the_path_is_relative_to_that_file(write, monkeypatch, tmp_path):
    (tmp_path / "sub").mkdir()
    path = write(GOOD, "sub/my_rule.py")
    write('extends = "plus_last_even"\n[data]\nrule = "my_rule.py"', "sub/a.toml")
    write(f'extends = "{tmp_path}/sub/a.toml"\n[training]\nseed = 3', "b.toml")
    assert load_config("sub/a.toml").data.rule == str(path)             # as it stands there: it is not run
    with pytest.raises(Untrusted, match="is code, and is run only if you name it"):
        find_rule(load_config("sub/a.toml").data)
    foreign.trust(path)
    assert load_config("sub/a.toml").data.rule == f"{path}:after_three"
    assert load_config("b.toml").data.rule == f"{path}:after_three"
    assert load_config("sub/a.toml", ["data.rule=lucky7"]).data.rule_digest == ""


def test_a_rule_may_ask_how_many_numbers_there_are(write):
    write("def up(history, numbers):\n    return {min(history[-1] + 1, numbers - 1)}\n")
    config = load_config("step_back", ["data.rule=my_rule.py", "data.numbers=20"])
    assert find_rule(config.data)([18]) == find_rule(config.data)([19]) == {19}


def test_helpers_are_told_from_the_rule(write):
    write("from math import gcd\nfrom textwrap import dedent\n"
          "def _helper(n):\n    return {n}\n"
          "def rule(history):\n    return _helper(5) if history[-1] == 3 else None\n")
    assert load_config("my_rule.py").data.rule.endswith(":rule")
    assert load_config("my_rule.py").description == "the rule rule"


def test_it_trains_and_the_run_reads_back(write, tmp_path):
    path = write(GOOD)
    run = train_run(tmp_path / "runs" / "my_rule", *SHORT, "training.warmup_steps=0", config="my_rule.py")
    again = Run.open(run.folder)
    assert again.config == run.config and again.files.holds(run.config)
    assert load_config(str(run.folder / "config.toml")) == dataclasses.replace(run.config, name="config")
    sequences, vocabulary = again.data.train_sequences, again.data.vocabulary
    assert all(5 == s[t + 1] for s in sequences for t in np.flatnonzero(s[:-1] == 3))
    assert not any((judge_sequence(again.rule, vocabulary, s, len(s)) == 0).any() for s in sequences)

    path.write_text(GOOD.replace("{5}", "{6}"))
    with pytest.raises(ConfigError, match="the file has changed since"):
        Run.open(run.folder)
    assert not run.files.holds(load_config("my_rule.py"))
    path.unlink()
    with pytest.raises(ConfigError, match=r"my_rule.py: cannot be read: No such file"):
        Run.open(run.folder)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("return {history[-2]}", "raises {path}:2: IndexError: list index out of range, after the history ["),
        ("return [1]", "returns [1], not a set of tokens or None, after the history ["),
        ("return 'abc'", "returns 'abc', not a set"),
        ("return False", "returns False, not a set"),
        ("return {11}", "allows 11, which is no token, after the history ["),
        ("return {11} if history[-1] == 3 else None", "which is no token, after the history [6, "),
        ("return {'-'}", "allows '-', which is no token"),
        ("return {1.0}", "allows 1.0, which is no token"),
        ("return {True}", "allows True, which is no token"),
        ("return {None}", "allows None, which is no token"),
        ("return {t for t in history if t == 5}",
         "returns an empty set; return None where any token may come"),
        ("return {history.pop()}", "changes the history it is given, after the history ["),
        ("return {1} if len(history) % 3 == 0 else None", "alone, but None: a rule must not use the length"),
        ("return {1} if len(history) == 30 else None", "alone, but None: a rule must not use the length"),
        ("return {len(history) % 2}", "alone, but {"),
        ("return {history[0]}", "alone, but {"),
        ("import random; return {random.randrange(11)}", ": answers {"),
        ("calls.append(1); return {len(calls) % 11}", "at first, then {"),
        ("return None", "returns None after every history tried, with the tokens 0, 1, 2"),
        ("raise ValueError('two\\nlines')", ":2: ValueError: two lines, after"),
        ("yield 1", "returns <generator object"),
    ],
)
def test_a_rule_that_cannot_be_one_is_refused(write, body, problem):
    path = write(f"def rule(history):\n    {body}\n\ncalls = []\n")
    for args in (["my_rule.py"], ["default", ["data.rule=my_rule.py"]]):
        with pytest.raises(ConfigError) as caught:
            load_config(*args)
        message = str(caught.value)
        assert message.startswith(f"data.rule = '{path}:rule': ") and "\n" not in message
        assert problem.replace("{path}", str(path)) in message


@pytest.mark.parametrize(
    ("text", "name", "problem"),
    [
        ("def f(history)\n", "my_rule.py", "my_rule.py:1: SyntaxError: expected ':'"),
        ("x = 1\ny = x / 0\n", "my_rule.py", "my_rule.py:2: ZeroDivisionError: division by zero"),
        ("import no_such_module\n", "my_rule.py", "my_rule.py:1: ModuleNotFoundError: No module named"),
        ("import sys\nsys.exit(3)\n", "my_rule.py", "my_rule.py:2: SystemExit: 3"),
        ("x = '\0'\n", "my_rule.py", "my_rule.py:1: "),
        ("x = 1\n", "my_rule.py", "must hold one function, holds none"),
        (GOOD + "def g(history):\n    return {1}\n", "my_rule.py",
         "must hold one function, holds after_three, g; name it, as in my_rule.py:after_three"),
        (GOOD, "my_rule.py:after_tree", "no function 'after_tree' in {path}; did you mean 'after_three'?"),
        ("x = 1\n", "my_rule.py:f", "no function 'f' in {path}; there is none"),
        ("def f():\n    return {1}\n", "my_rule.py", "must take (history) or (history, numbers), takes ()"),
        ("def f(history, n):\n    return {1}\n", "my_rule.py", "takes (history, n)"),
        (GOOD, "your_rule.py", "your_rule.py: cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_one_line(write, text, name, problem):
    path = write(text)
    with pytest.raises(ConfigError) as caught:
        load_config(name)
    message = str(caught.value)
    assert problem.replace("{path}", str(path)) in message and "\n" not in message


def test_a_mistake_that_shows_later_is_told_as_well(write):
    write("def f(history):\n    rare = history[-4:] == [3, 1, 4, 1]\n"
          "    return {11} if rare else {1} if history[-1] == 3 else None\n")
    rule = find_rule(load_config("step_back", ["data.rule=my_rule.py"]).data)
    assert rule([3]) == {1} and rule([1, 4, 1]) is None
    with pytest.raises(ConfigError, match=r"allows 11, which is no token, after the history \[3, 1, 4, 1\]"):
        rule([3, 1, 4, 1])


def test_an_edit_is_seen_at_once_and_nothing_is_left_beside_the_file(write, tmp_path):
    write(GOOD)
    before = load_config("my_rule.py")
    write(GOOD.replace("{5}", "{6}"))
    after = load_config("my_rule.py")
    assert find_rule(after.data)([3]) == {6} and before.data.rule_digest != after.data.rule_digest
    assert [path.name for path in tmp_path.iterdir()] == ["my_rule.py"]


def test_checking_takes_no_time_worth_mentioning(write):
    write(GOOD)
    load_config("my_rule.py")
    times = []
    for _ in range(5):
        start = time.perf_counter()
        load_config("my_rule.py")
        times.append(time.perf_counter() - start)
    assert min(times) < 0.05


def test_the_example_is_a_rule_and_the_docs_quote_it(tmp_path):
    example = REPO / "docs" / "examples" / "my_rule.py"
    config = load_config(str(example))
    rule = find_rule(config.data)
    assert rule([8, 3, "+"]) == {8} and rule([3, "+"]) is rule([8, 3]) is None
    docs = (REPO / "docs" / "own_rule.md").read_text("utf-8")
    assert "".join(f"    {line}\n" for line in example.read_text("utf-8").splitlines()) in docs
    assert len(example.read_text("utf-8").splitlines()) <= 12


def test_from_another_process(write, tmp_path):
    shutil.copy(REPO / "docs" / "examples" / "my_rule.py", tmp_path)
    code = "from scratchformer.run.config import load_config; print(load_config('my_rule.py').data.rule)"
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(REPO)},
        capture_output=True, text=True,
    )
    assert out.stdout.strip() == f"{tmp_path}/my_rule.py:plus_last_large" and not out.stderr


def test_to_toml_keeps_the_reference(write):
    path = write(GOOD)
    assert f'rule = "{path}:after_three"' in to_toml(load_config("my_rule.py"))
