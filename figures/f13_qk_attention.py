"""Attention in three sequences: what each position looks for, what it offers, and who reads from whom."""

import numpy as np

from scratchformer.analysis.attention import answer_attention
from scratchformer.analysis.followed import follow_all
from scratchformer.analysis.landscape import flat
from scratchformer.figures.marks import backdrop, legend, marker, rings
from scratchformer.figures.sequences import (
    TALL, attention_map, causal, common_plane, framed_row, label_points, largest, mark_rows, marked, rows_of,
    show_plane, square_map, vector_map,
)
from scratchformer.figures.style import INK, K, PALE, Q, SIGNED, figure_title, panel
from scratchformer.figures.words import counted, head_shown, sentence, span

HEADING = "Queries, keys and attention"
QUESTION = "Who reads from whom?"
LOOK = "the framed rows, where the rule asks, and beside each how much of its attention goes to the answer"
SIZE = (12, 10.4)


def draw(fig, model):
    """One row a sequence: queries, keys, both on one plane, scores, attention."""
    grid, demos = model.grid, follow_all(model)
    figure_title(fig, model, f"Who reads from whom{head_shown(model)}: {describe_answers(demos)}")
    caches = [demo.cache for demo in demos]
    background = np.concatenate([flat(grid.q[:, 0]), flat(grid.k[:, 0])])
    vectors = [part[0, 0] for cache in caches for part in (cache.q, cache.k)]
    (back, *points), names = common_plane([background, *vectors])
    limit, high = largest(vectors), largest([causal(cache.scores[0, 0]) for cache in caches])
    for row, bottom, demo in rows_of(fig, model, demos):
        q, k, scores = (getattr(demo.cache, name)[0, 0] for name in ("q", "k", "scores"))
        ax = panel(fig, 0.6, bottom, 0.9, TALL)
        vector_map(ax, q, demo.words, limit, "query q")
        mark_rows(ax, demo)
        bars = [name * (not row) for name in ("value", "score", "share read")]
        vector_map(panel(fig, 1.7, bottom, 0.9, TALL), k, [], limit, "key k", bars[0])
        ax = panel(fig, 3.75, bottom, TALL, TALL)
        qk_panel(ax, back, points[2 * row], points[2 * row + 1], names, demo)
        ax = panel(fig, 6.25, bottom, 1.6, TALL)
        square_map(ax, scores, demo.words, "scores q·k/√D, masked", SIGNED, -high, high, bars[1])
        mark_rows(ax, demo, scores, ".0f" if high >= 10 else ".1f")
        attention_map(fig, 9.45, bottom, demo, bars[2])
    legend(fig, [
        marker("o", Q, "query"), marker("o", K, "key"), marker("o", PALE, "every query and key there is"),
        marker("o", INK, "query where the rule asks (✓ right, ✗ wrong)", markerfacecolor="none",
               markersize=9),
        framed_row("the answer's score or share"),
    ])


def describe_answers(demos):
    """How much of the attention in these sequences goes to the answers, in words."""
    shares = [
        demo.cache.attention[0, 0, t, : t + 1][demo.allowed[t, demo.cache.tokens[0, : t + 1]]].sum()
        for demo in demos for t in demo.where
    ]
    if not shares:
        return "the rule asks for nothing"
    return f"where the rule asks, the answer gets {span(shares)} of attention"


def in_words(share, count):
    """A share of attention and at how many positions it was measured, in words."""
    if not count:
        return "the rule constrains no position of the held-out windows"
    return (
        f"at the {counted(count, 'constrained position')} of held-out windows, {share:.1%} of attention goes "
        "to positions that hold an answer"
    )


def qk_panel(ax, back, q, k, names, demo):
    """The sequence's queries and keys among all there are, ringed where the rule says what comes next."""
    points = np.concatenate([q, k])
    show_plane(ax, np.concatenate([back, points]), names)
    backdrop(ax, back)
    ax.scatter(*q.T, s=14, marker="o", c=Q, linewidths=0, zorder=3)
    ax.scatter(*k.T, s=14, marker="o", c=K, linewidths=0, zorder=3)
    rings(ax, q[demo.where])
    label_points(ax, points, marked(demo) + demo.labels, [Q] * len(q) + [K] * len(k), 8, 4)
    ax.set_title("queries and keys")


def caption(model):
    """What the figure shows, and how much of this run's attention goes to the answers."""
    state = np.concatenate([demo.state for demo in follow_all(model)])
    share, even, count = answer_attention(model)
    result = in_words(share, count)
    if even:
        result += f"; to read all keys evenly would give {even:.1%}, so they get {share / even:.2f} times it"
    return (
        f"Each row follows one of {counted(len(model.demos), 'sequence')}"
        + head_shown(model, " through ")
        + ": its queries and keys as numbers, both among all there are on one plane, the score of each query "
        "with each key, and the attention that a softmax makes of the scores, both left blank where the "
        "key lies in the future. A row of attention sums to 1 and tells whom that position reads. "
        + (f"Ringed queries are the {counted(int((state >= 0).sum()), 'position')} where the rule says what "
           f"comes next, the answer; the model is right at {(state == 1).sum()}. "
           if (state >= 0).any() else "")
        + f"{sentence(result)} What is brought along by this reading is the value, next."
    )
