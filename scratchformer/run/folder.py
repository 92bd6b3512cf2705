"""A run is its files. Everything a figure or a resume needs lies in one folder, written atomically.

    <out>/<config>/config.toml                      the resolved config
    <out>/<config>/engine.txt, data.txt             digests of the maths and the data that trained it
    <out>/<config>/history.csv                      losses and rule errors, a row an evaluation
    <out>/<config>/checkpoints/step_000100.npy      a snapshot: all parameters at a step, end to end: (P,),
                                                    in the order of PARAMETERS in engine/names.py
    <out>/<config>/checkpoints/state.npz            what an exact resume needs
    <out>/<config>/plots/                           figures
"""

import hashlib
import io
import json
import os
import re
import shutil
import time
from functools import cached_property
from pathlib import Path

import numpy as np

from scratchformer.engine.digest import engine_digest
from scratchformer.engine.model import parameter_shapes, unflatten
from scratchformer.run.config import to_toml
from scratchformer.run.train import HISTORY_COLUMNS, LARGEST, State
from scratchformer.system.errors import RunError
from scratchformer.system.files import check_links, read_file, write_atomically


def settings_of(toml):
    """What a config file says, its description aside."""
    return [line for line in toml.splitlines() if not line.startswith(b"description = ")]


def digest_in(path):
    """The digest that a file holds; RunError if it cannot be read."""
    try:
        return read_file(path, 100).decode("ascii", "replace")
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror or error}") from error


def check_history(rows, step, last):
    """ValueError unless these are rows of HISTORY_COLUMNS up to a step, as a training measures them."""
    if rows.ndim != 2 or rows.shape[1] != len(HISTORY_COLUMNS) or not len(rows):
        raise ValueError("its history is of another form")
    if rows.dtype.kind != "f" or not np.isfinite(rows).all():
        raise ValueError("its history is not finite")
    steps, losses, errors = rows[:, 0], rows[:, 1:3], rows[:, 3:]
    whole = (steps == np.round(steps)).all() and (np.diff(steps) > 0).all()
    if not whole or not 0 == steps[0] <= steps[-1] <= step:
        raise ValueError("its history is in disorder")
    measured = 0 <= losses.min() <= losses.max() < LARGEST
    if not 0 <= step <= last or not measured or errors.min() < 0 or errors.max() > 1:
        raise ValueError("its history holds what no training measures")


def data_digest(data):
    """16 hex digits of all sequences that a run is trained and judged on."""
    digest = hashlib.sha256()
    for sequences in (data.train_sequences, data.held_out_sequences):
        digest.update(str([len(sequence) for sequence in sequences]).encode())
        digest.update(np.concatenate(sequences).astype(np.int64).tobytes())
    return digest.hexdigest()[:16]


class RunFiles:
    """What a run's folder stores: its config, its snapshots, the state to resume from.

    Raises RunError where files are missing, damaged or of another model.
    """

    def __init__(self, folder, config):
        self.folder = Path(folder)
        self.config = config
        self.checkpoints = self.folder / "checkpoints"
        self.unsaved = None             # what a resume needs, as of the last snapshot, until it is written
        self.on_disk = 0.0              # when a state was last written

    def holds(self, config):
        """Whether the folder holds a run of exactly this config (finished or not); its description may
        be another."""
        path = self.folder / "config.toml"
        return path.is_file() and settings_of(read_file(path)) == settings_of(to_toml(config).encode())

    def is_empty(self):
        """Whether the folder holds no run at all."""
        return not os.path.lexists(self.folder / "config.toml")

    def is_finished(self):
        """Whether the folder holds the last snapshot of a run of this config."""
        return self.holds(self.config) and self.snapshot_path(self.config.training.steps).is_file()

    def can_resume(self):
        """Whether the folder holds a state of exactly this config to resume from."""
        return self.holds(self.config) and (self.checkpoints / "state.npz").is_file()

    def forget(self):
        """Drop what was read from the folder: it is about to change."""
        for name in ("steps", "history"):
            self.__dict__.pop(name, None)

    def start(self, data):
        """Make the folder ready for a new run on a Data: an older run's snapshots go, then its config; if its
        settings were others, so does what was drawn and found of it."""
        check_links(self.checkpoints / "state.npz")
        check_links(self.folder / "plots" / "captions.md")
        if not self.holds(self.config):
            shutil.rmtree(self.folder / "plots", ignore_errors=True)
            for path in self.folder.glob("*_step_*"):
                path.unlink()
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        for name in ("state.npz", "step_*.npy", ".*.tmp"):
            for path in self.checkpoints.glob(name):
                path.unlink()
        write_atomically(self.folder / "engine.txt", engine_digest().encode())
        write_atomically(self.folder / "data.txt", data_digest(data).encode())
        write_atomically(self.folder / "config.toml", to_toml(self.config).encode())

    def engine_changed(self):
        """Whether the maths that trained the run is known, and another than the engine's now."""
        path = self.folder / "engine.txt"
        return path.exists() and digest_in(path) != engine_digest()

    def check_data(self, data):
        """RunError if the data that are drawn now are known to be others than the run was trained on."""
        path = self.folder / "data.txt"
        if path.exists() and digest_in(path) != data_digest(data):
            raise RunError(
                f"the data come out different from those that {self.folder} was trained on: does its rule "
                "depend on more than the history (a file, the time, PYTHONHASHSEED)? --retrain trains again"
            )

    def save(self, state):
        """Write the snapshot of a state; the state itself, down to the disk, once a second and at the end.

        A training that is killed repeats at most that second: the same snapshots, bit for bit.
        """
        last = state.step == self.config.training.steps
        durable = last or state.step == 0 or time.monotonic() - self.on_disk > 1
        buffer = io.BytesIO()
        np.save(buffer, state.theta)
        write_atomically(self.snapshot_path(state.step), buffer.getvalue(), durable)
        self.unsaved = {
            "step": state.step, "theta": state.theta.copy(), "m": state.m.copy(), "v": state.v.copy(),
            "rng": state.rng.bit_generator.state, "history": state.history,
        }
        if durable:
            self.save_state()

    def save_state(self):
        """Write what a resume needs of the state saved last, if that has not been done."""
        if self.unsaved is None:
            return
        values = self.unsaved | {"rng": json.dumps(self.unsaved["rng"])}
        buffer = io.BytesIO()
        np.savez(buffer, **values)
        write_atomically(self.checkpoints / "state.npz", buffer.getvalue())
        self.unsaved, self.on_disk = None, time.monotonic()

    def write_history(self):
        """Write the evaluations as a table for other tools."""
        self.write_table("history.csv", HISTORY_COLUMNS, self.load_state().history)

    def write_table(self, name, columns, rows):
        """Write rows of numbers as a CSV file of the run, all digits: its path."""
        lines = [",".join(columns), *(",".join(map(repr, row)) for row in rows)]
        write_atomically(self.folder / name, ("\n".join(lines) + "\n").encode())
        return self.folder / name

    def load_state(self):
        """The State to resume from."""
        path = self.checkpoints / "state.npz"
        try:
            with np.load(io.BytesIO(read_file(path)), allow_pickle=False) as file:
                rng = np.random.default_rng()
                rng.bit_generator.state = json.loads(str(file["rng"]))
                history = [(int(row[0]), *row[1:].tolist()) for row in file["history"]]
                state = State(int(file["step"]), file["theta"], file["m"], file["v"], rng, history)
                check_history(file["history"], state.step, self.config.training.steps)
        except Exception as error:      # a damaged or foreign file can raise nearly anything
            raise RunError(f"{path}: cannot be read: {error}") from error
        for name in ("theta", "m", "v"):
            self.check_vector(path, getattr(state, name), LARGEST if name == "theta" else np.inf)
        if (state.v < 0).any():
            raise RunError(f"{path}: holds negative means of squares")
        return state

    def snapshot_path(self, step):
        return self.checkpoints / f"step_{step:06d}.npy"

    @cached_property
    def steps(self):
        """Steps of which there is a snapshot, ascending."""
        found = (re.fullmatch(r"step_(\d+)\.npy", path.name) for path in self.checkpoints.glob("*.npy"))
        return sorted(int(match[1]) for match in found if match)

    def params(self, step):
        """Params at a saved step."""
        if step not in self.steps:
            raise RunError(f"no snapshot of step {step} in {self.checkpoints}; {self.describe_steps()}")
        path = self.snapshot_path(step)
        try:
            vector = np.asarray(np.load(io.BytesIO(read_file(path)), allow_pickle=False))
        except Exception as error:      # as above
            raise RunError(f"{path}: cannot be read: {error}") from error
        self.check_vector(path, vector)
        return unflatten(vector, self.shapes)

    def check_vector(self, path, vector, largest=LARGEST):
        """RunError unless these are finite values for this config's model, none above the largest."""
        expected = sum(int(np.prod(shape)) for shape in self.shapes.values())
        if vector.shape != (expected,):
            raise RunError(f"{path}: holds {vector.shape} values, this config's model has {expected}")
        if vector.dtype != self.config.training.dtype:
            raise RunError(f"{path}: holds {vector.dtype}, this config's model {self.config.training.dtype}")
        if not np.isfinite(vector).all():
            raise RunError(f"{path}: holds values that are not finite")
        if vector.size and float(np.abs(vector).max()) > largest:
            raise RunError(f"{path}: holds values too large to compute with")

    def describe_steps(self):
        """The saved steps in one clause."""
        gaps = set(np.diff(self.steps).tolist())
        if len(self.steps) > 3 and len(gaps) == 1:
            return f"snapshots exist every {gaps.pop()} steps, {self.steps[0]} to {self.steps[-1]}"
        return f"snapshots exist of the steps {', '.join(map(str, self.steps))}"

    @property
    def shapes(self):
        """Parameter shapes by name."""
        return parameter_shapes(self.config.model, self.config.data.numbers + len(self.config.data.operators))

    @cached_property
    def history(self):
        """The evaluations as arrays by column name."""
        columns = np.array(self.load_state().history).T
        return dict(zip(HISTORY_COLUMNS, columns, strict=True))
