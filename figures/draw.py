"""Draws figures of a run into files. A figure is a module of this folder named f<number>_<name>.py.

Such a module has `SIZE`, the figure's width and height in inches, and `draw(fig, run, step)`.
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
    """Names of all figures in order, such as 02_learning_curve: also the stems of their files."""
    return sorted(path.stem[1:] for path in HERE.glob("f[0-9][0-9]_*.py"))


def make_figure(run, step, name):
    """The figure of that name as a matplotlib Figure, for use within `rc_context(RC)`."""
    module = importlib.import_module(f"figures.f{name}")
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
    write_atomically(Path(folder) / f"{name}.{format}", buffer.getvalue())
    return time.perf_counter() - start


def draw_all(run, step, names, folder, format="png", dpi=150):
    """Write figures into a folder, which is made if need be: {name: seconds}.

    Several processes share the work where they can be forked; a fork copies one thread only, so not
    in a process that has more.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
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
