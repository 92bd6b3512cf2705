import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.run.config import load_config
from scratchformer.run.data import (
    allowed_next, cut_windows, generate_sequence, judge_sequence, make_data, make_vocabulary,
)
from scratchformer.run.rules import RULES

VOCABULARY = (*range(11), "+")


@given(st.integers(0, 2**32), st.data())
def test_a_wrong_token_is_caught(seed, data):
    rule = RULES["plus_last_even"]
    sequence = generate_sequence(rule, VOCABULARY, 40, 0.5, np.random.default_rng(seed))
    constrained = np.flatnonzero(judge_sequence(rule, VOCABULARY, sequence, 40) == 1)
    t = data.draw(st.sampled_from(constrained.tolist()))
    allowed = rule([VOCABULARY[i] for i in sequence[:t]])
    wrong = data.draw(st.sampled_from([i for i in range(12) if VOCABULARY[i] not in allowed]))
    sequence[t] = wrong
    assert judge_sequence(rule, VOCABULARY, sequence, 40)[t] == 0


def test_data_of_the_default_config():
    config = load_config("plus_last_even")
    data = make_data(config, np.random.default_rng(0))
    assert data.vocabulary == make_vocabulary(config) == VOCABULARY
    assert len(data.train_sequences) == 1800 and len(data.held_out_sequences) == 200
    lengths = [len(s) for s in data.train_sequences + data.held_out_sequences]
    assert min(lengths) == 20 and max(lengths) == 50
    tokens = np.concatenate(data.train_sequences)
    verdicts = np.concatenate(
        [judge_sequence(RULES["plus_last_even"], VOCABULARY, s, len(s)) for s in data.train_sequences]
    )
    assert abs((tokens[verdicts == -1] == 11).mean() - 0.3) < 0.01      # operators where free to choose
    assert not (verdicts == 0).any()
    again = make_data(config, np.random.default_rng(0))
    np.testing.assert_array_equal(data.train_windows, again.train_windows)


def test_windows_do_not_cross_sequences():
    windows = cut_windows([np.array([0, 1, 2, 3]), np.array([4, 5, 6])], 2)
    assert windows.tolist() == [[0, 1, 2], [1, 2, 3], [4, 5, 6]]


def test_allowed_next_is_the_rule():
    windows = np.array([[8, 3, 11, 1], [3, 11, 4, 11]])
    allowed = allowed_next(RULES["plus_last_even"], VOCABULARY, windows)
    assert np.argwhere(allowed).tolist() == [[0, 2, 8], [1, 3, 4]]


def test_judging_looks_no_further_back_than_its_context():
    sequence = np.array([8, 3, 3, 11, 5])
    assert judge_sequence(RULES["plus_last_even"], VOCABULARY, sequence, 4).tolist() == [-1, -1, -1, -1, 0]
    assert judge_sequence(RULES["plus_last_even"], VOCABULARY, sequence, 3).tolist() == [-1] * 5
