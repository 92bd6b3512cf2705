"""The cases of a rule and its producible contexts, against plain calls for every context."""

import functools
import itertools

import numpy as np
import pytest
from own_rules import OWN_RULES, VOCABULARY

from scratchformer.analysis.conditions import with_whole_conditions
from scratchformer.analysis.lazy_history import rule_cases
from scratchformer.analysis.producible import Producible
from scratchformer.run.config import config_names, load_config
from scratchformer.run.data import make_vocabulary
from scratchformer.run.own_rule import find_rule
from scratchformer.run.rules import is_even, is_number, plus_last_even
from scratchformer.system.errors import RunError


def reads_types(history):
    """Tells ints by their very type."""
    kind = type(history[-1])
    return {1} if kind is int else {2}


def in_pieces(history):
    """Conditions of all shapes."""
    found = [token for token in history if token != "+" and token > 1]
    if found and not found[-1] == 2 or len(history) > 3:
        return {found[0]} if found else None
    return {0, 3} if history[0] == "+" else {history[-1]}


def calls_for_values(history):
    """Uses that decide a token: index, table, text, arithmetic of two."""
    last = history[-1]
    if not is_number(last):
        return {f"{last}"}
    if len(history) > 1 and is_number(history[-2]):
        return {abs(last - history[-2]), [3, 2, 1, 0][last]}
    return {{0: 3, 1: 2}.get(last, last) % 4}


def walks(history):
    """Walrus, while, next, any, slices of reversed."""
    n = len(history) - 1
    while n > 0 and not is_even(history[n]):
        n -= 1
    if any(token == "+" for token in history[:n]):
        return {next((token for token in reversed(history) if is_number(token)), 0)}
    return {3} if (token := history[n]) in {0, 1} else {token, 0}


def make_closure(limit):
    def closure(history):
        return {0} if is_number(history[-1]) and history[-1] > limit else None
    return closure


def recursive(history, depth=0):
    """A helper of its own, with a default."""
    if depth == 2 or len(history) < 2:
        return {history[-1]} if is_even(history[-1]) else None
    return recursive(history[:-1], depth + 1) if history[-1] == "+" else {1}


RULES = [
    *OWN_RULES, reads_types, in_pieces, calls_for_values, walks, make_closure(1), recursive,
    functools.partial(lambda history, n: {n} if history[-1] == n else None, n=2),
]


def check_cases(rule, vocabulary, length):
    """The cases of a rule are disjoint, cover everything, and answer as the rule does."""
    answers = {}
    cases = rule_cases(rule, vocabulary, length)
    for case in cases:
        for context in itertools.product(*case.sets):
            assert context not in answers
            answers[context] = case.answer
    assert len(answers) == len(vocabulary) ** length
    for context, answer in answers.items():
        allowed = rule([vocabulary[i] for i in context]) or ()
        assert answer == tuple(sorted(vocabulary.index(token) for token in allowed)), context
    return cases


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: getattr(rule, "__name__", "partial"))
def test_cases_of_any_rule(rule):
    for length in range(1, 5):
        check_cases(rule, VOCABULARY, length)


@pytest.mark.parametrize("name", config_names())
def test_cases_of_every_config(name):
    config = load_config(name)
    for length in (1, 2, 3):
        check_cases(find_rule(config.data), make_vocabulary(config), length)


def test_cases_of_a_rule_in_a_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "def mine(history, numbers):\n    if history[-1] != '+':\n        return None\n"
        "    for token in reversed(history):\n        if token != '+' and token > numbers // 2:\n"
        "            return {token}\n    return None\n"
    )
    config = load_config(str(path))
    rule, vocabulary = find_rule(config.data), make_vocabulary(config)
    check_cases(rule, vocabulary, 3)
    assert len(rule_cases(rule, vocabulary, 32)) == 2 + 5 * 31      # one a number above 5 and place


def test_tokens_that_a_rule_treats_alike_are_not_told_apart():
    calls = []

    def counted(history):
        calls.append(history)
        return plus_last_even(history)

    assert len(check_cases(plus_last_even, VOCABULARY, 4)) == 2 + 2 * 3
    cases = rule_cases(functools.partial(counted), VOCABULARY, 4)
    assert {case.sets[:-1] for case in cases if not case.answer} >= {((0, 1, 2, 3, 4),) * 3}
    asked = rule_cases(lambda history: {0} if history[-1] == 1 else None, VOCABULARY, 9)
    assert [len(case.sets[-1]) for case in asked] == [4, 1]


def test_source_that_is_not_what_runs_is_not_used(tmp_path):
    path = tmp_path / "changing.py"
    path.write_text("def rule(history):\n    return {1} if history[-1] == 0 else None\n")
    namespace = {}
    exec(compile(path.read_text(), str(path), "exec"), namespace)
    rule = namespace["rule"]
    assert with_whole_conditions(rule, None) is not rule
    path.write_text("def rule(history):\n    return {2} if history[-1] != 0 and len(history) else None\n")
    import linecache
    linecache.checkcache()
    assert with_whole_conditions(rule, None) is rule


def test_rules_that_cannot_be_read():
    with pytest.raises(RunError, match=r"\{9\}, which is not in the vocabulary"):
        rule_cases(lambda history: {9}, VOCABULARY, 2)
    with pytest.raises(RunError, match="what no Sequence answers: .*pop"):
        rule_cases(lambda history: history.pop(), VOCABULARY, 2)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: getattr(rule, "__name__", "partial"))
def test_producible(rule):
    tables = [rule_cases(rule, VOCABULARY, length) for length in range(1, 5)]
    automaton = Producible(tables, len(VOCABULARY))
    for length in range(1, 5):
        contexts = np.array(list(itertools.product(range(5), repeat=length)))
        expected = []
        for context in contexts:
            tokens = [VOCABULARY[i] for i in context]
            before = [rule(tokens[:t]) for t in range(1, length)]
            expected.append(all(not a or t in a for t, a in zip(tokens[1:], before, strict=True)))
        assert automaton.are(contexts).tolist() == expected
        members = np.random.default_rng(length).random((length, 5)) < 0.6
        members[:, 0] = True
        inside = members[np.arange(length), contexts].all(axis=1) & expected
        assert automaton.count(members) == inside.sum()
        found = list(automaton.contexts(members))
        assert len(found) == len(set(found)) and set(found) == set(map(tuple, contexts[inside].tolist()))
        for context in contexts[members[np.arange(length), contexts].all(axis=1) & ~np.array(expected)]:
            parts = automaton.cut(members, context)
            if parts:
                assert (parts[0] | parts[1] == members).all() and not (parts[0] & parts[1]).all(axis=1).all()


def test_counts_beyond_64_bits():
    tables = [rule_cases(plus_last_even, (*range(11), "+"), length) for length in range(1, 25)]
    automaton = Producible(tables, 12)
    whole = np.ones((24, 12), bool)
    seen = [1] + [0] * 6                        # by hand: no even number yet, or which was the last
    after_plus, other = [0] * 7, seen
    for _ in range(24):                         # a token: 5 odd, 6 even, +
        new_other, new_plus = [0] * 7, [0] * 7
        for s in range(7):
            free = other[s] + (after_plus[0] if s == 0 else 0)
            new_other[s] += 5 * free
            new_plus[s] += free
            for even in range(1, 7):
                new_other[even] += free
            if s:
                new_other[s] += after_plus[s]   # forced: the last even number
        other, after_plus = new_other, new_plus
    assert automaton.count(whole) == sum(other) + sum(after_plus) > 2**64
