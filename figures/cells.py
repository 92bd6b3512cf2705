"""Sequences as rows of cells, coloured by what the rule says of each token."""

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.patches import Patch

from scratchformer.figures.labels import add_labels
from scratchformer.figures.marks import legend, line
from scratchformer.figures.style import CORRECT, INK, LINES, MARKS, OPEN, VERDICTS, WRONG, clear_frame
from scratchformer.system.errors import plain

PITCH, ABOVE = 1.45, 0.45               # of rows, and the room for arcs over each, in heights of a cell


def share(correct, constrained):
    """The counts in words."""
    if not constrained:
        return "no token constrained"
    return f"{correct:,} of {constrained:,} constrained tokens correct ({correct / constrained:.1%})"


def name_rule(fig, model):
    """The rule in words, below the figure's title."""
    if model.config.description:
        fig.text(0.5, 1 - 0.68 / fig.get_size_inches()[1], f"the rule: {plain(model.config.description)}",
                 ha="center", va="top", fontsize=10.5, fontweight="bold", color=LINES[1])


def verdict_cells(ax, grid):
    """Cells in the colours of verdicts, (rows, columns), the first row on top."""
    ax.pcolormesh(grid, cmap=VERDICTS, vmin=-1.5, vmax=1.5, edgecolors="white", linewidth=1.2)
    ax.set(xlim=(0, grid.shape[1]), ylim=(len(grid), 0))
    clear_frame(ax)


def draw_cells(ax, model, sequences, verdicts, sources):
    """One row of cells a sequence, its tokens written in; ✓ and ✗ repeat the colours, and arcs lead to an
    answer from where the rule takes it.

    sources: of `answer_sources`, one each
    """
    longest, middles = max(map(len, sequences)), 0.5 + PITCH * np.arange(len(sequences))
    ax.set(xlim=(0, longest), ylim=(middles[-1] + 0.5, -ABOVE))
    clear_frame(ax)
    for middle, verdict in zip(middles, verdicts, strict=True):
        ax.pcolormesh(
            np.arange(len(verdict) + 1), (middle - 0.5, middle + 0.5), verdict[None], cmap=VERDICTS,
            vmin=-1.5, vmax=1.5, edgecolors="white", linewidth=1.2,
        )
    ax.set_xlabel("position in the sequence")
    ax.set_xticks(np.arange(0, longest, 5) + 0.5, range(0, longest, 5))
    ax.set_yticks(middles, range(1, len(sequences) + 1))
    draw_arcs(ax, middles - 0.5, verdicts, sources)
    cells = [(row, t) for row, sequence in enumerate(sequences) for t in range(len(sequence))]
    verdict = np.concatenate(verdicts)
    points = np.array([(t + 0.5, middles[row]) for row, t in cells])
    texts = np.array([model.vocabulary[sequences[row][t]] for row, t in cells])
    for value, color in ((-1, "#555555"), (0, "white"), (1, INK)):
        chosen = verdict == value
        if chosen.any():
            shift = (0, 0 if value < 0 else -0.17)
            add_labels(ax, points[chosen] + shift, texts[chosen], color, 8, bold=value >= 0)
        if chosen.any() and value >= 0:
            marks = [MARKS[value]] * int(chosen.sum())
            add_labels(ax, points[chosen] + (0, 0.25), marks, color, 6.5)


def draw_arcs(ax, tops, verdicts, sources):
    """Over each row, whose upper edge is given, an arc from an answer's source to the answer."""
    half = np.linspace(np.pi, 0, 24)
    arcs, colors = [], []
    for top, verdict, source in zip(tops, verdicts, sources, strict=True):
        for t in np.flatnonzero(source >= 0):
            middle, radius = (source[t] + t + 1) / 2, (t - source[t]) / 2
            height = ABOVE * min(0.9, 0.3 + 0.09 * radius)
            arcs.append(np.column_stack([middle + radius * np.cos(half), top - height * np.sin(half)]))
            colors.append(LINES[int(verdict[t])])
    ax.add_collection(LineCollection(arcs, colors=colors, linewidths=1.1, zorder=3), autolim=False)


def verdict_legend(fig, y, verdicts, sources):
    """What the colours mean that there are, and the arcs, centred at height y in inches."""
    found = set(np.concatenate(verdicts).tolist())
    handles = [
        Patch(color=color, label=label) for value, color, label in (
            (1, CORRECT, "✓ follows the rule"), (0, WRONG, "✗ breaks the rule"),
            (-1, OPEN, "the rule says nothing"),
        ) if value in found
    ]
    if (np.concatenate(sources) >= 0).any():
        handles.append(line(LINES[1], "arc: from where the rule takes the answer", linewidth=1.4))
    legend(fig, handles, y, handlelength=1.4, columnspacing=2, handletextpad=None)
