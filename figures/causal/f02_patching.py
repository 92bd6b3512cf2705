"""Where the answer travels: activations of one window put into another that differs in one token."""

import numpy as np

from scratchformer.analysis.patching import patch_pairs, patched_names
from scratchformer.figures.style import (
    INK, SIGNED, color_bar, figure_title, inches, panel, show_matrix, ticks, write_cells,
)
from scratchformer.figures.words import code, counted, minus

HEADING = "Patched"
QUESTION = "By which activations does an answer travel?"
LOOK = "the red cells: first at the changed token, then at the one that asks"
SIZE = (11, 5.2)


def draw(fig, model):
    """Two maps of activation by position: the mean of all pairs, and one pair."""
    result = patch_pairs(model)
    figure_title(fig, model, finding(result))
    if not result.pairs:
        return
    first, names = result.pairs[0], patched_names(model)
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
        image = show_matrix(ax, value, SIGNED, -limit, limit, interpolation=None)
        ticks(ax.yaxis, names, inches(ax)[1])
        ticks(ax.xaxis, columns, inches(ax)[0])
        ax.set_title(text)
        ax.set_xlabel("position whose activation is taken from the other window")
        write_cells(ax, value, limit)
        for edge in {first.place, t}:
            ax.get_xticklabels()[edge - start].set(fontweight="bold", color=INK)
    color_bar(image, "share of the answer moved")


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


def finding(result):
    """What moves the answer on its way, in words."""
    if not result.pairs:
        return "The answer's way cannot be traced: no pair of windows to patch"
    sent, arrived = share(result, "v", result.pairs[0].place), share(result, "attn_out", -1)
    return f"v at the changed token moves {sent} of the answer, attn_out at the last {arrived}"


def share(result, name, position):
    """The mean share of the answer moved by an activation at a position, as text."""
    return minus(f"{result.share(name, position) + 0.0:.0%}")


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
    result = patch_pairs(model)
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
