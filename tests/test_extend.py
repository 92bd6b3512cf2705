"""A finished run goes on: the same bits as a longer one has, and nothing of it is touched."""

import numpy as np
import pytest
from conftest import run_cli

from scratchformer.run.config import load_config
from scratchformer.run.extend import find_shorter
from scratchformer.run.job import train_run
from scratchformer.run.place import find_place
from scratchformer.run.run import Run
from scratchformer.system.errors import RunError

SHORT = (
    "training.checkpoint_every=10", "training.eval_every=20", "data.num_sequences=40",
    "training.eval_windows=50", "training.warmup_steps=5",
)


def trained(out, steps, *more, resume=False):
    """The run of so many steps below a folder, trained."""
    run = find_place(load_config("plus_last_even", (*SHORT, f"training.steps={steps}", *more)), out)
    train_run(run, resume)
    return run


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_prefix_has_the_bits_of_the_longer_run(tmp_path, capsys):
    shorter = trained(tmp_path / "a", 50)
    before = contents(shorter.folder)
    longer = trained(tmp_path / "a", 120, resume=True)
    assert f"{shorter.folder} goes on in {longer.folder}" in capsys.readouterr().err
    assert contents(shorter.folder) == before
    whole = trained(tmp_path / "b", 120)
    assert longer.steps == whole.steps
    for step in whole.steps:
        np.testing.assert_array_equal(
            longer.files.snapshot_path(step).read_bytes(), whole.files.snapshot_path(step).read_bytes())
    ours = dict(zip(longer.history["step"], longer.history["held_out_loss"], strict=True))
    for step, loss in zip(whole.history["step"], whole.history["held_out_loss"], strict=True):
        assert ours[step] == loss
    state, expected = longer.files.load_state(), whole.files.load_state()
    assert state.rng.bit_generator.state == expected.rng.bit_generator.state
    for name in ("theta", "m", "v"):
        np.testing.assert_array_equal(getattr(state, name), getattr(expected, name))


def test_the_longest_of_the_same_settings_goes_on(tmp_path):
    trained(tmp_path, 20), trained(tmp_path, 40), trained(tmp_path, 60, "training.batch_size=3")
    run = find_place(load_config("plus_last_even", (*SHORT, "training.steps=100")), tmp_path)
    assert find_shorter(run).config.training.steps == 40
    run = find_place(load_config("plus_last_even", (*SHORT, "training.steps=30")), tmp_path)
    assert find_shorter(run).config.training.steps == 20
    run = find_place(load_config("plus_last_even", (*SHORT, "training.steps=20")), tmp_path)
    assert find_shorter(run) is None


def test_a_schedule_that_knows_the_end_is_refused(tmp_path):
    trained(tmp_path, 20, "training.schedule='cosine'")
    with pytest.raises(RunError, match="'cosine' the learning rate of every step depends on training.steps"):
        trained(tmp_path, 40, "training.schedule='cosine'", resume=True)
    assert len(list(tmp_path.iterdir())) == 1


def test_an_unfinished_one_does_not_go_on(tmp_path):
    run = trained(tmp_path, 20)
    run.files.snapshot_path(20).unlink()
    other = find_place(load_config("plus_last_even", (*SHORT, "training.steps=40")), tmp_path)
    assert find_shorter(other) is None


def test_through_the_command_line(tmp_path):
    words = [word for setting in SHORT for word in ("--set", setting)]
    refused = run_cli("plus_last_even", *words, "--set", "training.steps=40", "--resume", "--out", tmp_path)
    assert refused.returncode == 2 and "no run of these settings" in refused.stderr
    for steps, more in ((20, []), (40, ["--resume"])):
        done = run_cli("plus_last_even", *words, "--set", f"training.steps={steps}", *more, "--figure", "2",
                       "--out", tmp_path)
        assert done.returncode == 0, done.stderr
    assert "goes on in" in done.stderr and "from step 20" in done.stderr
    assert sorted(Run.open(folder).steps[-1] for folder in tmp_path.iterdir()) == [20, 40]
