"""The oracle of the proofs is tested itself: its rule tables and its margins, against plain calls."""

import itertools

import numpy as np
import pytest
from conftest import make_params
from enumeration.margins import exact_margins, fast_margins, half_sums, older_positions
from enumeration.rule_table import RuleTable
from hypothesis import given
from hypothesis import strategies as st
from own_rules import OWN_RULES, VOCABULARY

from scratchformer.engine.model import empty_cache, forward_pass
from scratchformer.run.config import ModelConfig, config_names, load_config
from scratchformer.run.data import make_vocabulary
from scratchformer.run.own_rule import find_rule
from scratchformer.run.rules import plus_last_even
from scratchformer.system.errors import RunError


def check_table(rule, vocabulary, length, known):
    """A rule's tables against calls of the rule for every context, answers and producible alike."""
    table = RuleTable(rule, vocabulary)

    def allowed(tokens):
        return tuple(sorted((rule(list(tokens)) if tokens else None) or (), key=vocabulary.index))

    def producible(tokens):
        before = (allowed(tokens[:t]) for t in range(len(tokens)))
        return all(not answer or token in answer for token, answer in zip(tokens, before, strict=True))

    for suffix in itertools.product(range(len(vocabulary)), repeat=length - known):
        answers = table.read(length, suffix)
        starts = table.producible(length, suffix)
        names = list(table.answers)
        ends = tuple(vocabulary[i] for i in suffix)
        contexts = [newest_first[::-1] + ends for newest_first in itertools.product(vocabulary, repeat=known)]
        assert [names[a] for a in answers] == [allowed(context) for context in contexts]
        assert starts.tolist() == [producible(context) for context in contexts]


@pytest.mark.parametrize("known", [0, 2, 4])
@pytest.mark.parametrize("rule", OWN_RULES, ids=lambda rule: rule.__name__)
def test_rule_tables(rule, known):
    for length in range(known, 5):
        check_table(rule, VOCABULARY, length, known)


@pytest.mark.parametrize("name", config_names())
def test_rule_tables_of_every_config(name):
    config = load_config(name)
    for length in (1, 2, 3):
        check_table(find_rule(config.data), make_vocabulary(config), length, length - 1)


def test_a_rule_is_asked_once_for_all_it_can_look_at():
    calls = []

    def rule(history):
        calls.append(len(history))
        return plus_last_even(history)

    table = RuleTable(rule, VOCABULARY)
    table.read(6, (1,))                         # ends in an odd number: nothing else matters
    assert len(calls) == 1
    table.read(6, (4,))                         # after +: at each position back 2 of 5 tokens end the search
    assert len(calls) == 1 + 2 * (1 + 3 + 9 + 27 + 81) + 3**5


def grid(params, use_residual):
    """The Cache of every token at every position."""
    V, T = len(params.W_token), len(params.W_pos)
    tokens = np.repeat(np.arange(V)[:, None], T, axis=1)
    cache = empty_cache(params, tokens, tokens, use_residual)
    forward_pass(params, cache)
    return cache


@given(
    st.integers(1, 4), st.integers(1, 2), st.integers(1, 3), st.integers(1, 5), st.integers(2, 6),
    st.booleans(), st.sampled_from([0.7, 3]), st.integers(0, 2**32),
)
def test_margins_agree_with_the_model(n_embd, heads, size, T, V, use_residual, scale, seed):
    model = ModelConfig(n_embd=n_embd, num_heads=heads, head_size=size, block_size=T, ffn_mult=2)
    rng = np.random.default_rng(seed)
    params = make_params(model, V, rng, scale)
    allowed = np.vstack([np.zeros(V, bool), rng.random((6, V)) < 0.4])
    allowed[1:, 0] |= ~allowed[1:].any(axis=1)
    length = int(rng.integers(1, T + 1))
    known = int(rng.integers(0, length))
    suffix = tuple(rng.integers(0, V, length - known).tolist())
    contexts = np.array([c[::-1] + suffix for c in itertools.product(range(V), repeat=known)])
    answers = rng.integers(0, 7, len(contexts)).astype(np.uint16)
    sums = half_sums(grid(params, use_residual), length, suffix)
    margins = fast_margins(params, sums, use_residual, answers, allowed)
    exact, _ = exact_margins(params, contexts, use_residual, allowed[answers])
    assert np.isposinf(margins[answers == 0]).all()
    judged = (answers > 0) & ~np.isnan(margins)
    np.testing.assert_allclose(margins[judged], exact[judged], rtol=1e-9, atol=1e-9)
    assert judged.sum() >= 0.9 * (answers > 0).sum() or scale > 1


def test_a_softmax_that_loses_its_digits_is_left_to_the_model():
    model = ModelConfig(n_embd=2, num_heads=1, head_size=2, block_size=3)
    params = make_params(model, 3, np.random.default_rng(5))
    params.W_token[:] *= 100                        # scores apart by thousands: most weights are 0
    contexts = np.array([c[::-1] + (1,) for c in itertools.product(range(3), repeat=2)])
    allowed = np.array([[False] * 3, [True, False, False]])
    answers = np.ones(9, np.uint16)
    margins = fast_margins(params, half_sums(grid(params, True), 3, (1,)), True, answers, allowed)
    exact, _ = exact_margins(params, contexts, True, allowed[answers])
    lost = np.isnan(margins)
    assert 0 < lost.sum() < 9
    np.testing.assert_allclose(margins[~lost], exact[~lost], rtol=1e-9)


def test_older_half():
    assert [older_positions(12, known) for known in (0, 1, 2, 7)] == [0, 1, 2, 2]
    assert older_positions(1000, 3) == 1


def test_more_answers_than_a_table_can_number():
    vocabulary = tuple(range(17))
    table = RuleTable(lambda history: {16}, vocabulary)
    for n in range(1, 2**16):                           # every set of the first 16 tokens
        assert table.number({token for token in range(16) if n >> token & 1}) == n
    assert table.number({15, 0}) == 2**15 + 1                   # met before
    with pytest.raises(RunError, match="^--prove: the rule has more than 65,535 different answers[^\n]*$"):
        table.read(1, ())
