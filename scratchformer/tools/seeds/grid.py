"""A grid of settings: several seeds of every combination, each combination a study of its own.

    model.n_embd=2,3 training.learning_rate=1e-3,3e-3        4 cells

A cell's study lies where the same settings given with --set would put it, so a grid that was interrupted goes
on, and one that grows trains only what is new.
"""

import csv
import io
from itertools import product
from typing import NamedTuple

import numpy as np

from scratchformer.run.place import own_folder
from scratchformer.system.errors import RunError
from scratchformer.tools.seeds.report import count_learned, median_and_worst
from scratchformer.tools.seeds.sweep import Sweep, sweep

MOST = 400                              # cells


class Cell(NamedTuple):
    """One combination of values, and what its seeds came to."""

    values: tuple                       # of (key, value as text)
    sweep: Sweep

    @property
    def name(self):
        """The values in short, such as n_embd=2 learning_rate=1e-3."""
        return " ".join(f"{key.rpartition('.')[2]}={value}" for key, value in self.values)

    @property
    def errors(self):
        """Rule error of each seed that has one: (N,)."""
        errors = np.array([result.rule_error for result in self.sweep.results])
        return errors[np.isfinite(errors)]


def read_grid(words):
    """The combinations that texts such as model.n_embd=2,3 ask for: a list of tuples of (key, value).

    Raises RunError for a text without values, a key given twice, or too many combinations.
    """
    axes = {}
    for word in words:
        key, _, values = word.partition("=")
        values = [value.strip() for value in values.split(",")]
        if not key.strip() or not all(values):
            raise RunError(f"--grid {word}: write section.key=value,value, as in model.n_embd=2,3")
        if key.strip() in axes or len(set(values)) < len(values):
            raise RunError(f"--grid {word}: a key or a value is given twice")
        axes[key.strip()] = values
    cells = [tuple(zip(axes, values, strict=True)) for values in product(*axes.values())]
    if len(cells) > MOST:
        raise RunError(f"--grid: {len(cells):,} combinations; at most {MOST}")
    return cells


def run_grid(configs, seeds, out, executor=None, progress=lambda text: None):
    """Train every seed of every cell that is not trained yet: list of Cell.

    configs: {values of a cell: its config}
    """
    cells = []
    for number, (values, config) in enumerate(configs.items(), 1):
        folder = own_folder(config, out) / "seeds"
        done = sweep(config, seeds, folder, executor, lambda text, n=number: progress(
            f"cell {n} of {len(configs)}: {text}"
        ))
        cells.append(Cell(values, done))
    return cells


def grid_report(cells):
    """A line a cell: how many seeds learned the rule, and their rule errors."""
    width = max(len(cell.name) for cell in cells) + 2
    lines = [f"{'':<{width}}{'learned':>10}{'median error':>14}{'worst error':>13}"]
    for cell in cells:
        middle, worst = median_and_worst(cell.errors.tolist(), "{:.2%}")
        lines.append(f"{cell.name:<{width}}{count_learned(cell.sweep.results):>10}{middle:>14}{worst:>13}")
    return "\n".join(lines)


def grid_table(cells):
    """All seeds of all cells as CSV: the values, the seed, its rule error and loss."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*(key for key, _ in cells[0].values), "seed", "learned", "rule_error", "held_out_loss"])
    for cell in cells:
        for result in cell.sweep.results:
            numbers = ["", ""] if result.note else [f"{result.rule_error:.6f}", f"{result.loss:.6f}"]
            learned = "yes" if result.learned else "no"
            writer.writerow([*(value for _, value in cell.values), result.seed, learned, *numbers])
    return buffer.getvalue()
