"""Which sequences the figures follow through the model."""

import numpy as np

from scratchformer.run.data import allowed_next

CLASSIC = (10, "+", 10, 6, "+", 6, 4, 8)
COUNT = 3


def choose_demos(rule, data, held_out, wrong):
    """Sequences to follow, COUNT of them where there are so many: list of (T,) token ids.

    The first is 10 + 10 6 + 6 4 8 where the model can read it and the rule constrains two positions. The
    others are held-out windows that put the rule to the test, each from a sequence of its own where there are
    enough: see `merits`. Where the model is wrong anywhere, the last of them is a window in which it is.

    held_out: HeldOut; wrong: (N, T) bool, where the finished model breaks the rule
    """
    ids = {token: i for i, token in enumerate(data.vocabulary)}
    demos = []
    if set(CLASSIC) <= set(ids) and len(CLASSIC) <= held_out.tokens.shape[1]:
        demo = np.array([ids[token] for token in CLASSIC])
        if allowed_next(rule, data.vocabulary, demo[None]).any(axis=-1).sum() >= 2:
            demos.append(demo)
    fails = wrong.any(axis=-1)
    order = np.lexsort(merits(held_out.tokens, held_out.allowed)[::-1])[::-1]
    room, last = COUNT - len(demos), order[fails[order]][:1]
    sources = sequence_numbers(data, held_out.tokens.shape[1])
    chosen = [*last]
    for own_source, own_tokens in ((True, True), (False, True), (False, False)):        # the less, the later
        for n in order:
            same = (held_out.tokens[chosen] == held_out.tokens[n]).all(axis=-1).any()
            near = sources[n] in sources[chosen]
            if len(chosen) < room and n not in chosen and not (same and own_tokens or near and own_source):
                chosen.append(n)
    return demos + [held_out.tokens[n] for n in [*chosen[len(last):], *last]]


def merits(tokens, allowed):
    """What speaks for each window, the most important first: list of (N,).

    Two constrained positions with different answers, three or more apart; constrained positions whose answer
    is not simply the token there or the one before; those with a token before them that is an answer
    elsewhere and not here; and early windows before late ones.

    tokens: (N, T) ids; allowed: (N, T, V) bool
    """
    N, T = tokens.shape
    constrained = allowed.any(axis=-1)                                          # (N, T)
    count, first = constrained.sum(axis=-1), constrained.argmax(axis=-1)
    last = T - 1 - constrained[:, ::-1].argmax(axis=-1)
    rows = np.arange(N)
    differ = (allowed[rows, first] != allowed[rows, last]).any(axis=-1)
    rows, here = rows[:, None], np.arange(T)
    near = allowed[rows, here, tokens]
    near[:, 1:] |= allowed[rows, here[1:], tokens[:, :-1]]
    answers = (allowed & (allowed.sum(axis=-1, keepdims=True) == 1)).any(axis=(0, 1))       # (V,)
    rivals = np.zeros_like(constrained)
    for back in range(1, T):
        before = tokens[:, :-back]
        rivals[:, back:] |= answers[before] & ~allowed[rows, here[back:], before]
    return [
        (count == 2) & differ & (last - first >= 3), (constrained & ~near).sum(axis=-1).clip(max=2), differ,
        (constrained & ~near & rivals).sum(axis=-1).clip(max=2), -count, -np.arange(N),
    ]


def sequence_numbers(data, block_size):
    """Which held-out sequence each held-out window is cut from: (N,)."""
    counts = [max(0, len(sequence) - block_size) for sequence in data.held_out_sequences]
    return np.repeat(np.arange(len(counts)), counts)
