"""Draws figures of a run into files. A figure is a module named f<number>_<name>.py, in this folder or in
supplementary/ or extended/ below it.

Such a module has `SIZE`, the figure's width and height in inches, `draw(fig, run, step)`, and
`caption(run, step)`, a paragraph on what is to be seen in it, with the numbers of this run.
"""

import importlib
import io
import multiprocessing
import os
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from figures.style import RC
from scratchformer.run_folder import write_atomically

HERE = Path(__file__).resolve().parent
NO_DATES = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


def figure_names():
    """Names of all figures in reading order, such as 02_learning_curve and supplementary/07_qkv_overview:
    also their files, without the ending."""
    return [
        folder + path.stem[1:]
        for folder in ("", "supplementary/", "extended/")
        for path in sorted((HERE / folder).glob("f[0-9][0-9]_*.py"))
    ]


def figure_module(name):
    """The module that draws the figure of that name."""
    folder, _, stem = name.rpartition("/")
    return importlib.import_module(".".join(filter(None, ["figures", folder, f"f{stem}"])))


def make_figure(run, step, name):
    """The figure of that name as a matplotlib Figure, for use within `rc_context(RC)`."""
    module = figure_module(name)
    fig = Figure(figsize=module.SIZE)
    module.draw(fig, run, step)
    return fig


def draw_figure(run, step, name, folder, format="png", dpi=150):
    """Write one figure to folder/name.format, the same bytes at every call; returns the seconds it took."""
    start = time.perf_counter()
    buffer = io.BytesIO()
    with matplotlib.rc_context(RC):
        fig = make_figure(run, step, name)
        fig.savefig(buffer, format=format, dpi=dpi, metadata=NO_DATES[format])
    path = Path(folder) / f"{name}.{format}"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())
    return time.perf_counter() - start


def draw_all(run, step, names, folder, format="png", dpi=150):
    """Write figures into a folder, which is made if need be: {name: seconds}.

    Several processes share the work where they can be forked; a fork copies one thread only, so not
    in a process that has more.
    """
    workers = min(len(os.sched_getaffinity(0)), len(names)) if can_fork() else 1
    if workers < 2:
        return {name: draw_figure(run, step, name, folder, format, dpi) for name in names}
    run.forward(step, run.data.train_windows[:1, :-1])      # what all need is read and compiled once
    with ProcessPoolExecutor(
        workers, multiprocessing.get_context("fork"), share_run, (run,)
    ) as pool:
        jobs = {name: pool.submit(draw_shared, step, name, folder, format, dpi) for name in names}
        return {name: job.result() for name, job in jobs.items()}


def can_fork():
    """Whether a copy of this process by fork is safe: Linux, and no second thread."""
    tasks = Path("/proc/self/task")
    return tasks.is_dir() and len(os.listdir(tasks)) == 1


def share_run(run):
    """Keep the run that this worker process draws from; Ctrl-C is for its parent to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    globals()["shared_run"] = run


def draw_shared(*job):
    """`draw_figure` of the worker's run."""
    return draw_figure(globals()["shared_run"], *job)
