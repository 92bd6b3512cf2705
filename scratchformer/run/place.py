"""Where a run lies, and who may touch it.

A run lies in <out>/<config>; with settings changed on the command line in a folder of its own, named
after the change: <out>/<config>.seed-3. What is finished is never replaced without --retrain, and what is
unfinished never by a look at it.
"""

import dataclasses
import sys
import tomllib
from pathlib import Path

from scratchformer.run.folder import RunFiles
from scratchformer.run.run import Run
from scratchformer.system.errors import RunError, plain, shown
from scratchformer.system.files import lock_folder, read_file, remove_leftovers


def own_folder(config, out):
    """The folder that is a config's own."""
    return Path(out) / (f"{config.name}.{config.variant}" if config.variant else config.name)


def find_place(config, out, retrain=False, run_class=Run):
    """The Run of a config in its own folder, trained or not. Nothing is written or held yet.

    Raises RunError if a run of other settings lies there, unless `retrain` is to replace it.
    """
    folder = own_folder(config, out)
    run = run_class(folder, dataclasses.replace(config, name=folder.name))
    if not retrain:
        check_taken(run)
    return run


def find_saved(config, out, overridden, run_class=Run):
    """The Run of a config that is there to be looked at, finished or not.

    overridden: whether the user changed settings, which the run then must have

    Raises RunError if there is none.
    """
    folder, plain = own_folder(config, out), Path(out) / config.name
    if RunFiles(folder, config).is_empty() and RunFiles(plain, config).holds(config):
        folder = plain
    run = run_class.open(folder)
    if overridden and not run.files.holds(config):
        raise RunError(f"the run in {folder} has other settings than --set, --seed or --rule ask for")
    if run.config.data.rule != config.data.rule:
        raise RunError(f"the run in {folder} is of another rule: {run.config.data.rule}")
    return run


def claim(run, retrain):
    """Hold a run's folder until this process ends: to read it if it is finished, else alone, to train there.

    Raises RunError if another process holds it, or has put a run of other settings there since.
    """
    if run.files.is_finished() and not retrain:
        lock_folder(run.folder)
    else:
        if not run.folder.is_symlink():
            run.folder.mkdir(parents=True, exist_ok=True)
        lock_folder(run.folder, alone=True)
    if not retrain:
        check_taken(run)
    remove_leftovers(run.folder)


def check_taken(run):
    """RunError if a run of other settings lies in a run's folder."""
    if not run.files.is_empty() and not run.files.holds(run.config):
        raise RunError(f"{run.folder} holds {describe_other(run.files)}; "
                       "--retrain replaces it, --out DIR keeps both")


def describe_other(files):
    """What differs first between the run in a folder and the config asked for, in words."""
    try:
        there = tomllib.loads(read_file(files.folder / "config.toml").decode())
    except (OSError, ValueError) as error:
        return f"a run that cannot be read ({error})"
    for section in ("model", "data", "training"):
        for key, value in dataclasses.asdict(getattr(files.config, section)).items():
            value = list(value) if isinstance(value, tuple) else value
            usual = getattr(type(getattr(files.config, section)), key)      # of what the file does not say
            found = there[section].get(key, usual) if isinstance(there.get(section), dict) else None
            if found != value:
                return (f"a run of other settings ({section}.{key} = {shown(found)} there, "
                        f"{shown(value)} asked for)")
    return "a run of other settings"


def look_at(run):
    """Hold a run's folder to read it, sweep what killed processes left in it, and say what state it is in."""
    lock_folder(run.folder)
    remove_leftovers(run.folder)
    note_state(run)


def note_state(run):
    """Say it, on stderr, where a run is not finished, or the engine has changed since it was trained."""
    total = run.config.training.steps
    if run.steps[-1] < total:
        print(f"{plain(run.folder)} is unfinished, at step {run.steps[-1]:,} of {total:,}: the training "
              "command continues it", file=sys.stderr)
    if run.files.engine_changed():
        print(f"the engine has changed since {plain(run.folder)} was trained: old weights in a new engine; "
              "--retrain trains again", file=sys.stderr)
