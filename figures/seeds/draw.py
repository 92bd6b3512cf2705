"""Writes the figures of sweeps."""

import io
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from scratchformer.analysis.clusters import THRESHOLD, study_solutions
from scratchformer.figures.draw import NO_DATES
from scratchformer.figures.seeds import atlas, curves
from scratchformer.figures.style import RC
from scratchformer.figures.words import counted
from scratchformer.system.files import write_atomically

MOST = 128                      # seeds that are sorted into groups: the work grows with their square


def draw_seeds(sweep, format="png", dpi=150):
    """Write seeds_learning_curves and seeds_atlas into the sweep's folder; returns a line on the groups."""
    save(sweep.folder / f"seeds_learning_curves.{format}", curves.SIZE, dpi, curves.draw, [sweep])
    results = [result for result in sweep.results if len(result.theta) and not result.note][:MOST]
    if not results:
        return "no seed has embeddings to draw"
    solutions = study_solutions(sweep.config, [result.params(sweep.config) for result in results])
    members = solutions.groups.members
    save(
        sweep.folder / f"seeds_atlas.{format}", atlas.size(len(results), len(members)), dpi, atlas.draw,
        sweep, results, solutions,
    )
    sizes = ", ".join(str(len(ids)) for ids in members[:10])
    more = ", ..." if len(members) > 10 else ""
    return (f"{counted(len(results), 'seed')} fall into {counted(len(members), 'group')} "
            f"at distance < {THRESHOLD}: {sizes}{more}")


def draw_compare(one, other, folder, format="png", dpi=150):
    """Write seeds_compare into a folder: the learning curves of two sweeps on the same axes."""
    save(Path(folder) / f"seeds_compare.{format}", curves.SIZE, dpi, curves.draw, [one, other])


def save(path, size, dpi, draw, *arguments):
    """Draw a figure of that size and write it, the same bytes at every call."""
    buffer = io.BytesIO()
    format = path.suffix[1:]
    with matplotlib.rc_context(RC):
        fig = Figure(figsize=size)
        draw(fig, *arguments)
        fig.savefig(buffer, format=format, dpi=dpi, metadata=NO_DATES[format])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())
