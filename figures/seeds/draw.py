"""Writes the figures of sweeps."""

from pathlib import Path

from scratchformer.analysis.clusters import THRESHOLD, study_solutions
from scratchformer.figures.draw import drawn, write_figure
from scratchformer.figures.seeds import atlas, census, curves, grid
from scratchformer.figures.words import counted
from scratchformer.system.errors import RunError, nearest

NOTHING = "no seed has embeddings to draw"
MOST = 128                      # seeds that are sorted into groups: the work grows with their square


def draw_seeds(sweep, format="png", dpi=150):
    """Write seeds_learning_curves and seeds_atlas into the sweep's folder; returns a line on the groups."""
    path = sweep.folder / f"seeds_learning_curves.{format}"
    write_figure(path, dpi, drawn, curves.SIZE, curves.draw, [sweep])
    results, solutions = sort_seeds(sweep)
    if not results:
        return NOTHING
    members = solutions.groups.members
    size, path = atlas.size(len(results), len(members)), sweep.folder / f"seeds_atlas.{format}"
    write_figure(path, dpi, drawn, size, atlas.draw, sweep, results, solutions)
    sizes = ", ".join(str(len(ids)) for ids in members[:10])
    more = ", ..." if len(members) > 10 else ""
    return (f"{counted(len(results), 'seed')} fall into {counted(len(members), 'group')} "
            f"at distance < {THRESHOLD}: {sizes}{more}")


def sort_seeds(sweep):
    """(the first MOST results that have embeddings to draw, their solutions in groups)."""
    results = [result for result in sweep.results if len(result.theta) and not result.note][:MOST]
    params = [result.params(sweep.config) for result in results]
    return results, study_solutions(sweep.config, params) if results else None


def study_figure(sweep, name):
    """The "atlas" or the learning "curves" of a sweep as a Figure; RunError if there is none."""
    if name == "curves":
        return drawn(curves.SIZE, curves.draw, [sweep])
    if name != "atlas":
        raise RunError(f"no picture {name!r} of a study{nearest(name, ['atlas', 'curves'])}")
    results, solutions = sort_seeds(sweep)
    if not results:
        raise RunError(NOTHING)
    size = atlas.size(len(results), len(solutions.groups.members))
    return drawn(size, atlas.draw, sweep, results, solutions)


def draw_compare(one, other, folder, format="png", dpi=150):
    """Write seeds_compare into a folder: the learning curves of two sweeps on the same axes."""
    path = Path(folder) / f"seeds_compare.{format}"
    write_figure(path, dpi, drawn, curves.SIZE, curves.draw, [one, other])


def draw_census(sweep, entries, format="png", dpi=150):
    """Write seeds_census, a picture of what is proved of each seed, into the sweep's folder: its path."""
    path = sweep.folder / f"seeds_census.{format}"
    constrained = {result.seed: result.constrained for result in sweep.results}
    write_figure(path, dpi, drawn, census.SIZE, census.draw, sweep.config.name, entries, constrained)
    return path


def draw_grid(name, cells, out, format="png", dpi=150, metric=None):
    """Write the picture of a grid's Cells beside the runs: its path. The keys of the grid are in its name.

    metric: the name of a metric and, for each cell, its values
    """
    keys = "-".join(key.rpartition(".")[2] for key, _ in cells[0].values)
    path = Path(out) / f"{name}.grid-{keys}.{format}"
    write_figure(path, dpi, drawn, grid.size(len(cells)), grid.draw, name, cells, metric)
    return path
