"""One sequence in a model: its activations, what the rule allows after each position, what is predicted."""

from typing import NamedTuple

import numpy as np

from scratchformer.engine.names import Cache
from scratchformer.run.data import allowed_next
from scratchformer.run.judge import lands_right

SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


class Followed(NamedTuple):
    """A sequence of T tokens in a model."""

    cache: Cache                        # of one row
    words: list                         # its tokens as text
    labels: list                        # the same with their positions, such as 8₇
    allowed: np.ndarray                 # (T, V) bool, without True where the rule says nothing
    state: np.ndarray                   # (T,): is the top prediction right: 1, 0, or -1 where it is open
    where: np.ndarray                   # constrained positions


def at_position(token, position):
    """The label of a token at a position, such as 8₇."""
    return f"{token}{str(position).translate(SUBSCRIPTS)}"


def follow(model, tokens):
    """The Followed of (T,) token ids in a model."""
    cache = model.forward(tokens[None])
    allowed = allowed_next(model.rule, model.data.vocabulary, cache.tokens)
    state = prediction_verdicts(cache.logits, allowed)[0]
    words = [model.vocabulary[token] for token in tokens]
    labels = [at_position(word, t) for t, word in enumerate(words)]
    return Followed(cache, words, labels, allowed[0], state, np.flatnonzero(state >= 0))


def follow_all(model):
    """All of the run's sequences in a model of it: list of Followed."""
    return [follow(model, tokens) for tokens in model.demos]


def prediction_verdicts(logits, allowed):
    """Whether the top prediction follows the rule, 1 or 0, or -1 if it is open: (B, T, V) twice -> (B, T)."""
    return np.where(allowed.any(axis=-1), lands_right(logits, allowed), -1)


def arrow_lengths(followed):
    """{kind of position: (mean length of mixed - v, of resid_mid - embed, how many)} in several Followed:
    constrained positions, others; of the first head."""
    state = np.concatenate([one.state for one in followed])
    mixing = np.concatenate([one.cache.mixed[0, 0] - one.cache.v[0, 0] for one in followed])
    moving = np.concatenate([one.cache.resid_mid[0] - one.cache.embed[0] for one in followed])
    return {
        name: (*(float(np.linalg.norm(arrows[which], axis=-1).mean()) for arrows in (mixing, moving)),
               int(which.sum()))
        for name, which in (("constrained", state >= 0), ("other", state < 0)) if which.any()
    }


def mean_move(followed):
    """How far attention moves the constrained positions on average; all positions if there are none."""
    lengths = np.linalg.norm(followed.cache.resid_mid[0] - followed.cache.embed[0], axis=-1)
    return float(lengths[followed.where].mean() if len(followed.where) else lengths.mean())


def likeliest_at(followed, token, count):
    """At most so many of the constrained positions: those that a token answers, then those where it gets most
    probability."""
    key = followed.allowed[:, token] + followed.cache.probs[0, :, token]
    return followed.where[np.argsort(-key[followed.where], kind="stable")][:count]
