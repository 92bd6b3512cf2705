"""Kill `run.py` with signal 9 at random moments of all that takes time, time and again.

    python tests/kill9.py --kills 200 --folder /tmp/kill9       # --signal TERM, INT, HUP: those end in time

After each kill every file under its final name must be whole. Whenever a command gets to its end, every
file must have the bytes that an undisturbed run wrote, and no temporary file may be left. A signal other than
9 leaves none in the first place, nor a process, nor one of Numba's.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

RUN = Path(__file__).resolve().parent.parent / "run.py"
SETTINGS = (
    "training.steps=3000", "training.checkpoint_every=5", "training.eval_every=20",
    "training.eval_windows=100", "data.num_sequences=200",
)
FIGURES = ("2", "5", "6", "8", "11")
UNFINISHED = re.compile(r"\..+\.\d+\.tmp(\.mp4)?")
IN_A_ROW = 4                            # kills of a command before it may come to its end
NUMBAS = "numba"                        # the folder of machine code where it is compiled anew each time


class Job:
    """A command that is killed and started again until it ends.

    code: how it ends; cold: with nothing compiled before
    """

    def __init__(self, name, *arguments, code=0, cold=False):
        self.name, self.arguments, self.code, self.cold = name, arguments, code, cold

    def start(self, out, *more):
        """The command's process, in a group of its own."""
        command = [sys.executable, RUN, "plus_last_even", *self.arguments, *more, "--out", out]
        environment = dict(os.environ)
        if self.cold:
            shutil.rmtree(out.parent / NUMBAS, ignore_errors=True)
            (out.parent / NUMBAS).mkdir(parents=True)
            environment["NUMBA_CACHE_DIR"] = str(out.parent / NUMBAS)
        return subprocess.Popen(
            command, cwd=RUN.parent, start_new_session=True, text=True, env=environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )

    def finish(self, out, *more):
        """Run the command to its end; returns the seconds it took."""
        start = time.perf_counter()
        process = self.start(out, *more)
        stderr = process.communicate()[1]
        assert process.returncode == self.code, (process.returncode, stderr)
        return time.perf_counter() - start


def jobs(settings, figures, every):
    """The commands: train, and draw one figure; draw; film; prove; study seeds; compile."""
    settings = [part for setting in settings for part in ("--set", setting)]
    return (
        Job("training", *settings, "--figure", figures[0]),
        Job("drawing", *settings, "--visualize", "--figure", *figures),
        Job("filming", *settings, "--visualize", "--video-qkv", "--every", str(every)),
        Job("proving", *settings, "--visualize", "--prove", code=1),    # it has not learned its rule yet
        Job("seeds", *settings, "--seeds", "4"),
        Job("compiling", *settings, "--set", "training.seed=5", "--figure", figures[0], cold=True),
    )


def contents(folder):
    """{path within the folder: bytes} of all files under their final names; each is checked to be whole."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != ".lock" and not UNFINISHED.fullmatch(path.name):
            check_whole(path)
            found[str(path.relative_to(folder))] = without_seconds(path)
    return found


def without_seconds(path):
    """The bytes of a file, without the time that a seed took where one is told."""
    if path.parent.name == "results":
        with np.load(path) as file:
            return b"".join(file[name].tobytes() for name in file if name != "seconds")
    if path.name == "seeds.csv":
        return re.sub(rb",\d+\.\d\d,", b",", path.read_bytes())
    return path.read_bytes()


def check_whole(path):
    """Read a file to its end; an exception says that it is damaged."""
    if path.suffix == ".npy":
        assert np.isfinite(np.load(path, allow_pickle=False)).all()
    elif path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            assert all(file[name].size for name in file)
    elif path.suffix in (".png", ".gif"):
        with Image.open(path) as image:
            for frame in ImageSequence.Iterator(image):
                frame.load()
    elif path.name in ("engine.txt", "data.txt"):
        assert re.fullmatch(r"[0-9a-f]{16}", path.read_text("utf-8")), path
    elif path.suffix == ".csv":
        text = path.read_text("utf-8")
        rows = [line.split(",") for line in text.splitlines()]
        assert len({len(row) for row in rows}) == 1 and text.endswith("\n"), path
    elif path.suffix == ".json":
        json.loads(path.read_text("utf-8"))
    elif path.suffix in (".md", ".tsv"):
        assert path.read_text("utf-8").endswith("\n"), path
    else:
        assert path.suffix == ".toml", path
        tomllib.loads(path.read_text("utf-8"))


def leftovers(folder):
    """Temporary files, Numba's among them."""
    paths = [*folder.rglob("*"), *(folder.parent / NUMBAS).rglob("*.tmp.*")]
    return [path for path in paths if UNFINISHED.fullmatch(path.name) or ".tmp." in path.name]


def kill_at_random(process, earliest, latest, draw, number=signal.SIGKILL, fine=0):
    """Send a signal to a process and its group at a moment between: whether it was still running.

    Any signal but SIGKILL ends it in time, with 128 + its number and one line. fine: its code if it is not.
    """
    try:
        process.wait(draw.uniform(earliest, latest))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, number)
    stderr = process.communicate(timeout=10)[1]
    code = -signal.SIGKILL if number == signal.SIGKILL else 128 + number
    assert process.returncode in (fine, code) and "Traceback" not in stderr, (process.returncode, stderr)
    if process.returncode == 128 + number:
        last = [line for line in stderr.splitlines() if not line.startswith("continuing the run in ")]
        assert len(last) == 1 and last[0].startswith("run.py: interrupted"), stderr
        until = time.monotonic() + 1.0          # the kernel ends what belonged to it
        alive = ["pgrep", "-r", "R,S,D,T", "-g", str(process.pid)]
        while (left := subprocess.run(alive, capture_output=True).stdout) and time.monotonic() < until:
            time.sleep(0.02)
        assert not left
    return process.returncode != fine


def torture(
    folder, kills, settings=SETTINGS, figures=FIGURES, every=10, seed=0, say=lambda text: None,
    number=signal.SIGKILL, names=None,
):
    """Kill so many times, by a signal of that number: a Counter of what was going on.

    names: the jobs, by default all.

    AssertionError, or what a reader of the file raises, if anything is not as it should be.
    """
    draw = random.Random(seed)
    commands = [job for job in jobs(settings, figures, every) if names is None or job.name in names]
    whole, out = folder / "whole", folder / "out"
    commands[0].finish(whole)                                   # compiles
    earliest = starting_seconds()
    seconds = [job.finish(whole, *(["--retrain"] if job is commands[0] else [])) for job in commands]
    expected = contents(whole)
    counts = Counter()
    while counts.total() < kills:
        for job, latest in zip(commands, seconds, strict=True):
            for _ in range(IN_A_ROW):
                if counts.total() >= kills:
                    continue
                if kill_at_random(job.start(out), earliest, latest, draw, number, job.code):
                    counts[job.name] += 1
                    assert number == signal.SIGKILL or not leftovers(out)
                    check_against(expected, contents(out))
                elif job.name == "seeds":       # what is stored is not trained again
                    shutil.rmtree(next(out.glob("*/seeds")))
            job.finish(out)
        assert contents(out) == expected
        assert not leftovers(out)
        say(f"{counts.total()} kills: {dict(counts)}")
        shutil.rmtree(out)
    return counts


def starting_seconds():
    """What it takes to load all that a training needs: no command writes a file before."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import scratchformer.run.job"], cwd=RUN.parent, check=True)
    return time.perf_counter() - start


def check_against(expected, found):
    """AssertionError unless every file but the changing state has the bytes of the undisturbed run; of a
    study's table there may be fewer lines."""
    for name, content in found.items():
        if name.endswith("seeds.csv"):
            assert set(content.splitlines()) <= set(expected[name].splitlines()), name
        else:
            assert name.endswith("state.npz") or content == expected[name], name


def main():
    """Read the arguments, torture, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="where to (default: a temporary folder)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--signal", default="KILL", help="KILL, TERM, INT or HUP")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        counts = torture(args.folder or Path(temporary), args.kills, seed=args.seed, say=print,
                         number=getattr(signal, f"SIG{args.signal}"))
    print(f"{counts.total()} kills, all files whole, same bits: {dict(counts)}")


if __name__ == "__main__":
    main()
