"""Where the answer travels: activations of one window put into another that differs in one token."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from scratchformer.analysis.interventions import FAMILIES, forward_edited, numbers_a_window
from scratchformer.figures.sequences import bar
from scratchformer.figures.style import INK, SIGNED, inches, panel, ticks, title, write_cells
from scratchformer.figures.words import code, counted

SIZE = (11, 5.2)
NAMES = ("embed", "q", "k", "v", "attention", "attn_out", "resid_mid", "ffn_out", "resid_post")
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
        return shares(self.moved.sum(axis=0), self.gap.sum())

    def example(self):
        """Of the first pair."""
        return shares(self.moved[0], self.gap[0])


def draw(fig, model):
    """Two maps of activation by position: the mean of all pairs, and one pair."""
    result = patching(model)
    title(
        fig, f"The answer's way through {model.name} at step {model.step:,}: one activation patched",
        f"{headline(result)}\n{detail(model, result)}",
    )
    if not result.pairs:
        return
    first, names = result.pairs[0], shown(model)
    t = len(first.tokens) - 1
    start = max(0, first.place - 2)     # before the changed token both windows are the same
    values = [result.mean()[:, start:], result.example()[:, start:]]
    limit = max(1.0, *(np.abs(value).max() for value in values))
    roles = [role(s, first.place, t) for s in range(start, t + 1)]
    for left, value, columns, text in (
        (1.0, values[0], roles, f"mean of {counted(len(result.pairs), 'pair')}"),
        (5.9, values[1], example_labels(model, first)[start:], f"one pair: {answers(model, first)}"),
    ):
        ax = panel(fig, left, 0.85, 4.15, 2.95)
        image = ax.imshow(value, cmap=SIGNED, vmin=-limit, vmax=limit, aspect="auto")
        ticks(ax.yaxis, names, inches(ax)[1])
        ticks(ax.xaxis, columns, inches(ax)[0])
        ax.set_title(text)
        ax.set_xlabel("position whose activation is taken from the other window")
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        write_cells(ax, value, limit)
        for edge in {first.place, t}:
            ax.get_xticklabels()[edge - start].set(fontweight="bold", color=INK)
    bar(fig, image, "share of the answer moved")


@lru_cache(maxsize=4)
def patching(model):
    """The Patching of a saved step's model, with pairs that it gets right both times, or any if there are
    none; without pairs where the rule has none in held-out windows."""
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
    rows = len(shown(model)) * (tokens.shape[1] - pairs[0].place)
    chosen = chosen[: max(1, COST // (rows * numbers_a_window(model)))]
    pairs = [pairs[i] for i in chosen]
    start, end = difference(before.logits[chosen], pairs), difference(after.logits[chosen], pairs)
    moved = patch_all(model, tokens[chosen], after, chosen, pairs) - start[:, None, None]
    return Patching(pairs, sum(right[i] for i in chosen), moved, end - start)


def patch_all(model, tokens, source, rows, pairs):
    """Difference of logits at the last position with each activation at each position taken from `source`:
    (P, names, positions). Before the changed token both windows are the same, so nothing is to be done."""
    P, T = tokens.shape
    names = shown(model)
    use_residual, params = model.config.model.use_residual, model.params
    untouched = difference(model.forward(tokens).logits, pairs)
    found = np.repeat(untouched, len(names) * T).reshape(P, len(names), T)
    for place in range(pairs[0].place, T):
        here = np.arange(T) == place
        for i, name in enumerate(names):
            where = here[:, None]                               # rows of (..., T, C) and (..., T, T) alike
            edits = [(name, where, getattr(source, name)[rows])]
            edited = forward_edited(params, tokens, edits, use_residual)
            found[:, i, place] = difference(edited.logits, pairs)
    return found


def difference(logits, pairs):
    """How far the other answer is ahead of the answer after the last token: (P, T, V) -> (P,)."""
    return np.array([
        row[-1, pair.other].mean() - row[-1, pair.answer].mean()
        for row, pair in zip(logits, pairs, strict=True)
    ])


def shares(moved, gap):
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
                        key = (place, t, kind(token) == kind(tokens[place]))
                        groups.setdefault(key, []).append(Pair(window[: t + 1], changed, place, gone, come))
                        break
    middle = model.config.model.block_size // 2
    best = max(groups, default=None, key=lambda key: (
        key[2], key[1] - key[0] >= 2, min(len(groups[key]), MOST), -abs(key[1] - middle)
    ))
    return groups.get(best, [])[:MOST]


def kind(token):
    """The family of a token."""
    return next(name for name, fits in FAMILIES.items() if fits(token))


def shown(model):
    """The activations that are patched; attention at a position is its row, what it reads."""
    return NAMES if model.config.model.use_residual else NAMES[:-1]


def role(position, place, last):
    """A position's label, with what it is to the pair."""
    roles = [name for name, at in (("changed", place), ("asks", last)) if position == at]
    return f"p{position}\n{', '.join(roles)}" if roles else f"p{position}"


def example_labels(model, pair):
    """The tokens of a pair by position; at the changed one, both."""
    labels = [model.vocabulary[token] for token in pair.tokens]
    labels[pair.place] = f"{labels[pair.place]}→{model.vocabulary[pair.changed[pair.place]]}"
    return labels


def answers(model, pair):
    """The two answers of a pair in words, few of many."""
    def few(ids):
        return "/".join(model.vocabulary[i] for i in ids[:3]) + ("/…" if len(ids) > 3 else "")

    return f"answer {few(pair.answer)} → {few(pair.other)}"


def headline(result):
    """What moves the answer on its way, in words."""
    if not result.pairs:
        return "no pair to patch"
    sent, arrived = share(result, "v", result.pairs[0].place), share(result, "attn_out", -1)
    return f"v where it changed moves {sent} of the answer, attn_out where it is asked {arrived}"


def share(result, name, position):
    """The mean share of the answer moved by an activation at a position, as text."""
    return f"{result.mean()[NAMES.index(name), position] + 0.0:.0%}".replace("-", "−")


def detail(model, result):
    """What was patched, in words."""
    if not result.pairs:
        return "no held-out window, changed in one token, gets another answer from the rule"
    first = result.pairs[0]
    t = len(first.tokens) - 1
    return (
        f"pairs of windows that differ in the token at p{first.place} and so in the answer after p{t}; the "
        f"model is right in both windows of {result.followed} of {counted(len(result.pairs), 'pair')}\n"
        "a cell: this activation at this position is taken from the changed window; 0: the answer stays, "
        "1: it becomes the other"
    )


def caption(model):
    """What the figure shows, and by which activations this run's answers travel."""
    result = patching(model)
    if not result.pairs:
        return (
            "Activation patching needs two windows that differ in one token and in the answer. "
            f"Here there are none: {detail(model, result)}."
        )
    first = result.pairs[0]
    t = len(first.tokens) - 1
    heads = "" if model.config.model.num_heads == 1 else " of all heads"
    return (
        f"Both windows of a pair are the same but for the token at p{first.place}, which changes the answer "
        f"after p{t}. The model runs on the first window with one activation{heads} at one position "
        "(of `attention`, its row: what the position reads) replaced by the one it has in the second. The "
        "cell says how far the difference of the two answers' logits moves: 0 not at all, 1 all the way, "
        "below 0 or above 1 against it or too far. On the left is the mean of "
        f"{counted(len(result.pairs), 'pair')} ({result.followed} with both answers right), on the right one "
        f"of them. Here {code('v')} at p{first.place} moves {share(result, 'v', first.place)} and "
        f"{code('k')} {share(result, 'k', first.place)}; at p{t}, {code('attn_out')} moves "
        f"{share(result, 'attn_out', -1)} and {code('ffn_out')} {share(result, 'ffn_out', -1)}."
    )
