"""Attention in three sequences: what each position looks for, what it offers, and who reads from whom."""

import numpy as np
from matplotlib.lines import Line2D

from figures.labels import add_labels_beside, at_position
from figures.sequences import (
    MARKS, ROWS, TALL, attention_map, backdrop, bar, common_plane, demo_caches, flat, header, largest, legend,
    marker, rings, row_labels, show_plane, square_map, vector_map, verdicts,
)
from figures.style import INK, PALE, SIGNED, K, Q, panel, title
from scratchformer.data import allowed_next

SIZE = (12, 10.4)


def draw(fig, run, step):
    """One row a sequence: queries, keys, both on one plane, scores, attention."""
    caches = demo_caches(run, step)
    H = run.config.model.num_heads
    head = f", head 1 of {H}" if H > 1 else ""
    title(
        fig, f"Queries, keys and attention of {run.config.name} at step {step:,}{head}",
        answer_share(run, step),
    )
    grid = run.grid(step)
    background = np.concatenate([flat(grid.q[:, 0]), flat(grid.k[:, 0])])
    vectors = [part[0, 0] for cache in caches for part in (cache.q, cache.k)]
    (back, *points), names = common_plane([background, *vectors])
    limit = largest([part for cache in caches for part in (cache.q[0, 0], cache.k[0, 0])])
    scores = [causal(cache.scores[0, 0]) for cache in caches]
    high = largest(scores)
    for row, (bottom, cache) in enumerate(zip(ROWS, caches, strict=False)):
        labels, state = row_labels(run, cache), verdicts(run, cache)
        header(fig, bottom, run, cache, state)
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


def answer_share(run, step):
    """How much the constrained positions read from tokens that the rule allows next, in words."""
    windows = run.data.held_out_windows[:, :-1]
    allowed = allowed_next(run.rule, run.data.vocabulary, windows)
    chosen = allowed.any(axis=-1)
    if not chosen.any():
        return "the rule constrains no position of the held-out windows"
    attention = run.forward(step, windows).attention[:, 0]
    answers = np.take_along_axis(allowed, windows[:, None], axis=-1)        # query position by key position
    share = (attention * answers).sum(axis=-1)[chosen].mean()
    return (
        f"at constrained positions of held-out windows {share:.1%} of attention goes to tokens that "
        f"the rule allows next ({chosen.sum():,} positions)"
    )


def causal(scores):
    """Scores without those of keys that lie in a query's future: (T, T) masked."""
    return np.ma.masked_array(scores, np.triu(np.ones(scores.shape, bool), 1))


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
    ax.set_title("queries and keys")
