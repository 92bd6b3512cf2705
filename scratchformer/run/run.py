"""A run: its files, the data that it is trained and judged on, its model at each saved step."""

import dataclasses
from functools import cached_property
from pathlib import Path

from scratchformer.engine.model import unflatten
from scratchformer.run.config import load_config
from scratchformer.run.data import make_vocabulary, parse_tokens
from scratchformer.run.demos import COUNT, choose_demos
from scratchformer.run.folder import RunFiles
from scratchformer.run.judge import HeldOut, lands_right
from scratchformer.run.model import Model
from scratchformer.run.own_rule import find_rule, may_run
from scratchformer.run.train import prepare
from scratchformer.system.errors import RunError


class Run:
    """One training of one config, in one folder.

    files: RunFiles

    Raises RunError where files are missing, damaged or of another model.
    """

    model_class = Model
    followed = ()                       # a sequence of the user's, to be the first of `demos`
    metric = None                       # a Metric of the user's, to stand beside the rule error

    def __init__(self, folder, config):
        self.files = RunFiles(folder, config)
        self.config = config

    @cached_property
    def rule(self):
        """The rule as a function of the history; Untrusted if its file is not one that the user has named."""
        return find_rule(self.config.data)

    @classmethod
    def open(cls, folder):
        """The run whose files lie in `folder`."""
        path = Path(folder) / "config.toml"
        if not path.is_file():
            others = sorted(other.parent.name for other in path.parent.parent.glob("*/config.toml"))
            there = f"; beside it there are {', '.join(others[:5])}" if others else ""
            raise RunError(f"no run in {folder}: {path} is missing{there}")
        config = dataclasses.replace(load_config(str(path)), name=Path(folder).resolve().name)
        run = cls(folder, config)
        if not run.steps:
            raise RunError(f"no run in {folder}: no snapshot in {run.files.checkpoints}")
        return run

    @property
    def folder(self):
        return self.files.folder

    @property
    def steps(self):
        """Steps of which there is a snapshot, ascending."""
        return self.files.steps

    @property
    def history(self):
        """The evaluations as arrays by column name."""
        return self.files.history

    def at(self, step):
        """The Model at a saved step; RunError where there is none, its snapshot is damaged, or the run's data
        cannot be drawn again. Of a rule that may not be run, the weights can still be looked at."""
        if may_run(self.config.data.rule):
            self.files.check_data(self.data)
        return self.model_class(self, step, self.files.params(step))

    @property
    def last(self):
        """The Model at the last saved step."""
        return self.at(self.steps[-1])

    @property
    def untrained(self):
        """The Model at step 0, drawn from the seed whether or not it is saved."""
        return self.model_class(self, 0, unflatten(self.prepared[2].theta, self.files.shapes))

    @cached_property
    def prepared(self):
        """(Data, Judge, State at step 0), drawn again from the seed."""
        return prepare(self.config)

    @property
    def data(self):
        """The Data the run is trained and judged on, drawn again from the seed."""
        return self.prepared[0]

    @property
    def judge(self):
        """The Judge of the run's evaluations."""
        return self.prepared[1]

    @cached_property
    def vocabulary(self):
        """Tokens as text, in id order."""
        return tuple(map(str, make_vocabulary(self.config)))

    @cached_property
    def held_out(self):
        """All held-out windows, and what the rule allows there: HeldOut."""
        return HeldOut.of(self.rule, self.data)

    @cached_property
    def demos(self):
        """The sequences that figures follow: list of (T,) token ids."""
        held_out = self.held_out
        wrong = held_out.allowed.any(axis=-1) & ~lands_right(self.last.held_out.logits, held_out.allowed)
        return [*self.followed, *choose_demos(self.rule, self.data, held_out, wrong)][:COUNT]

    @cached_property
    def metric_history(self):
        """(steps, values) of the metric at every snapshot, on the held-out windows of the evaluations."""
        windows = self.judge.held_out_windows
        caches = (self.at(step).forward(windows[:, :-1], windows[:, 1:]) for step in self.steps)
        return self.steps, [self.metric.measure(cache, self.judge.allowed) for cache in caches]

    def follow(self, sequence):
        """Make a sequence, tokens with spaces between them, the first of `demos`.

        Raises RunError for unknown tokens, none, or more than the window holds.
        """
        try:
            tokens = parse_tokens(sequence, make_vocabulary(self.config), self.config.model.block_size)
        except ValueError as error:
            raise RunError(f"--sequence: {error}") from error
        self.followed = [tokens]
        self.__dict__.pop("demos", None)
