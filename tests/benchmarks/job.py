"""Seconds of the main job: cold and warm start, and where a warm job spends its time.

    python tests/benchmarks/job.py [--repeats 3]

Cold means an empty Numba cache. Every figure is a median over fresh processes.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent.parent

FIRST_STEP = """
import sys, time
sys.path.insert(0, {repo!r})
from scratchformer.run.config import load_config
from scratchformer.run.train import prepare, train
config = load_config("plus_last_even", ["training.checkpoint_every=1"])
next(train(config, *prepare(config), lambda state: None))
print(time.time())
"""

PROFILE = """
import sys, time
marks = [("start of Python", {start}), ("", time.time())]
sys.path.insert(0, {repo!r})
import numba, numpy
marks.append(("import numpy and numba", time.time()))
from scratchformer.run import train as training
from scratchformer.run.config import load_config
from scratchformer.run.run import Run
marks.append(("import scratchformer", time.time()))
run = Run({out!r}, load_config("plus_last_even"))
data, judge, state = run.prepared
run.files.start(data)
marks.append(("draw data, start the run", time.time()))
spent = dict(evaluate=0.0, save=0.0)
def timed(function, key):
    def call(*args):
        start = time.time()
        try:
            return function(*args)
        finally:
            spent[key] += time.time() - start
    return call
judge.measure = timed(judge.measure, "evaluate")
steps = training.train(run.config, data, judge, state, timed(run.files.save, "save"))
next(steps)
marks.append(("load compiled code, first 100 steps", time.time()))
before = sum(spent.values())
for state in steps:
    pass
marks.append(("19,900 steps, evaluations and snapshots", time.time()))
from scratchformer.figures.catalogue import figure_names
from scratchformer.figures.draw import draw_all
import matplotlib.figure
marks.append(("import matplotlib", time.time()))
names = figure_names()
draw_all(run.at(run.steps[-1]), names, run.folder / "plots", "png", 150)
marks.append((f"draw {{len(names)}} figures", time.time()))
for (_, start), (name, end) in zip(marks, marks[1:]):
    print(f"{{end - start:.3f}}|{{name or 'start of Python'}}")
print(f"{{spent['evaluate']:.3f}}|  of all steps: evaluations")
print(f"{{spent['save']:.3f}}|  of all steps: snapshots and states")
"""


def python(code, **environment):
    """What a fresh Python prints when it runs the code."""
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, cwd=REPO, check=True,
        capture_output=True, text=True,
    )
    return done.stdout


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    cold, warm, whole, profiles = [], [], [], []
    code = FIRST_STEP.format(repo=str(REPO))
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            for times in (cold, warm):
                start = time.time()
                times.append(float(python(code, NUMBA_CACHE_DIR=folder)) - start)
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            start = time.time()
            command = [sys.executable, "run.py", "plus_last_even", "--out", folder]
            subprocess.run(command, cwd=REPO, check=True, capture_output=True)
            whole.append(time.time() - start)
            out = str(Path(folder) / "profile")
            profiles.append(python(PROFILE.format(repo=str(REPO), out=out, start=time.time())))
    print(f"first training step after starting Python, cold cache: {statistics.median(cold):.2f} s")
    print(f"first training step after starting Python, warm cache: {statistics.median(warm):.2f} s")
    print(f"python run.py plus_last_even, warm cache: {statistics.median(whole):.2f} s")
    print("of which:")
    rows = [[line.split("|") for line in profile.splitlines()] for profile in profiles]
    for row in zip(*rows, strict=True):
        print(f"{statistics.median(float(seconds) for seconds, _ in row):8.2f} s  {row[0][1]}")


if __name__ == "__main__":
    main()
