"""A run is its files. Everything a figure or a resume needs lies in one folder, written atomically.

    <out>/<config>/config.toml                      the resolved config
    <out>/<config>/checkpoints/step_000100.npy      all parameters at a step, end to end: (P,)
    <out>/<config>/checkpoints/state.npz            what an exact resume needs
    <out>/<config>/plots/                           figures
"""

import dataclasses
import io
import json
import re
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from scratchformer.engine.model import forward, landscape, parameter_shapes, unflatten
from scratchformer.run.config import load_config, to_toml
from scratchformer.run.data import allowed_next, parse_tokens
from scratchformer.run.judge import count_wrong
from scratchformer.run.own_rule import find_rule
from scratchformer.run.train import HISTORY_COLUMNS, State, prepare
from scratchformer.system.errors import RunError
from scratchformer.system.files import write_atomically


class Run:
    """A run's folder: its config, its snapshots, and what they compute.

    Raises RunError where files are missing, damaged or of another model.
    """

    def __init__(self, folder, config):
        self.folder = Path(folder)
        self.config = config
        self.rule = find_rule(config.data)

    @property
    def checkpoints(self):
        return self.folder / "checkpoints"

    @classmethod
    def open(cls, folder):
        """The run whose files lie in `folder`."""
        path = Path(folder) / "config.toml"
        if not path.is_file():
            raise RunError(f"no run in {folder}: {path} is missing")
        config = dataclasses.replace(load_config(str(path)), name=Path(folder).resolve().name)
        run = cls(folder, config)
        if not run.steps:
            raise RunError(f"no run in {folder}: no snapshot in {run.checkpoints}")
        return run

    def holds(self, config):
        """Whether the folder holds a run of exactly this config (finished or not)."""
        path = self.folder / "config.toml"
        return path.is_file() and path.read_bytes() == to_toml(config).encode()

    # what is stored

    def forget(self):
        """Drop what was read from the folder or computed from it: it is about to change."""
        for name in ("steps", "history"):
            self.__dict__.pop(name, None)
        self.held_out_cache.cache_clear()

    def start(self):
        """Make the folder ready for a new run: an older run's snapshots go, then its config."""
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        for name in ("state.npz", "step_*.npy", ".*.tmp"):
            for path in self.checkpoints.glob(name):
                path.unlink()
        write_atomically(self.folder / "config.toml", to_toml(self.config).encode())

    def save(self, state):
        """Write the snapshot of a state, then the state itself."""
        buffer = io.BytesIO()
        np.save(buffer, state.theta)
        write_atomically(self.snapshot_path(state.step), buffer.getvalue())
        buffer = io.BytesIO()
        np.savez(
            buffer, step=state.step, theta=state.theta, m=state.m, v=state.v,
            rng=json.dumps(state.rng.bit_generator.state), history=np.array(state.history),
        )
        write_atomically(self.checkpoints / "state.npz", buffer.getvalue())

    def load_state(self):
        """The State to resume from."""
        path = self.checkpoints / "state.npz"
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                rng = np.random.default_rng()
                rng.bit_generator.state = json.loads(str(file["rng"]))
                history = [(int(row[0]), *row[1:].tolist()) for row in file["history"]]
                state = State(int(file["step"]), file["theta"], file["m"], file["v"], rng, history)
                if not history or {len(row) for row in history} != {len(HISTORY_COLUMNS)}:
                    raise ValueError("its history is of another form")
        except Exception as error:      # a damaged or foreign file can raise nearly anything
            raise RunError(f"{path}: cannot be read: {error}") from error
        for name in ("theta", "m", "v"):
            self.check_vector(path, getattr(state, name))
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
            vector = np.asarray(np.load(io.BytesIO(path.read_bytes()), allow_pickle=False))
        except Exception as error:      # as above
            raise RunError(f"{path}: cannot be read: {error}") from error
        self.check_vector(path, vector)
        return unflatten(vector, self.shapes)

    def check_vector(self, path, vector):
        """RunError unless these are finite values for this config's model."""
        expected = sum(int(np.prod(shape)) for shape in self.shapes.values())
        if vector.shape != (expected,):
            raise RunError(f"{path}: holds {vector.shape} values, this config's model has {expected}")
        if vector.dtype != self.config.training.dtype:
            raise RunError(f"{path}: holds {vector.dtype}, this config's model {self.config.training.dtype}")
        if not np.isfinite(vector).all():
            raise RunError(f"{path}: holds values that are not finite")

    def describe_steps(self):
        """The saved steps in one clause."""
        gaps = set(np.diff(self.steps).tolist())
        if len(self.steps) > 3 and len(gaps) == 1:
            return f"saved are {self.steps[0]} to {self.steps[-1]}, every {gaps.pop()}"
        return f"saved are {', '.join(map(str, self.steps))}"

    # what follows from it

    @cached_property
    def prepared(self):
        """(Data, Judge, State at step 0), drawn again from the seed."""
        return prepare(self.config)

    @property
    def data(self):
        """The Data the run was trained and judged on, drawn again from the seed."""
        return self.prepared[0]

    @property
    def judge(self):
        """The Judge of the run."""
        return self.prepared[1]

    @cached_property
    def vocabulary(self):
        """Tokens as text, in id order."""
        return tuple(map(str, self.data.vocabulary))

    @property
    def shapes(self):
        """Parameter shapes by name."""
        return parameter_shapes(self.config.model, self.config.data.numbers + len(self.config.data.operators))

    @cached_property
    def history(self):
        """The evaluations as arrays by column name."""
        columns = np.array(self.load_state().history).T
        return dict(zip(HISTORY_COLUMNS, columns, strict=True))

    def forward(self, step, tokens, targets=None):
        """The Cache of a saved step's model for (B, T) token ids."""
        return forward(self.params(step), tokens, targets, self.config.model.use_residual)

    def grid(self, step):
        """The Cache of every token at every position: row i is token i over and over, (V, T).

        Its embed, q, k and v are those of each (token, position) pair, whatever the context.
        """
        V, T = len(self.vocabulary), self.config.model.block_size
        return self.forward(step, np.repeat(np.arange(V)[:, None], T, axis=1))

    def landscape(self, step, points):
        """Probability of each next token if `resid_mid` lay at each of the points: (N, C) -> (N, V)."""
        return landscape(self.params(step), points, self.config.model.use_residual)

    def follow(self, sequence):
        """Make a sequence, tokens with blanks between them, the first of `demos`; None changes nothing.

        Raises RunError for unknown tokens, none, or more than the window holds.
        """
        if sequence is None:
            return
        try:
            tokens = parse_tokens(sequence, self.data.vocabulary, self.config.model.block_size)
        except ValueError as error:
            raise RunError(f"--sequence: {error}") from error
        self.demos = [tokens, *self.demos][:3]

    @cached_property
    def demos(self):
        """Three sequences to follow through the model: list of (T,) token ids.

        The first is 10 + 10 6 + 6 4 8 where the model can read it and the rule constrains two positions.
        The others are the first held-out windows with just two constrained positions, three or more
        apart, whose answers differ, and an odd number between; where there are too few, first those
        without the odd number, then the ones with most answers.
        """
        ids = {token: i for i, token in enumerate(self.data.vocabulary)}
        classic = [10, "+", 10, 6, "+", 6, 4, 8]
        fits = set(classic) <= set(ids) and len(classic) <= self.config.model.block_size
        demos = [np.array([ids[token] for token in classic])] if fits else []
        if fits and allowed_next(self.rule, self.data.vocabulary, demos[0][None]).any(axis=-1).sum() < 2:
            demos = []
        odd = np.array([isinstance(token, int) and token % 2 == 1 for token in self.data.vocabulary])
        merits = []
        for window, allowed in zip(self.held_out_tokens, self.held_out_allowed, strict=True):
            (where,) = allowed.any(axis=-1).nonzero()
            different = len(np.unique(allowed[where], axis=0))
            plain = len(where) == different == 2 and where[1] - where[0] >= 3
            merits.append((plain, plain and odd[window[where[0] + 2 : where[1]]].any(), different))
        order = sorted(range(len(merits)), key=merits.__getitem__, reverse=True)
        return demos + [self.held_out_tokens[n] for n in order[: 3 - len(demos)]]

    @property
    def held_out_tokens(self):
        """What the model reads of the held-out windows: (N, T) ids."""
        return self.data.held_out_windows[:, :-1]

    @cached_property
    def held_out_allowed(self):
        """What the rule allows after each of `held_out_tokens`: (N, T, V) bool; see allowed_next."""
        return allowed_next(self.rule, self.data.vocabulary, self.held_out_tokens)

    @lru_cache(maxsize=2)
    def held_out_cache(self, step):
        """The Cache of a saved step's model for all held-out windows, with their targets."""
        return self.forward(step, self.held_out_tokens, self.data.held_out_windows[:, 1:])

    def generate(self, step, count, length):
        """`count` sequences sampled from a saved step's model, the same at every call: (count, length)."""
        noise = np.random.default_rng(self.config.training.seed).random((count, length))
        return self.judge.generate(self.params(step), noise)

    def held_out(self, step):
        """(wrong, constrained, loss) of a saved step's model on all held-out windows."""
        cache = self.held_out_cache(step)
        return *count_wrong(cache.logits, self.held_out_allowed), float(cache.loss)
