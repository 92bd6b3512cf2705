"""What a rule answers after every context of a length, as product sets of contexts.

A rule is a Python function of the history, called here with a history whose tokens are *sets*. Asked a
question (is it a number? is it even? is it +?), a token decides only as much as the answer needs: its set
falls into one part for each answer, the run goes on with the first part, and the rule is run again for the
others. So each run ends in a set of tokens at each position and one answer, and tokens that the rule treats
alike are never told apart. A scan for the last even number costs a few runs a position, not one a context.

Conditions of the rule are asked as wholes (conditions.py), so that a token which is no even number is not
told by why it is none.
"""

import operator
from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np

from scratchformer.analysis.conditions import with_whole_conditions
from scratchformer.system.errors import RunError

TRIES = 3                               # plain contexts of each case on which the rule is asked again


class RuleCase(NamedTuple):
    """Contexts of one length that the rule answers alike: all that take a token of each position's set."""

    sets: tuple                         # of sorted tuples of token ids, oldest position first
    answer: tuple                       # ids of the allowed tokens, sorted; empty where the rule says nothing


class Entangled(Exception):
    """A question about one token led to a question about another."""


class Choices:
    """Which way each question of a run goes: those of the last run with the last open one advanced."""

    def __init__(self):
        self.taken = []                 # [part, number of parts] of each question that has several

    def advance(self):
        """Whether there is another run; if so, the next."""
        while self.taken and self.taken[-1][0] == self.taken[-1][1] - 1:
            self.taken.pop()
        if self.taken:
            self.taken[-1][0] += 1
        return bool(self.taken)


class LazyHistory(Sequence):
    """A history of `length` sets of tokens, narrowed by what the rule asks of them.

    vocabulary: tokens in id order; whole: whether a token that is looked at is decided at once, and handed
    out as a plain int or str
    """

    def __init__(self, vocabulary, length, choices, whole):
        self.vocabulary, self.choices, self.whole = vocabulary, choices, whole
        self.sets = [tuple(range(len(vocabulary)))] * length
        self.questions = 0
        self.asking = False

    def __len__(self):
        return len(self.sets)

    def __eq__(self, other):
        return list(self) == other

    def copy(self):
        """As a list, as that of a list is."""
        return list(self)

    def __add__(self, other):
        return list(self) + other

    def __radd__(self, other):
        return other + list(self)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        token = LazyToken(self, range(len(self))[index], lambda token: token)
        return decided(token) if self.whole else token

    def ask(self, position, question):
        """The answer to a question about the token at a position, by whose answers its set falls apart."""
        if self.asking:
            raise Entangled
        parts = {}
        self.asking = True
        try:
            for token in self.sets[position]:
                answer = question(self.vocabulary[token])
                parts.setdefault((answer.__class__, answer), []).append(token)
        finally:
            self.asking = False
        (_, answer), members = next(iter(parts.items()))
        if len(parts) > 1:
            if self.questions == len(self.choices.taken):
                self.choices.taken.append([0, len(parts)])
            (_, answer), members = list(parts.items())[self.choices.taken[self.questions][0]]
            self.questions += 1
        self.sets[position] = tuple(members)
        return answer


class LazyToken:
    """A function of one token of a LazyHistory. Comparisons, `isinstance`, arithmetic with plain values ask
    no more than they need; whatever needs the value decides it."""

    __slots__ = ("_history", "_position", "_function")

    def __init__(self, history, position, function):
        self._history, self._position, self._function = history, position, function

    @property
    def __class__(self):                # what isinstance reads
        return ask(self, lambda value: value.__class__)

    def __hash__(self):
        return hash(decided(self))

    def __getattr__(self, name):
        return getattr(decided(self), name)


def ask(token, question):
    """The answer to a question about a LazyToken's value."""
    function = token._function
    return token._history.ask(token._position, lambda value: question(function(value)))


def ask_condition(condition, *values):
    """The value of a condition: one question if just one of the values that it reads is a LazyToken."""
    lazy = [n for n, value in enumerate(values) if type(value) is LazyToken]
    if len(lazy) != 1:
        return condition(*values)
    before, token, after = values[: lazy[0]], values[lazy[0]], values[lazy[0] + 1 :]
    try:
        return ask(token, lambda value: condition(*before, value, *after))
    except Entangled:
        return condition(*values)


def decided(value):
    """The value of a LazyToken, decided; any other value as it is."""
    return ask(value, lambda own: own) if type(value) is LazyToken else value


def lazy_comparison(compare):
    """A method that asks how a token's value compares with another value."""
    def method(self, other):
        other = decided(other)
        return ask(self, lambda value: compare(value, other))
    return method


def derived(function):
    """A method whose result is a function of the token: another LazyToken, nothing being decided yet.

    With a str among the values it is decided at once: what is not defined for it is to raise here.
    """
    def method(self, *others):
        others = [decided(other) for other in others]
        if ask(self, lambda value: isinstance(value, str)):
            return function(decided(self), *others)
        own = self._function
        return LazyToken(self._history, self._position, lambda value: function(own(value), *others))
    return method


def deciding(function):
    """A method that decides the token and goes on with its value."""
    return lambda self, *others: function(decided(self), *others)


def install_operators():
    """Give LazyToken the operators of int and str."""
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        setattr(LazyToken, f"__{name}__", lazy_comparison(getattr(operator, name)))
    for name in ("add", "sub", "mul", "floordiv", "mod", "and_", "or_", "xor", "lshift", "rshift"):
        function = getattr(operator, name)
        name = name.rstrip("_")
        setattr(LazyToken, f"__{name}__", derived(function))
        turned = partial(lambda function, own, other: function(other, own), function)
        setattr(LazyToken, f"__r{name}__", derived(turned))
    for name in ("neg", "pos", "abs", "invert"):
        setattr(LazyToken, f"__{name}__", derived(getattr(operator, name)))
    LazyToken.__bool__ = lambda self: ask(self, bool)
    for name, function in (
        ("index", operator.index), ("int", int), ("float", float), ("str", str), ("repr", repr),
        ("format", format), ("len", len), ("iter", iter), ("getitem", operator.getitem),
        ("contains", operator.contains), ("truediv", operator.truediv), ("pow", pow), ("divmod", divmod),
        ("rtruediv", lambda own, other: other / own), ("rpow", lambda own, other: other**own),
        ("round", round),
    ):
        setattr(LazyToken, f"__{name}__", deciding(function))


install_operators()


def rule_cases(rule, vocabulary, length):
    """The RuleCases of all contexts of `length` tokens: disjoint, and together all of them.

    rule: function of the history; vocabulary: tokens in id order

    A rule that tells a LazyToken from the token itself (by `type(token)`, say) is found out by asking it
    again about plain contexts; its tokens are then decided as soon as it looks at them. Raises RunError for a
    rule that answers what no vocabulary holds, or raises.
    """
    lazy_rule = with_whole_conditions(rule, ask_condition)
    cases = list(run_rule(lazy_rule, vocabulary, length, whole=False))
    if all(answers_alike(rule, vocabulary, case) for case in cases):
        return cases
    return list(run_rule(rule, vocabulary, length, whole=True))


def run_rule(rule, vocabulary, length, whole):
    """Every RuleCase of a length, from one run of the rule each."""
    choices = Choices()
    while True:
        history = LazyHistory(vocabulary, length, choices, whole)
        answer = read_answer(rule, history, vocabulary)
        yield RuleCase(tuple(history.sets), answer)
        if not choices.advance():
            return


def read_answer(rule, history, vocabulary):
    """The ids that the rule allows after a history, sorted; RunError if it allows another token."""
    try:
        answer = [decided(token) for token in rule(history) or ()]
    except (AttributeError, TypeError) as error:
        raise RunError(f"--prove: the rule asks what no Sequence answers: {error}") from error
    unknown = [token for token in answer if token not in vocabulary]
    if unknown:
        raise RunError(f"--prove: the rule answers {set(answer)}, which is not in the vocabulary of the run")
    return tuple(sorted({vocabulary.index(token) for token in answer}))


def answers_alike(rule, vocabulary, case):
    """Whether the rule answers a few plain contexts of a case as it answered the case."""
    ends = list(product(*({ids[0], ids[-1]} for ids in case.sets[-2:])))[:TRIES]
    for n, end in enumerate(ends):
        context = [ids[-(n % 2)] for ids in case.sets[: len(case.sets) - len(end)]] + list(end)
        tokens = [vocabulary[i] for i in context]
        try:
            if read_answer(rule, tokens, vocabulary) != case.answer:
                return False
        except RunError:
            return False
    return True


def as_masks(cases, size):
    """The sets of RuleCases of one length as masks: (N, L, V) bool."""
    masks = np.zeros((len(cases), len(cases[0].sets), size), bool)
    for mask, case in zip(masks, cases, strict=True):
        for position, ids in zip(mask, case.sets, strict=True):
            position[list(ids)] = True
    return masks
