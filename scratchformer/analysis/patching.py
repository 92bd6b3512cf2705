"""Activation patching: activations of one window put into another that differs in one token."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from scratchformer.analysis.families import family
from scratchformer.analysis.interventions import forward_edited, numbers_a_window

PATCHED = ("embed", "q", "k", "v", "attention", "attn_out", "resid_mid", "ffn_out", "resid_post")
COST = 1_500_000                        # numbers to compute for the whole map
MOST, TRIES = 24, 50_000                # pairs, and calls of the rule to find them
SHIFTS = (*range(2, 25, 2), *range(1, 25, 2))       # how many ids on the other token is: first of its parity


class Pair(NamedTuple):
    """Two windows that differ at `place` alone and, after their last token, in what the rule allows."""

    tokens: np.ndarray                  # (t + 1,) ids
    changed: np.ndarray
    place: int
    answer: list                        # ids that the rule allows after `tokens`, not after `changed`
    other: list                         # and the other way round


class Patching(NamedTuple):
    """What was patched: pairs of one shape, and the share of the answer that moved."""

    pairs: list
    followed: int                       # in how many pairs the model gives the right answer both times
    moved: np.ndarray                   # (P, names, positions) of difference of logits moved, absolute
    gap: np.ndarray                     # (P,): what it is between the two windows

    def mean(self):
        """Of all pairs: (names, positions), 0 is the answer as it was, 1 the other one."""
        return as_shares(self.moved.sum(axis=0), self.gap.sum())

    def example(self):
        """Of the first pair."""
        return as_shares(self.moved[0], self.gap[0])

    def share(self, name, position):
        """The mean share of the answer moved by an activation at a position."""
        return self.mean()[PATCHED.index(name), position]


@lru_cache(maxsize=4)
def patch_pairs(model):
    """The Patching of a model, with pairs that it gets right both times, or any if there are none; without
    pairs where the rule has none in held-out windows."""
    pairs = find_pairs(model)
    if not pairs:
        return Patching([], 0, np.zeros((0, 0, 0)), np.zeros(0))
    tokens, changed = (np.array([getattr(pair, name) for pair in pairs]) for name in ("tokens", "changed"))
    before, after = model.forward(tokens), model.forward(changed)
    right = [
        before.logits[i, -1].argmax() in pair.answer and after.logits[i, -1].argmax() in pair.other
        for i, pair in enumerate(pairs)
    ]
    chosen = np.flatnonzero(right if any(right) else np.ones(len(pairs), bool))
    rows = len(patched_names(model)) * (tokens.shape[1] - pairs[0].place)
    chosen = chosen[: max(1, COST // (rows * numbers_a_window(model)))]
    pairs = [pairs[i] for i in chosen]
    start, end = answer_lead(before.logits[chosen], pairs), answer_lead(after.logits[chosen], pairs)
    moved = patch_each(model, tokens[chosen], after, chosen, pairs) - start[:, None, None]
    return Patching(pairs, sum(right[i] for i in chosen), moved, end - start)


def patch_each(model, tokens, source, rows, pairs):
    """Difference of logits at the last position with each activation at each position taken from `source`:
    (P, names, positions). Before the changed token both windows are the same, so nothing is to be done."""
    P, T = tokens.shape
    names = patched_names(model)
    untouched = answer_lead(model.forward(tokens).logits, pairs)
    found = np.repeat(untouched, len(names) * T).reshape(P, len(names), T)
    for place in range(pairs[0].place, T):
        where = (np.arange(T) == place)[:, None]                # rows of (..., T, C) and (..., T, T) alike
        for i, name in enumerate(names):
            edits = [(name, where, getattr(source, name)[rows])]
            edited = forward_edited(model.params, tokens, edits, model.use_residual)
            found[:, i, place] = answer_lead(edited.logits, pairs)
    return found


def answer_lead(logits, pairs):
    """How far the other answer is ahead of the answer after the last token: (P, T, V) -> (P,)."""
    return np.array([
        row[-1, pair.other].mean() - row[-1, pair.answer].mean()
        for row, pair in zip(logits, pairs, strict=True)
    ])


def as_shares(moved, gap):
    """Moved differences as shares of the whole; 0 where there is no difference to move."""
    return moved / gap if abs(gap) > 1e-12 else np.zeros_like(moved)


@lru_cache(maxsize=4)
def find_pairs(model):
    """Pairs made from held-out windows by changing one token: all with the same place, the same last position
    and tokens of one family, or of two, there. Of such combinations the best has one family, something in
    between, many pairs, and lies mid-window."""
    vocabulary, groups, tries = model.data.vocabulary, {}, 0
    ids = {token: i for i, token in enumerate(vocabulary)}
    shifts = [shift for shift in SHIFTS if shift < len(vocabulary)]
    for window, allowed in zip(model.run.held_out.tokens, model.run.held_out.allowed, strict=True):
        for t in np.flatnonzero(allowed.any(axis=-1)).tolist():
            tokens = [vocabulary[i] for i in window[: t + 1]]
            answer = {vocabulary[i] for i in np.flatnonzero(allowed[t])}
            for place in range(t + 1):
                for shift in shifts if tries < TRIES else ():
                    token = vocabulary[(window[place] + shift) % len(vocabulary)]
                    other = model.rule([*tokens[:place], token, *tokens[place + 1 :]]) or set()
                    tries += 1
                    if answer - other and other - answer:
                        changed = window[: t + 1].copy()
                        changed[place] = ids[token]
                        gone, come = (sorted(map(ids.get, s)) for s in (answer - other, other - answer))
                        key = (place, t, family(str(token)) == family(str(tokens[place])))
                        groups.setdefault(key, []).append(Pair(window[: t + 1], changed, place, gone, come))
                        break
    middle = model.config.model.block_size // 2
    best = max(groups, default=None, key=lambda key: (
        key[2], key[1] - key[0] >= 2, min(len(groups[key]), MOST), -abs(key[1] - middle)
    ))
    return groups.get(best, [])[:MOST]


def patched_names(model):
    """The activations that are patched; attention at a position is its row, what it reads."""
    return PATCHED if model.use_residual else PATCHED[:-1]
