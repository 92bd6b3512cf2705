"""What attention brings in three sequences: the values read, and their mixture at each position."""

import numpy as np

from scratchformer.analysis.attention import copies_or_blends, most_read
from scratchformer.analysis.followed import follow_all
from scratchformer.analysis.landscape import flat
from scratchformer.figures.marks import backdrop, legend, marker, rings
from scratchformer.figures.sequences import (
    TALL, attention_map, common_plane, framed_row, label_points, largest, marked, rows_of, show_plane,
    vector_map,
)
from scratchformer.figures.style import INK, MIXED, PALE, V, figure_title, panel
from scratchformer.figures.words import counted, head_shown, sentence

HEADING = "Values and their mixture"
QUESTION = "What does a position get by reading?"
LOOK = "the ringed squares on the right: each lies on the value that it copies, if it copies"
SIZE = (12, 10.4)


def draw(fig, model):
    """One row a sequence: attention, values, their mixture, and the latter two on one plane."""
    figure_title(fig, model, f"What is read{head_shown(model)}: {reading(model)}")
    demos = follow_all(model)
    caches = [demo.cache for demo in demos]
    background = flat(model.grid.v[:, 0])
    vectors = [part[0, 0] for cache in caches for part in (cache.v, cache.mixed)]
    (back, *points), names = common_plane([background, *vectors])
    everything = np.concatenate([back, *points])
    limit = largest(vectors[::2])
    for row, bottom, demo in rows_of(fig, model, demos):
        attention_map(fig, 0.75, bottom, demo, "share read, all rows" * (not row))
        v, mixed, bar = *vectors[2 * row : 2 * row + 2], "value, all rows" * (not row)
        vector_map(panel(fig, 3.5, bottom, 0.9, TALL), v, demo.words, limit, "value v")
        vector_map(panel(fig, 4.6, bottom, 0.9, TALL), mixed, [], limit, "mixed", bar)
        for left, name, shown, shape, color, beside in (
            (6.95, "values", points[2 * row], "o", V, demo.labels),
            (9.65, "mixed", points[2 * row + 1], "s", MIXED, marked(demo)),
        ):
            ax = panel(fig, left, bottom, TALL, TALL)
            show_plane(ax, everything, names)
            backdrop(ax, back)
            ax.scatter(*shown.T, s=14, marker=shape, c=color, linewidths=0, zorder=3)
            if shape == "s":
                rings(ax, shown[demo.where])
                link_copies(ax, points[2 * row], shown, demo)
            label_points(ax, shown, beside, [color] * len(shown), 8, 4.6)
            ax.set_title(name)
    legend(fig, [
        marker("o", V, "value (line: most read)"), marker("s", MIXED, "mixed = attention @ v"),
        marker("o", PALE, "all values"),
        marker("o", INK, "where the rule asks (✓ right, ✗ wrong)", markerfacecolor="none", markersize=9),
        framed_row("the answer's share"),
    ])


def link_copies(ax, values, mixed, demo):
    """Where the rule speaks, a line from the value that is read most to the mixture."""
    best = demo.cache.attention[0, 0].argmax(axis=-1)
    for t in demo.where:
        ax.plot(*np.stack([values[best[t]], mixed[t]]).T, color=V, linewidth=1.2, zorder=2)
    ax.scatter(*values[best[demo.where]].T, s=22, c=V, linewidths=0, zorder=2.5)


def reading(model):
    """How close the mixture comes to the one value that is read most, in words."""
    found = most_read(model)
    if found is None:
        return "the rule asks for nothing"
    verdict = {"copy": "a copy of one value", "close": "close to one value", "blend": "a blend of values"}
    return f"where the rule asks, {verdict[copies_or_blends(*found)]}"


def caption(model):
    """What the figure shows, and whether this run's attention copies values or blends them."""
    return (
        f"Each row follows one of {counted(len(model.demos), 'sequence')}"
        + head_shown(model, " through ")
        + ": the attention of the figure before, the value of each position, and `mixed`, `attention @ v`: "
        "the mean of the values that a position reads, weighted by attention; then the values (green) and "
        "the mixtures (purple) on one plane, all values there are in grey. A position that reads a single "
        "key gets that key's value; one that reads several lands between theirs. "
        f"{sentence(copy_or_blend(model))} What this mixture does to the stream is the next step."
    )


def copy_or_blend(model):
    """`reading` with a conclusion: whether the mixture is one value or several."""
    found = most_read(model)
    if found is None:
        return "the rule constrains no position of the held-out windows"
    weight, distance, length = found
    verdict = {
        "blend": "so the mixture blends several values",
        "copy": "so the mixture is close to a copy of one value",
        "close": "so the mixture comes close to that value although others are read as well",
    }[copies_or_blends(*found)]
    return (
        "at constrained positions of held-out windows the key read most, whatever it holds, gets "
        f"{weight:.1%} of attention, and the mixture lies {distance:.3g} from its value, whose length is "
        f"{length:.3g}, {verdict}"
    )
