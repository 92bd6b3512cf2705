"""A trained run: found or trained, and its outcome in a few lines."""

import copy
import gc
import sys
import time

from scratchformer.engine.warm import compile_engine
from scratchformer.run.config import config_names
from scratchformer.run.extend import find_shorter, take_over
from scratchformer.run.judge import GENERATED_RULE_ERROR, LEARNED, RULE_ERROR
from scratchformer.run.place import claim, note_state
from scratchformer.run.train import is_checkpoint, train
from scratchformer.system.errors import Diverged, RunError, plain
from scratchformer.system.files import lock_folder
from scratchformer.system.program import command_line
from scratchformer.system.progress import Progress


def check_step(step, settings):
    """RunError unless training will save that step."""
    if step is not None and not (0 <= step <= settings.steps and is_checkpoint(step, settings)):
        more = " and at 1, 2, 4, ..., 64" if settings.checkpoint_schedule == "log" else ""
        raise RunError(
            f"--step {step}: snapshots exist every {settings.checkpoint_every} steps, "
            f"0 to {settings.steps}{more}"
        )


def train_run(run, resume=False, retrain=False):
    """Train the run unless it is finished; returns the seconds it took, or None.

    An unfinished run is continued, to the same bits as if it had not been interrupted. resume: RunError if
    there is none to continue, nor a finished one of fewer steps that goes on here; retrain: start from step 0

    Raises Diverged where training does, and lets a Ctrl-C say how to continue.
    """
    find_state(run, resume, retrain)    # RunError, and ConfigError for what is too large, before a file is
    run.prepared                        # written
    gc.freeze()                         # what the imports made stays: no need to look through it again
    claim(run, retrain)
    if resume and not run.files.can_resume():
        take_over(run, find_shorter(run))
    state = find_state(run, resume, retrain)
    if state and state.step == run.config.training.steps:
        note_state(run)
        return None
    if state:
        run.files.check_data(run.data)
        print(f"continuing the run in {plain(run.folder)} from step {state.step:,} (--retrain starts over)",
              file=sys.stderr)
    seconds = train_from(run, state)
    lock_folder(run.folder)             # others may read it now
    return seconds


def find_state(run, resume, retrain):
    """The State that the folder holds of a run of this config, None if there is none or `retrain`; RunError
    if there is none to resume, nor a shorter run to go on with, or none that can be."""
    resumable = run.files.can_resume()
    if resume and not resumable and find_shorter(run) is None:
        raise RunError(f"--resume: no run of these settings in {run.folder}")
    state = run.files.load_state() if resumable and not retrain else None
    if state and not run.files.snapshot_path(state.step).is_file():
        raise RunError(f"{run.files.snapshot_path(state.step)} is missing; --retrain trains again")
    if state and state.step < run.config.training.steps and run.files.engine_changed():
        raise RunError(
            f"the engine has changed since {run.folder} was begun, so it cannot be continued; "
            "--retrain trains again"
        )
    return state


def train_from(run, state):
    """Train the run from a State, or from the start without one; returns the seconds it took."""
    progress = Progress()
    start = time.perf_counter()
    run.files.forget()
    data, judge, untrained = run.prepared
    if state is None:
        run.files.start(data)
        state = untrained._replace(rng=copy.deepcopy(untrained.rng))
    first = state.step
    progress.show("compiling the model (once; the machine code is kept)", force=True)
    try:
        compile_engine(run.config.training.dtype)
        for state in train(run.config, data, judge, state, run.files.save):
            _, train_loss, _, rule_error, _ = state.history[-1]
            rate = (state.step - first) / (time.perf_counter() - start)
            progress.show(
                f"{state.step / run.config.training.steps:4.0%}  step {state.step:,}  {rate:,.0f} steps/s  "
                f"loss {train_loss:.3f}  rule error {rule_error:.1%}"
            )
    except KeyboardInterrupt:
        run.files.save_state()
        if not run.files.can_resume():
            raise
        raise KeyboardInterrupt("the same command continues the training") from None
    except Diverged as error:
        run.files.save_state()
        raise Diverged(
            f"training diverged {error}; the snapshots before are kept. A lower training.learning_rate "
            f"may help (it is {run.config.training.learning_rate})"
        ) from None
    run.files.write_history()
    progress.clear()
    return time.perf_counter() - start


def print_metric(model):
    """Print the value of the run's metric, and write that of every snapshot."""
    run, name = model.run, model.run.metric.name
    path = run.files.write_table(f"metric_{name}.csv", ("step", name), zip(*run.metric_history, strict=True))
    print(f"metric {name}: {model.measure(run.metric):.4g} on all held-out windows; "
          f"at every snapshot, on the evaluations' sample: {plain(path)}")


def print_outcome(model, plots, train_seconds, draw_seconds, times):
    """Print where the figures are, how long it took, and whether the rule was learned."""
    run, step = model.run, model.step
    steps = run.config.training.steps
    (wrong, constrained), loss = model.count_wrong(), float(model.held_out.loss)
    bad, judged = run.judge.judge_generated(run.judge.generate(model.params, run.judge.noise))
    print(f"figures: {plain(plots)} ({len(times)} files, drawn in {draw_seconds:.1f} s)")
    if train_seconds is None:
        done = "already done" if run.steps[-1] == steps else "unfinished"
        print(f"training: {done}, {run.steps[-1]:,} of {steps:,} steps")
    else:
        print(f"training: {steps:,} steps in {train_seconds:.1f} s, evaluations and snapshots included")
    if run.metric:
        print_metric(model)
    windows = run.judge.train_windows
    train_loss = float(model.forward(windows[:, :-1], windows[:, 1:]).loss)
    print(f"loss at step {step:,}: {train_loss:.4f} train (sample), {loss:.4f} held out")
    print(RULE_ERROR)
    print(GENERATED_RULE_ERROR)
    print(f"generated rule error {bad / max(judged, 1):.2%} ({bad} of {judged} constrained tokens wrong)")
    if not constrained:
        print("no verdict: the rule constrains no position of the held-out windows")
        return
    error = wrong / constrained
    count = f"held-out rule error {error:.2%} ({wrong} of {constrained} constrained positions wrong)"
    if step < run.steps[-1]:
        wrong, _ = run.last.count_wrong()
        print(f"at step {step:,}: {count}; at step {run.steps[-1]:,}, the last, {wrong / constrained:.2%}")
        return
    if step < steps:
        print(f"not yet: at step {step:,} of {steps:,}: {count}")
        return
    print(f"rule {'learned' if error <= LEARNED else 'NOT learned'}: {count}")
    robust = f"{run.config.name.partition('.')[0]}_robust"
    if error > LEARNED and robust in config_names():
        print(f"a recipe that learns it: {command_line(robust)}")
