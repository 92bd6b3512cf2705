"""Attention in three sequences: what each position looks for, what it offers, and who reads from whom."""

import numpy as np
from matplotlib.lines import Line2D

from scratchformer.figures.labels import add_labels_beside, at_position
from scratchformer.figures.landscapes import halo_labels
from scratchformer.figures.qk import evenly
from scratchformer.figures.sequences import (
    MARKS, ROWS, TALL, attention_map, backdrop, bar, causal, common_plane, demo_caches, flat, header, largest,
    legend, marker, rings, row_labels, show_plane, square_map, vector_map, verdicts,
)
from scratchformer.figures.style import INK, PALE, SIGNED, K, Q, panel, title
from scratchformer.figures.words import counted, sentence

SIZE = (12, 10.4)


def draw(fig, model):
    """One row a sequence: queries, keys, both on one plane, scores, attention."""
    caches = demo_caches(model)
    H = model.config.model.num_heads
    head = f", head 1 of {H}" if H > 1 else ""
    title(
        fig, f"Queries, keys and attention of {model.name} at step {model.step:,}{head}",
        answer_share(model),
    )
    grid = model.grid
    background = np.concatenate([flat(grid.q[:, 0]), flat(grid.k[:, 0])])
    vectors = [part[0, 0] for cache in caches for part in (cache.q, cache.k)]
    (back, *points), names = common_plane([background, *vectors])
    limit = largest([part for cache in caches for part in (cache.q[0, 0], cache.k[0, 0])])
    scores = [causal(cache.scores[0, 0]) for cache in caches]
    high = largest(scores)
    for row, (bottom, cache) in enumerate(zip(ROWS, caches, strict=False)):
        labels, state = row_labels(model, cache), verdicts(model, cache)
        header(fig, bottom, model, cache, state)
        vector_map(panel(fig, 0.6, bottom, 0.9, TALL), cache.q[0, 0], labels, limit, "query q")
        image = vector_map(panel(fig, 1.7, bottom, 0.9, TALL), cache.k[0, 0], [], limit, "key k")
        if not row:
            bar(fig, image, "value, all rows")
        ax = panel(fig, 3.95, bottom, TALL, TALL)
        qk_panel(ax, back, points[2 * row], points[2 * row + 1], names, labels, state)
        image = square_map(
            panel(fig, 6.95, bottom, 1.6, TALL), scores[row], labels, "scores q·k/√D, masked", SIGNED,
            -high, high,
        )
        if not row:
            bar(fig, image, "score, all rows")
        image = attention_map(fig, 9.75, bottom, cache, labels)
        if not row:
            bar(fig, image, "share read, all rows")
    handles = [
        marker("o", Q, "query"), marker("s", K, "key"), marker("o", PALE, "every query and key there is"),
        Line2D([], [], linestyle="", marker="o", color=INK, markerfacecolor="none", markersize=9,
               label="query where the rule says what comes next (✓ model right, ✗ wrong)"),
    ]
    legend(fig, handles)


def answer_share(model):
    """How much the constrained positions read from positions that hold an answer, in words."""
    share, _, count = answer_attention(model)
    return in_words(share, count)


def in_words(share, count):
    """A share of attention and at how many positions it was measured, in words."""
    if not count:
        return "the rule constrains no position of the held-out windows"
    return (
        f"at the {counted(count, 'constrained position')} of held-out windows, {share:.1%} of attention goes "
        "to positions that hold an answer"
    )


def answer_attention(model):
    """(share of attention that goes to positions holding tokens allowed next, at the constrained positions of
    held-out windows, the share if all keys were read evenly, how many such positions there are)."""
    allowed = model.run.held_out.allowed
    chosen = allowed.any(axis=-1)
    if not chosen.any():
        return 0.0, 0.0, 0
    attention = model.held_out.attention[:, 0]
    keys = model.run.held_out.tokens[:, None]
    answers = np.take_along_axis(allowed, keys, axis=-1)                    # query by key position
    share, even = (
        float((weights * answers).sum(axis=-1)[chosen].mean())
        for weights in (attention, evenly(attention.shape[-1]))
    )
    return share, even, int(chosen.sum())


def qk_panel(ax, back, q, k, names, labels, state):
    """The sequence's queries and keys among all there are, ringed where the rule says what comes next."""
    show_plane(ax, np.concatenate([back, q, k]), names)
    backdrop(ax, back)
    ax.scatter(*q.T, s=14, marker="o", c=Q, linewidths=0, zorder=3)
    ax.scatter(*k.T, s=14, marker="s", c=K, linewidths=0, zorder=3)
    rings(ax, q[state >= 0])
    texts = [at_position(label, t) for t, label in enumerate(labels)]
    marked = [text + MARKS[int(s)] for text, s in zip(texts, state, strict=True)]
    points = np.concatenate([q, k])
    add_labels_beside(ax, points, marked + texts, [Q] * len(q) + [K] * len(k), 7.5, 4, points)
    halo_labels(ax)
    ax.set_title("queries and keys")


def caption(model):
    """What the figure shows, and how much of this run's attention goes to the answers."""
    caches = demo_caches(model)
    state = np.concatenate([verdicts(model, cache) for cache in caches])
    H = model.config.model.num_heads
    share, even, count = answer_attention(model)
    result = in_words(share, count)
    if even:
        result += f"; to read all keys evenly would give {even:.1%}, so they get {share / even:.2f} times it"
    return (
        f"Each row follows one of {counted(len(caches), 'sequence')}"
        + (f" through head 1 of {H}" if H > 1 else "")
        + ": its queries and keys as numbers, both among all there are on one plane, the score of each query "
        "with each key, and the attention that a softmax makes of the scores, both left blank where the "
        "key lies in the future. A row of attention sums to 1 and tells whom that position reads. "
        + (f"Ringed queries are the {counted(int((state >= 0).sum()), 'position')} where the rule says what "
           f"comes next, the answer; the model is right at {(state == 1).sum()}. "
           if (state >= 0).any() else "")
        + f"{sentence(result)} What is brought along by this reading is the value, next."
    )
