"""Rule error of every seed of every cell of a grid of settings."""

import numpy as np

from scratchformer.figures.style import CORRECT, GREY, INK, PALE, WRONG, panel, title
from scratchformer.figures.words import counted
from scratchformer.run.judge import LEARNED

ROW = 0.28                              # height of a cell's row, in inches
FLOOR = 1e-4                            # errors below it are drawn at the left edge


def size(cells):
    """(width, height) in inches of the figure of so many cells."""
    return 10, 1.75 + ROW * cells


def draw(fig, name, cells, metric=None):
    """One row a cell: its seeds as dots, the median as a line, how many learned the rule, and the median of a
    metric, (its name, values of each cell)."""
    learned = [sum(result.learned for result in cell.sweep.results) for cell in cells]
    seeds = len(cells[0].sweep.results)
    best = int(np.argmax(learned))
    title(
        fig, f"Which settings learn {name}: {counted(len(cells), 'cell')} of {counted(seeds, 'seed')}",
        f"most seeds learn with {cells[best].name}: {learned[best]} of {seeds}",
    )
    height = ROW * len(cells)
    ax = panel(fig, 3.4, 0.6, 5.2 if metric is None else 4.4, height)
    for row, (cell, count) in enumerate(zip(cells, learned, strict=True)):
        errors = np.maximum(cell.errors, FLOOR)
        right = cell.errors <= LEARNED
        y = row + 0.22 * np.sin(2.4 * np.arange(len(errors)))                   # so that none hides another
        ax.scatter(errors[right], y[right], s=22, color=CORRECT, edgecolors=INK, linewidths=0.4, zorder=3)
        ax.scatter(errors[~right], y[~right], s=22, color=WRONG, marker="x", linewidths=1.1, zorder=3)
        if len(errors):
            ax.plot([np.median(errors)] * 2, [row - 0.36, row + 0.36], color=INK, linewidth=1.6, zorder=4)
        weight = "bold" if count == max(learned) else "normal"
        ax.text(1.02, row, f"{count} of {seeds}", transform=ax.get_yaxis_transform(), va="center",
                fontsize=8.5, fontweight=weight)
    ax.set(xscale="log", xlim=(FLOOR * 0.8, 1.25), ylim=(len(cells) - 0.5, -0.5))
    ax.set_xticks([1e-4, 1e-3, 1e-2, 1e-1, 1], ["≤0.01%", "0.1%", "1%", "10%", "100%"])
    ax.minorticks_off()
    ax.set_yticks(range(len(cells)), [cell.name for cell in cells])
    ax.axvline(LEARNED, color=GREY, linestyle=":", linewidth=1)
    ax.grid(axis="x", color=PALE)
    ax.set_axisbelow(True)
    ax.set_xlabel("held-out rule error at the last step (dots: learned, crosses: not; line: median)")
    ax.text(1.02, 1, "learned", transform=ax.transAxes, va="bottom", fontsize=8.5)
    if metric is not None:
        measured, values = metric
        ax.text(1.2, 1, f"median {measured}", transform=ax.transAxes, va="bottom", fontsize=8.5)
        for row, found in enumerate(values):
            text = format(np.median(found), ".4g") if len(found) else "none"
            ax.text(1.2, row, text, transform=ax.get_yaxis_transform(), va="center", fontsize=8.5)
