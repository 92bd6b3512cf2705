"""One config trained from many seeds: how often it learns its rule, how soon, and to what.

    <folder>/results/seed_000014.npz        what one seed came to; makes a sweep resumable
    <folder>/seeds.csv                      one row a seed

The seeds are shared out to any `concurrent.futures.Executor`. A job gets the config and the seed and
gives back arrays, so its worker may be on another machine; all files are written here.
"""

import dataclasses
import io
import os
import time
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scratchformer.engine.model import forward, parameter_shapes, unflatten
from scratchformer.engine.warm import compile_engine
from scratchformer.run.config import to_toml
from scratchformer.run.data import allowed_next
from scratchformer.run.folder import check_history
from scratchformer.run.judge import LEARNED, count_wrong
from scratchformer.run.memory import check_memory
from scratchformer.run.own_rule import find_rule, trust_rule
from scratchformer.run.run import Run
from scratchformer.run.train import HISTORY_COLUMNS, prepare, train
from scratchformer.system.errors import Diverged, RunError
from scratchformer.system.files import check_links, lock_folder, read_file, write_atomically
from scratchformer.system.pool import as_they_end, can_fork, count_cores, process_pool
from scratchformer.tools.seeds.report import count_learned, make_table


class Result(NamedTuple):
    """What one seed came to. A seed that failed has a note that says why, and what there was until then."""

    seed: int
    theta: np.ndarray                   # all parameters at the last step, end to end: (P,)
    history: np.ndarray                 # a row of HISTORY_COLUMNS for each evaluation: (E, 5)
    wrong: int                          # of the constrained positions of all held-out windows
    constrained: int
    loss: float                         # on all held-out windows
    seconds: float
    note: str

    @property
    def rule_error(self):
        """Share of constrained positions of all held-out windows that are wrong; nan if it failed, or if
        there are none."""
        return self.wrong / self.constrained if self.constrained and not self.note else np.nan

    @property
    def learned(self):
        """Whether the final rule error is at most 1%."""
        return bool(self.rule_error <= LEARNED)

    @property
    def settled_step(self):
        """Step of the first evaluation from which on the rule error (of the evaluations' sample of held-out
        windows) is at most 1%, and stays so; None if there is none or the training failed."""
        above = np.flatnonzero(self.column("rule_error") > LEARNED)
        first = above[-1] + 1 if len(above) else 0
        none = self.note or not self.constrained or first == len(self.history)
        return None if none else int(self.column("step")[first])

    def column(self, name):
        """One of HISTORY_COLUMNS: (E,)."""
        return self.history[:, HISTORY_COLUMNS.index(name)]

    def params(self, config):
        """The Params at the last step, of the config that was trained."""
        tokens = config.data.numbers + len(config.data.operators)
        return unflatten(self.theta, parameter_shapes(config.model, tokens))


class Sweep(NamedTuple):
    """A config and the Result of each seed, in the order asked for."""

    config: object
    folder: Path
    results: list

    def model(self, seed, run_class=Run):
        """The Model that a seed came to, as a run of that seed has it; RunError if it has no result."""
        for result in self.results:
            if result.seed == seed and not result.note:
                config = with_seed(self.config, seed)
                run = run_class(self.folder, config)
                return run.model_class(run, config.training.steps, result.params(config))
        raise RunError(f"no result of seed {seed} in {self.folder}")


def sweep(config, seeds, folder, executor=None, progress=lambda text: None):
    """Train a config from each of the seeds that `folder` has no result of: a Sweep.

    executor: a concurrent.futures.Executor; without one, a process a core of this machine. A seed
    that fails is a row with its reason. If interrupted, what was finished is kept.
    Raises RunError where the seeds are not different whole numbers from 0 on, ConfigError where the config
    is too large for this machine's memory.
    """
    seeds, folder = check_seeds(seeds), Path(folder)
    check_memory(config)
    find_rule(config.data)              # Untrusted, before anything is written
    folder.mkdir(parents=True, exist_ok=True)
    lock_folder(folder)
    check_links(folder / "results" / "seed")
    (folder / "results").mkdir(parents=True, exist_ok=True)
    found = {seed: load_result(folder, config, seed) for seed in seeds}
    results = {seed: result for seed, result in found.items() if result}
    missing = [seed for seed in seeds if seed not in results]
    start = time.perf_counter()
    try:
        own = executor is None and missing
        with local_pool(config, len(missing)) if own else nullcontext(executor) as pool:
            for number, result, error in as_they_end(pool, train_seed, [(config, seed) for seed in missing]):
                result = result if error is None else failed(missing[number], error)
                if len(result.history):
                    save_result(folder, config, result)
                results[result.seed] = result           # once it is stored: the table lists no other
                left = len(seeds) - len(results)
                rate = (time.perf_counter() - start) / (len(missing) - left)
                progress(f"{count_learned(results.values())} seeds learned the rule; {left} to go, "
                         f"{rate:.2f} s each")
    finally:
        done = Sweep(config, folder, [results[seed] for seed in seeds if seed in results])
        write_atomically(folder / "seeds.csv", make_table(done.results).encode())
    return done


def check_seeds(seeds):
    """The seeds as a list; RunError unless they are different whole numbers from 0 to 2**63 - 1."""
    seeds = list(seeds)
    for seed in seeds:
        if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
            raise RunError(f"seed {seed!r}: must be a whole number from 0 to 2**63 - 1")
    if not seeds or len(set(seeds)) < len(seeds):
        raise RunError("name at least one seed" if not seeds else "a seed is named twice")
    return [int(seed) for seed in seeds]


def with_seed(config, seed):
    """The config with another seed."""
    return dataclasses.replace(config, training=dataclasses.replace(config.training, seed=seed))


# the job


def train_seed(config, seed):
    """The Result of one seed: the same numbers as a run of it; a run that diverges is one too."""
    start = time.perf_counter()
    config = with_seed(config, seed)
    trust_rule(config.data.rule)        # as it is where the job comes from, which may be another process
    data, judge, state = prepare(config)
    wrong = constrained = 0
    loss, note = np.nan, ""

    def keep(reached):
        nonlocal state
        state = reached

    try:
        for reached in train(config, data, judge, state, keep):
            keep(reached)
        params = unflatten(state.theta, parameter_shapes(config.model, len(data.vocabulary)))
        tokens, targets = data.held_out_windows[:, :-1], data.held_out_windows[:, 1:]
        cache = forward(params, tokens, targets, config.model.use_residual)
        allowed = allowed_next(judge.rule, data.vocabulary, tokens)
        wrong, constrained, loss = *count_wrong(cache.logits, allowed), float(cache.loss)
    except Diverged as error:
        note = f"diverged {error}"
    history = np.array(state.history).reshape(-1, len(HISTORY_COLUMNS))
    return Result(
        seed, state.theta, history, wrong, constrained, loss, time.perf_counter() - start, note
    )


def failed(seed, error):
    """The Result of a job that raised: one without history."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return Result(seed, np.zeros(0), np.zeros((0, len(HISTORY_COLUMNS))), 0, 0, np.nan, np.nan, reason)


def local_pool(config, jobs):
    """Processes for so many jobs, one a core at most; forks have the compiled code already."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")      # for workers that start from nothing
    compile_engine(config.training.dtype)
    return process_pool(min(count_cores(), jobs), "fork" if can_fork() else "spawn")


# what is stored


def result_path(folder, seed):
    """The file of one seed's result."""
    return folder / "results" / f"seed_{seed:06d}.npz"


def save_result(folder, config, result):
    """Write a Result with the config that led to it."""
    buffer = io.BytesIO()
    np.savez(buffer, config=to_toml(with_seed(config, result.seed)), **result._asdict())
    write_atomically(result_path(folder, result.seed), buffer.getvalue())


def load_result(folder, config, seed):
    """The stored Result of a seed of this very config, None if there is none that can be read."""
    try:
        with np.load(io.BytesIO(read_file(result_path(folder, seed))), allow_pickle=False) as file:
            if str(file["config"]) != to_toml(with_seed(config, seed)):
                return None
            values = {name: file[name] if file[name].ndim else file[name].item() for name in Result._fields}
            result = Result(**values)
            check_result(result, config, seed)
            return result
    except Exception:                   # a damaged file can raise nearly anything: the seed is trained again
        return None


def check_result(result, config, seed):
    """ValueError unless this is what a training of a seed comes to."""
    size = sum(int(np.prod(shape)) for shape in parameter_shapes(
        config.model, config.data.numbers + len(config.data.operators)).values())
    if result.seed != seed or result.theta.shape != (size,) or not isinstance(result.note, str) \
            or not result.note.isprintable():
        raise ValueError("of another form")
    if result.note:                     # it diverged: what there was until then
        return
    check_history(result.history, config.training.steps, config.training.steps)
    if not 0 <= result.wrong <= result.constrained or not 0 <= result.loss < 1e6 or not result.seconds >= 0:
        raise ValueError("not possible")
    if not np.isfinite(result.theta).all():
        raise ValueError("not finite")
