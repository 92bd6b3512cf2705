"""Which sequences the figures follow through the model."""

import numpy as np

from scratchformer.run.data import allowed_next

CLASSIC = (10, "+", 10, 6, "+", 6, 4, 8)
COUNT = 3


def choose_demos(rule, vocabulary, held_out):
    """Three sequences to follow: list of (T,) token ids.

    The first is 10 + 10 6 + 6 4 8 where the model can read it and the rule constrains two positions.
    The others are the first held-out windows with just two constrained positions, three or more
    apart, whose answers differ, and an odd number between; where there are too few, first those
    without the odd number, then the ones with most answers.

    held_out: HeldOut
    """
    ids = {token: i for i, token in enumerate(vocabulary)}
    fits = set(CLASSIC) <= set(ids) and len(CLASSIC) <= held_out.tokens.shape[1]
    demos = [np.array([ids[token] for token in CLASSIC])] if fits else []
    if fits and allowed_next(rule, vocabulary, demos[0][None]).any(axis=-1).sum() < 2:
        demos = []
    odd = np.array([isinstance(token, int) and token % 2 == 1 for token in vocabulary])
    merits = []
    for window, allowed in zip(held_out.tokens, held_out.allowed, strict=True):
        (where,) = allowed.any(axis=-1).nonzero()
        different = len(np.unique(allowed[where], axis=0))
        plain = len(where) == different == 2 and where[1] - where[0] >= 3
        merits.append((plain, plain and odd[window[where[0] + 2 : where[1]]].any(), different))
    order = sorted(range(len(merits)), key=merits.__getitem__, reverse=True)
    return demos + [held_out.tokens[n] for n in order[: COUNT - len(demos)]]
