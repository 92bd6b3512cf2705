"""Microseconds per training step: scratchformer against JAX, PyTorch and a hand-fused C loop.

    python tests/benchmarks/training.py [--sizes 0 1 2 3] [--repeats 5]

A step is everything that training does: drawing a random batch, forward, backward, Adam with weight
decay. One core; contestants take turns, so that a machine that drifts is unfair to none; medians of
all repeats. Before the clock runs, all contestants take the same steps from the same parameters, and
the script ends with exit code 1 if they do not arrive at the same parameters. A contestant that is not
installed is shown as -; C needs a compiler named `cc`.
"""

import argparse
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

STRETCH = 100               # steps between two returns to Python
CHECKED_STEPS = 20
SECONDS = 0.3               # of each measurement, about


def use_one_core():
    """Pin this process, and keep every library to one thread: call it before they are imported."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for name in ("OPENBLAS", "OMP", "MKL", "NUMBA"):
        os.environ[f"{name}_NUM_THREADS"] = "1"
    os.environ["NPROC"] = "1"
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["JAX_PLATFORMS"] = "cpu"


def enter(task, contestants):
    """The contestants that are installed, by title, in the order of the table."""
    entered = {}
    for contestant in contestants:
        try:
            entered[contestant.title] = contestant(task)
        except (ImportError, FileNotFoundError) as error:
            print(f"{contestant.title} is missing: {error}", file=sys.stderr)
    return entered


def worst_difference(contestants, task):
    """(largest difference of any parameter from scratchformer's after the same steps, whose)."""
    task.reseed(1)
    batches = task.draw(CHECKED_STEPS)
    results = {}
    for title, contestant in contestants.items():
        contestant.start()
        contestant.train(batches)
        results[title] = contestant.parameters().astype("float64")
    ours = results.pop("scratchformer")
    differences = [(float(abs(theirs - ours).max()), title) for title, theirs in results.items()]
    return max(
        ((math.inf if math.isnan(difference) else difference, title) for difference, title in differences),
        default=(0.0, "nobody else is here"),
    )


def seconds(contestant, task, stretches):
    """Of one step, on average over some stretches from the start."""
    contestant.start()
    task.reseed(2)
    begin = time.perf_counter()
    for _ in range(stretches):
        contestant.train(task.draw(STRETCH))
    return (time.perf_counter() - begin) / (stretches * STRETCH)


def measure(contestants, task, repeats):
    """Median microseconds per step by title."""
    stretches = {}
    for title, contestant in contestants.items():
        seconds(contestant, task, 1)                            # compile
        estimate = seconds(contestant, task, 1)
        stretches[title] = max(1, min(200, round(SECONDS / (estimate * STRETCH))))
    times = {title: [] for title in contestants}
    for _ in range(repeats):
        for title, contestant in contestants.items():
            times[title].append(1e6 * seconds(contestant, task, stretches[title]))
    return {title: statistics.median(values) for title, values in times.items()}


def row(size, times, titles):
    """One line of the table."""
    ours = times["scratchformer"]
    cells = [f"{ours:.1f}"]
    for title in titles[1:]:
        cells.append(f"{times[title]:.1f} ({times[title] / ours:.2f})" if title in times else "-")
    return "| " + " | ".join([str(size), size.dtype, *cells]) + " |"


def machine():
    """Versions and processor in one line."""
    versions = [f"Python {platform.python_version()}"]
    for package in ("numpy", "numba", "jax", "torch"):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"{package} -")
    try:
        compiler = subprocess.run(["cc", "--version"], check=True, capture_output=True, text=True)
        versions.append(compiler.stdout.split("\n")[0])
    except FileNotFoundError:
        versions.append("cc -")
    processor = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().split("\n")
        processor = next((line.split(":")[1].strip() for line in lines if "model name" in line), processor)
    return ", ".join([*versions, processor])


def main():
    parser = argparse.ArgumentParser(description="Microseconds per training step.")
    parser.add_argument(
        "--sizes", type=int, nargs="+", choices=range(4), default=range(4), help="which rows of the table"
    )
    parser.add_argument("--repeats", type=int, default=5, help="of each measurement, for its median")
    options = parser.parse_args()

    use_one_core()
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
    from contestants import CONTESTANTS, SIZES, Task

    titles = [contestant.title for contestant in CONTESTANTS]
    rows, agreed = [], True
    for size in (SIZES[i] for i in options.sizes):
        task = Task(size)
        contestants = enter(task, CONTESTANTS)
        worst, whose = worst_difference(contestants, task)
        verdict = "agree" if worst < size.tolerance else "DISAGREE"
        print(f"{size} {size.dtype}: parameters {verdict} after {CHECKED_STEPS} steps: {worst:.1e} ({whose})")
        if worst < size.tolerance:
            rows.append(row(size, measure(contestants, task, options.repeats), titles))
        else:
            agreed = False
    heads = ["size", "dtype", f"{titles[0]} µs", *(f"{title} µs (ratio)" for title in titles[1:])]
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}", *rows, f"\n{machine()}", sep="\n")
    sys.exit(0 if agreed else 1)


if __name__ == "__main__":
    main()
