"""Sequences that follow a rule, and the windows that the model is trained and judged on."""

from typing import NamedTuple

import numpy as np

from scratchformer.run.own_rule import find_rule
from scratchformer.run.own_text import read_sequences


class Data(NamedTuple):
    """What a run is trained and judged on. Windows are (N, block_size + 1) token ids."""

    vocabulary: tuple                   # id -> token: numbers as int, operators as str
    train_sequences: list               # of id arrays
    held_out_sequences: list
    train_windows: np.ndarray
    held_out_windows: np.ndarray


def make_vocabulary(config):
    """Tokens in id order: the numbers 0, 1, ..., then the operators."""
    return tuple(range(config.data.numbers)) + tuple(config.data.operators)


def make_data(config, rng):
    """Draw the sequences of a config, or read and shuffle them, split them, and cut the windows. All
    randomness is `rng`'s."""
    vocabulary = make_vocabulary(config)
    rule = find_rule(config.data)
    if config.data.text:
        sequences = read_sequences(config.data.text, vocabulary)
        sequences = [np.array(sequences[i]) for i in rng.permutation(len(sequences))]
    else:
        lengths = rng.integers(
            config.data.min_length, config.data.max_length, config.data.num_sequences, endpoint=True
        )
        sequences = [
            generate_sequence(rule, vocabulary, length, config.data.operator_probability, rng)
            for length in lengths
        ]
    held_out = round(config.data.held_out_fraction * len(sequences))
    train_sequences, held_out_sequences = sequences[held_out:], sequences[:held_out]
    block_size = config.model.block_size
    return Data(
        vocabulary, train_sequences, held_out_sequences,
        cut_windows(train_sequences, block_size), cut_windows(held_out_sequences, block_size),
    )


def parse_tokens(text, vocabulary, longest):
    """The ids of tokens written with spaces between them: (T,) int64, 1 <= T <= longest.

    vocabulary: tokens in id order. Raises ValueError, one line, for any other text.
    """
    words = [str(token) for token in vocabulary]
    tokens = text.split()
    shown = words if len(words) <= 40 else [*words[:3], "...", *words[-3:]]
    unknown = [token for token in tokens if token not in words]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not a token; the tokens are {' '.join(shown)}")
    if not 1 <= len(tokens) <= longest:
        raise ValueError(
            f"{text!r} has {len(tokens)} tokens; allowed are 1 to {longest}, with spaces between, "
            f"of {' '.join(shown)}"
        )
    return np.array([words.index(token) for token in tokens], np.int64)


def generate_sequence(rule, vocabulary, length, operator_probability, rng):
    """One sequence that follows the rule: (length,) token ids.

    Where the rule allows any token: an operator with `operator_probability`, else a number, each
    kind uniformly. Where it does: uniformly one of the tokens allowed.
    """
    numbers = [token for token in vocabulary if isinstance(token, int)]
    operators = [token for token in vocabulary if not isinstance(token, int)]
    ids = {token: i for i, token in enumerate(vocabulary)}
    draws = rng.random((length, 2))
    history = []
    for kind, choice in draws.tolist():
        allowed = rule(history) if history else None
        if allowed is not None:
            options = sorted(allowed, key=ids.get)
        elif operators and kind < operator_probability:
            options = operators
        else:
            options = numbers
        history.append(options[int(choice * len(options))])
    return np.array([ids[token] for token in history])


def cut_windows(sequences, block_size):
    """Every stretch of block_size + 1 tokens that lies within one sequence: (N, block_size + 1)."""
    ends = np.cumsum([len(sequence) for sequence in sequences])
    starts = np.concatenate([
        np.arange(end - len(sequence), end - block_size)
        for sequence, end in zip(sequences, ends, strict=True)
    ])
    return np.concatenate(sequences)[starts[:, None] + np.arange(block_size + 1)]


def allowed_next(rule, vocabulary, windows):
    """What the rule allows after each position, knowing no more than the window up to there.

    windows: (N, L) ids -> (N, L, V) bool; a row without True is a position the rule leaves open
    """
    ids = {token: i for i, token in enumerate(vocabulary)}
    tokens = [[vocabulary[i] for i in window] for window in windows.tolist()]
    allowed = np.zeros((*windows.shape, len(vocabulary)), bool)
    for n, window in enumerate(tokens):
        for t in range(len(window)):
            for token in rule(window[: t + 1]) or ():
                allowed[n, t, ids[token]] = True
    return allowed


def judge_sequence(rule, vocabulary, sequence, context):
    """Whether each token follows the rule, given at most `context` tokens before it.

    sequence: ids -> (L,) int8: 1 right, 0 wrong, -1 where the rule allows any token
    """
    tokens = [vocabulary[i] for i in sequence]
    verdicts = np.full(len(tokens), -1, np.int8)
    for t in range(1, len(tokens)):
        allowed = rule(tokens[max(0, t - context) : t])
        if allowed is not None:
            verdicts[t] = tokens[t] in allowed
    return verdicts
