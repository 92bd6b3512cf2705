"""Where the rule takes an answer from."""

from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.analysis.sources import answer_sources
from scratchformer.run.config import load_config
from scratchformer.run.data import make_vocabulary
from scratchformer.run.own_rule import find_rule


def sources(config, words, context=None):
    found = load_config(config)
    vocabulary = make_vocabulary(found)
    model = SimpleNamespace(rule=find_rule(found.data), data=SimpleNamespace(vocabulary=vocabulary))
    names = [str(token) for token in vocabulary]
    sequence = np.array([names.index(word) for word in words.split()])
    return answer_sources(model, sequence, context or len(sequence)).tolist()


def test_a_copied_token_comes_from_where_it_stood():
    assert sources("plus_last_even", "8 3 5 + 8 6 1 + 6") == [-1, -1, -1, -1, 0, -1, -1, -1, 5]
    assert sources("plus_last_even", "6 6 + 6") == [-1, -1, -1, 1]              # the later of two alike
    assert sources("lucky7", "3 7 3 4") == [-1, -1, 0, -1]
    assert sources("copy_modulo", "5 1 2 5 1 2") == [-1, -1, -1, 0, 1, 2]


def test_of_a_wrong_token_it_is_the_right_one_s():
    assert sources("plus_last_even", "8 3 + 5") == [-1, -1, -1, 0]


def test_what_is_not_copied_has_no_source():
    assert sources("successor", "3 4 5 6") == 4 * [-1]                          # 4 is one more than 3
    assert sources("plus_means_even", "4 + 4 + 6") == 5 * [-1]                  # any even number will do


@given(st.lists(st.sampled_from([*map(str, range(11)), "+"]), min_size=1, max_size=20), st.integers(1, 8))
def test_no_more_is_seen_than_the_context(words, context):
    for t, source in enumerate(sources("plus_last_even", " ".join(words), context)):
        evens = [s for s in range(max(0, t - context), t) if words[s] != "+" and int(words[s]) % 2 == 0]
        assert source == (evens[-1] if t and words[t - 1] == "+" and evens else -1)
