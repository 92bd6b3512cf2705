"""Going on with a finished run: more steps of the same settings, in a folder of their own."""

import sys
from pathlib import Path

from scratchformer.run.config import to_toml
from scratchformer.run.folder import settings_of
from scratchformer.run.run import Run
from scratchformer.system.errors import RunError, plain
from scratchformer.system.files import lock_folder, read_file, write_atomically


def find_shorter(run):
    """The finished run beside this one that has its settings but for fewer steps, the longest: a Run or None.

    Raises RunError where its steps would be others in a longer training, or its engine was another.
    """
    found = []
    wanted = but_steps(to_toml(run.config).encode())
    for path in sorted(run.folder.parent.glob("*/config.toml")):
        if path.parent != run.folder and but_steps(readable(path)) == wanted:
            other = Run.open(path.parent)
            if other.config.training.steps < run.config.training.steps and other.files.is_finished():
                found.append(other)
    if not found:
        return None
    shorter = max(found, key=lambda other: other.config.training.steps)
    if run.config.training.schedule != "constant":
        raise RunError(
            f"{shorter.folder} cannot go on: with training.schedule = {run.config.training.schedule!r} the "
            "learning rate of every step depends on training.steps, so its steps would have been others; "
            "leave out --resume to train from the start"
        )
    if shorter.files.engine_changed():
        raise RunError(f"the engine has changed since {shorter.folder} was trained, so it cannot go on")
    return shorter


def readable(path):
    """The bytes of a file, none if it cannot be read: whatever else lies there is not ours to judge."""
    try:
        return read_file(path)
    except OSError:
        return b""


def but_steps(toml):
    """The settings of a config file, the number of steps aside."""
    return [line for line in settings_of(toml) if not line.startswith(b"steps = ")]


def take_over(run, shorter):
    """Put the snapshots and the last state of a finished run into the folder of a longer one."""
    lock_folder(shorter.folder)
    shorter.files.check_data(run.data)
    run.files.start(run.data)
    for step in shorter.steps:
        content = read_file(shorter.files.snapshot_path(step))
        write_atomically(run.files.snapshot_path(step), content, durable=False)
    run.files.save(shorter.files.load_state())
    run.files.save_state()
    run.files.forget()
    print(f"{plain(Path(shorter.folder))} goes on in {plain(run.folder)}", file=sys.stderr)
