"""Every rule answers the same in the explorer: translated, or as a tree of what it looks at."""

import json
import shutil
import subprocess

import numpy as np
import pytest
from conftest import REPO

from scratchformer.run.config import load_config
from scratchformer.run.data import make_vocabulary
from scratchformer.run.own_rule import find_rule
from scratchformer.run.rules import RULES
from scratchformer.tools.explore import rule as rules
from scratchformer.tools.explore.rule import rule_code

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")
OWN = {
    "example": (REPO / "docs" / "examples" / "my_rule.py").read_text("utf-8"),
    "table": "TABLE = {0: 3, 3: 0, 5: 5}\ndef f(history):\n    found = TABLE.get(history[-1])\n"
             "    return None if found is None else {found}\n",
    "constant": "PLUS = '+'\ndef f(history):\n    return {0} if history[-1] == PLUS else None\n",
    "comprehension": "def f(history):\n    even = [x for x in history if x != '+' and x % 2 == 0]\n"
                     "    return {even[-1]} if history[-1] == '+' and even else None\n",
}


def histories(vocabulary, block_size, count=300):
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield [vocabulary[i] for i in rng.integers(0, len(vocabulary), rng.integers(1, block_size + 1))]


def answers_in_node(code, given, tmp_path):
    """What `allowed` of the code answers to each history: a list of tokens, None, or "unknown"."""
    path = tmp_path / "rule.js"
    path.write_text(f"{code}\nconst given = {json.dumps(given)};\nprocess.stdout.write(JSON.stringify("
                    "given.map((history) => { const found = allowed(history);"
                    " return found === undefined ? 'unknown' : found; })));", "utf-8")
    done = subprocess.run([NODE, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check(data, block_size, tmp_path, may_be_unknown=False):
    """How many of the answers to random histories are known; they are the rule's."""
    vocabulary = list(map(lambda x: x, make_vocabulary(data)))
    rule = find_rule(data.data)
    given = list(histories(vocabulary, block_size))
    found = answers_in_node(rule_code(rule, vocabulary, block_size), given, tmp_path)
    known = [(history, answer) for history, answer in zip(given, found, strict=True) if answer != "unknown"]
    assert may_be_unknown or len(known) == len(given)
    for history, answer in known:
        expected = rule(history)
        assert (answer if answer is None else set(answer)) == expected, history
    return len(known)


@needs_node
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("numbers", [5, 11, 20])
def test_the_rules(name, numbers, tmp_path):
    config = load_config("plus_last_even", [f"data.rule={name}", f"data.numbers={numbers}"])
    check(config, 8, tmp_path)


@needs_node
@pytest.mark.parametrize("name", OWN)
def test_rules_of_ones_own(name, tmp_path):
    path = tmp_path / f"{name}.py"
    path.write_text(OWN[name], "utf-8")
    config = load_config(str(path))
    known = check(config, config.model.block_size, tmp_path, may_be_unknown=name == "comprehension")
    assert known > 20 or name == "comprehension"


@needs_node
def test_a_rule_that_looks_too_often_is_unknown_in_part(tmp_path, monkeypatch):
    monkeypatch.setattr(rules, "translate_rule", lambda function: [].x)
    monkeypatch.setattr(rules, "MOST", 200)
    config = load_config("plus_last_even")
    assert 0 < check(config, 8, tmp_path, may_be_unknown=True) < 300
