"""Draws figures of a model into files."""

import io
import sys
import time
from pathlib import Path

from matplotlib.figure import Figure

from scratchformer.figures.captions import captions as all_captions
from scratchformer.figures.catalogue import figure_module
from scratchformer.figures.style import own_look, undrawable
from scratchformer.system import pool
from scratchformer.system.files import write_atomically
from scratchformer.system.progress import Progress

NO_DATES = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


def make_figure(model, name):
    """The figure of that name as a matplotlib Figure, for use within `own_look()`."""
    module = figure_module(name)
    return drawn(module.SIZE, module.draw, model)


def drawn(size, draw, *arguments):
    """A Figure of that size, in inches, on which `draw(fig, *arguments)` has drawn."""
    fig = Figure(figsize=size)
    draw(fig, *arguments)
    return fig


def draw_figure(model, name, folder, format="png", dpi=150):
    """Write one figure to folder/name.format, the same bytes at every call; returns the seconds it took."""
    start = time.perf_counter()
    write_figure(Path(folder) / f"{name}.{format}", dpi, make_figure, model, name)
    return time.perf_counter() - start


def write_figure(path, dpi, make, *arguments):
    """Write the Figure that `make(*arguments)` returns, the same bytes at every call."""
    buffer, format = io.BytesIO(), path.suffix[1:]
    with own_look():
        make(*arguments).savefig(buffer, format=format, dpi=dpi, metadata=NO_DATES[format])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())


def draw_all(model, names, folder, format="png", dpi=150, captions=False):
    """Write figures into a folder, which is made if need be: {name: seconds}. Several processes share the
    work where they can. With `captions`, captions.md tells of all the figures.
    """
    note_boxes(model)
    model.held_out, model.demos                             # what most need is made once, before the fork
    jobs = [(draw_figure, name, folder, format, dpi) for name in names]
    if captions:
        jobs.append((write_captions, names, folder, format))
    with pool.fork_pool(model, len(jobs)) as workers:
        seconds, progress = [], Progress()
        for one in pool.in_order(workers, with_model, jobs, len(jobs)):
            seconds.append(one)
            progress.show(f"drawing: {len(seconds)} of {len(jobs)}")
        progress.clear()
    return dict(zip([*names, "captions"], seconds, strict=False))


def note_boxes(model):
    """Say it, on stderr, where signs of the tokens or of the rule cannot be drawn."""
    boxes = undrawable([*model.vocabulary, model.config.description])
    if boxes:
        print(f"the figures' font lacks {' '.join(boxes[:20])}: drawn as boxes", file=sys.stderr)


def with_model(function, *arguments):
    """Call a function with the model that the processes share."""
    return function(pool.SHARED, *arguments)


def write_captions(model, names, folder, format="png"):
    """Write folder/captions.md; returns the seconds it took."""
    start = time.perf_counter()
    Path(folder).mkdir(parents=True, exist_ok=True)
    write_atomically(Path(folder) / "captions.md", all_captions(model, names, format).encode())
    return time.perf_counter() - start
