"""Sequences as rows of cells, coloured by what the rule says of each token."""

import numpy as np
from matplotlib.patches import Patch

from scratchformer.figures.labels import add_labels
from scratchformer.figures.marks import legend
from scratchformer.figures.style import CORRECT, INK, MARKS, OPEN, VERDICTS, WRONG, clear_frame


def share(correct, constrained):
    """The counts in words."""
    if not constrained:
        return "no token constrained"
    return f"{correct:,} of {constrained:,} constrained tokens correct ({correct / constrained:.1%})"


def verdict_cells(ax, grid):
    """Cells in the colours of verdicts, (rows, columns), the first row on top."""
    ax.pcolormesh(grid, cmap=VERDICTS, vmin=-1.5, vmax=1.5, edgecolors="white", linewidth=1.2)
    ax.set(xlim=(0, grid.shape[1]), ylim=(len(grid), 0))
    clear_frame(ax)


def draw_cells(ax, model, sequences, verdicts):
    """One row of cells a sequence, its tokens written in; ✓ and ✗ repeat the colours."""
    longest = max(map(len, sequences))
    grid = np.ma.masked_array(np.zeros((len(sequences), longest)), mask=True)
    for row, verdict in enumerate(verdicts):
        grid[row, : len(verdict)] = verdict
    verdict_cells(ax, grid)
    ax.set_xlabel("position in the sequence")
    ax.set_xticks(np.arange(0, longest, 5) + 0.5, range(0, longest, 5))
    ax.set_yticks(np.arange(len(sequences)) + 0.5, range(1, len(sequences) + 1))
    cells = [(row, t) for row, sequence in enumerate(sequences) for t in range(len(sequence))]
    verdict = np.concatenate(verdicts)
    points = np.array([(t + 0.5, row + 0.5) for row, t in cells])
    texts = np.array([model.vocabulary[sequences[row][t]] for row, t in cells])
    for value, color in ((-1, "#555555"), (0, "white"), (1, INK)):
        chosen = verdict == value
        if chosen.any():
            shift = (0, 0 if value < 0 else -0.17)
            add_labels(ax, points[chosen] + shift, texts[chosen], color, 8, bold=value >= 0)
        if chosen.any() and value >= 0:
            marks = [MARKS[value]] * int(chosen.sum())
            add_labels(ax, points[chosen] + (0, 0.25), marks, color, 6.5)


def verdict_legend(fig, y):
    """What the colours mean, centred at height y in inches."""
    legend(fig, [
        Patch(color=CORRECT, label="✓ follows the rule"), Patch(color=WRONG, label="✗ breaks the rule"),
        Patch(color=OPEN, label="the rule says nothing"),
    ], y, handlelength=1.4, columnspacing=2, handletextpad=None)
