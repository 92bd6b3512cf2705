import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchformer.run.config import DataConfig, load_config
from scratchformer.run.data import allowed_next, generate_sequence, judge_sequence, make_vocabulary
from scratchformer.run.own_rule import find_rule
from scratchformer.run.rules import RULES

EACH_RULE = pytest.mark.parametrize("name", RULES)
SIZES = st.sampled_from([2, 3, 10, 11, 12, 21])         # how many numbers there are
OPERATORS = st.sampled_from([(), ("+",), ("+", "-")])


def evens(numbers):
    return {n for n in range(numbers) if n % 2 == 0}


def odds(numbers):
    return {n for n in range(numbers) if n % 2 == 1}


@pytest.mark.parametrize(
    ("name", "history", "allowed"),
    [
        ("plus_last_even", [5, 3, 8, 7, "+"], {8}),
        ("plus_last_even", [5, 3, 8, 7, "+", 8, 10, 2, 4, "+"], {4}),
        ("plus_last_even", [10, "+", 10, 6, "+"], {6}),
        ("plus_last_even", [0, 1, "+"], {0}),                           # zero is even
        ("plus_last_even", ["+", "+"], None),                           # no even number yet
        ("plus_last_even", [1, 3, "+"], None),
        ("plus_last_even", [2, "+", 2], None),
        ("plus_last_even", [2], None),
        ("plus_last_even", [2, "-", "+"], {2}),                         # another operator is no number
        ("even_repeat_last_odd", [5, 3, 4], {3}),
        ("even_repeat_last_odd", [5, "+", 0], {5}),
        ("even_repeat_last_odd", [2, 4], None),
        ("even_repeat_last_odd", [2, 5], None),
        ("plus_max_of_two", [9, 2, 7, "+"], {7}),
        ("plus_max_of_two", [8, "+", 3, "+"], {8}),
        ("plus_max_of_two", [8, "+"], None),
        ("plus_max_of_two", [8, 9], None),
        ("lucky7", [1, 4, 7], {4}),
        ("lucky7", ["+", 7], {"+"}),
        ("lucky7", [7], None),
        ("lucky7", [7, 4], None),
        ("recall_three_back", [6, 1, 2, 9], {6}),
        ("recall_three_back", [5, 6, 1, 2, 9], {6}),
        ("recall_three_back", [6, 1, 9], None),
        ("recall_three_back", [6, 1, 2, 8], None),
        ("copy_modulo", [6, 1, 2], {6}),
        ("copy_modulo", [6, 1, 2, 6], {1}),
        ("copy_modulo", [6, 1], None),
        ("even_abs_diff", [3, 8, 4], {5}),
        ("even_abs_diff", [9, 8, 3, 0], {5}),
        ("even_abs_diff", [3, 8, 5], None),
        ("even_abs_diff", [8, 4], None),
        ("even_abs_diff", ["+", 8, 4], None),
        ("successor", [4], {5}),
        ("successor", [10], {0}),
        ("successor", ["+"], None),
        ("step_back", [4], {3}),
        ("step_back", [0], {10}),
        ("step_back", ["+"], None),
        ("conditional_transform", [8], {4}),
        ("conditional_transform", [0], {0}),
        ("conditional_transform", [7], {8}),
        ("conditional_transform", ["+"], None),
        ("lookup_permutation", [0], {3}),
        ("lookup_permutation", [10], {10}),
        ("lookup_permutation", ["+"], None),
        ("plus_means_even", [3, "+"], evens(11)),
        ("plus_means_even", [3, "-"], None),
        ("odd_even_index", [3], evens(11)),
        ("odd_even_index", [4], odds(11)),
        ("odd_even_index", ["+"], None),
        ("even_to_odd_transition", [4], odds(11)),
        ("even_to_odd_transition", [3], None),
        ("parity_based", [3, 5], evens(11)),
        ("parity_based", [1, 4, 2], evens(11)),
        ("parity_based", [4, 1], odds(11)),
        ("parity_based", [4], None),
        ("parity_based", [4, "+"], None),
        ("parity_gt_10", [4, 2], set(range(10))),
        ("parity_gt_10", [4, 1], {10}),
        ("parity_gt_10", [4], None),
        ("even_greater_than_10", [4], None),                            # no number is above 10
        ("even_greater_than_10", [5], set(range(10))),
        ("even_greater_than_10", ["+"], None),
    ],
)
def test_what_a_rule_allows(name, history, allowed):
    assert find_rule(DataConfig(rule=name, numbers=11))(history) == allowed


def test_every_rule_has_its_examples():
    mark = test_what_a_rule_allows.pytestmark[0]
    assert {name for name, _, _ in mark.args[1]} == set(RULES)


def test_with_more_numbers():
    def allowed(name, history):
        return find_rule(DataConfig(rule=name, numbers=21))(history)

    assert allowed("successor", [20]) == {0} and allowed("step_back", [0]) == {20}
    assert allowed("parity_gt_10", [3, 4]) == set(range(10, 21))
    assert allowed("even_greater_than_10", [4]) == set(range(11, 21))
    assert allowed("plus_means_even", ["+"]) == evens(21)


def test_the_shuffled_table_is_a_permutation():
    rule = find_rule(DataConfig(rule="lookup_permutation", numbers=21))
    assert sorted(n for number in range(21) for n in rule([number])) == list(range(21))


@EACH_RULE
@settings(max_examples=30)
@given(numbers=SIZES, operators=OPERATORS, history=st.data())
def test_any_history_has_an_answer_within_the_vocabulary(name, numbers, operators, history):
    vocabulary = [*range(numbers), *operators]
    tokens = history.draw(st.lists(st.sampled_from(vocabulary), min_size=1, max_size=12))
    rule = find_rule(DataConfig(rule=name, numbers=numbers))
    before = list(tokens)
    allowed = rule(tokens)
    assert tokens == before and rule(tokens) == allowed
    assert allowed is None or allowed and allowed <= set(vocabulary)


@EACH_RULE
@settings(max_examples=20)
@given(numbers=SIZES, operators=OPERATORS, seed=st.integers(0, 2**32), length=st.integers(2, 60))
def test_generated_sequences_follow_the_rule(name, numbers, operators, seed, length):
    rule, vocabulary = find_rule(DataConfig(rule=name, numbers=numbers)), (*range(numbers), *operators)
    sequence = generate_sequence(rule, vocabulary, length, 0.3, np.random.default_rng(seed))
    assert len(sequence) == length
    assert not (judge_sequence(rule, vocabulary, sequence, length) == 0).any()


@EACH_RULE
@settings(max_examples=30)
@given(
    numbers=SIZES, operators=OPERATORS, seed=st.integers(0, 2**32), follows=st.booleans(),
    start=st.integers(0, 29), size=st.integers(1, 12),
)
def test_a_window_claims_nothing_that_the_history_contradicts(
    name, numbers, operators, seed, follows, start, size
):
    rule, vocabulary = find_rule(DataConfig(rule=name, numbers=numbers)), (*range(numbers), *operators)
    rng = np.random.default_rng(seed)
    if follows:
        sequence = generate_sequence(rule, vocabulary, 30, 0.3, rng)
    else:                                       # what a model that has not learned it writes
        sequence = rng.integers(0, len(vocabulary), 30)
    whole = allowed_next(rule, vocabulary, sequence[None])[0, start : start + size]
    window = allowed_next(rule, vocabulary, sequence[None, start : start + size])[0]
    claimed = window.any(axis=-1)
    np.testing.assert_array_equal(window[claimed], whole[claimed])


@EACH_RULE
@settings(max_examples=20)
@given(seed=st.integers(0, 2**32), data=st.data())
def test_a_wrong_token_is_caught(name, seed, data):
    rule, vocabulary = find_rule(DataConfig(rule=name, numbers=21)), (*range(21), "+")
    sequence = generate_sequence(rule, vocabulary, 60, 0.3, np.random.default_rng(seed))
    constrained = np.flatnonzero(judge_sequence(rule, vocabulary, sequence, 60) == 1)
    if len(constrained) == 0:
        return
    t = data.draw(st.sampled_from(constrained.tolist()))
    allowed = rule([vocabulary[i] for i in sequence[:t]])
    sequence[t] = data.draw(st.sampled_from([i for i in range(22) if vocabulary[i] not in allowed]))
    assert judge_sequence(rule, vocabulary, sequence, 60)[t] == 0


@EACH_RULE
def test_the_config_of_a_rule_has_positions_that_it_constrains(name):
    config = load_config(name)
    rule, vocabulary = find_rule(config.data), make_vocabulary(config)
    rng = np.random.default_rng(0)
    windows = np.array([generate_sequence(rule, vocabulary, 20, 0.3, rng) for _ in range(50)])
    allowed = allowed_next(rule, vocabulary, windows).sum(axis=-1)
    assert (allowed > 0).mean() > 0.05 and (allowed < len(vocabulary)).all()
