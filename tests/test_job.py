"""What commands share: training a run once and again, and what is said of it."""

import numpy as np
import pytest
from conftest import SHORT, run_cli, run_name
from conftest import train_run as trained_run

from scratchformer.engine import digest
from scratchformer.run import job
from scratchformer.run.config import load_config
from scratchformer.run.job import train_run
from scratchformer.run.run import Run
from scratchformer.system.errors import RunError


def test_training_a_run_again_gives_the_same(tmp_path):
    run = Run(tmp_path / "run", load_config("plus_last_even", SHORT))
    assert train_run(run) > 0
    first, history = run.at(4).params, run.history
    held_out = run.at(4).count_wrong()
    assert train_run(run) is None
    assert train_run(run, retrain=True) > 0
    for one, other in zip(first, run.at(4).params, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(history["train_loss"], run.history["train_loss"])
    assert run.at(4).count_wrong() == held_out


def test_the_loss_is_that_of_the_step(tmp_path):
    settings = [f"--set={entry}" for entry in (*SHORT, "training.eval_every=4")]
    done = run_cli("plus_last_even", *settings, "--step", "2", "--figure", "3", "--out", tmp_path)
    run = Run.open(tmp_path / run_name(*SHORT, "training.eval_every=4"))
    windows = run.judge.train_windows
    loss = float(run.at(2).forward(windows[:, :-1], windows[:, 1:]).loss)
    assert f"loss at step 2: {loss:.4f} train (sample)" in done.stdout
    assert loss not in run.history["train_loss"]


def test_no_verdict_where_the_rule_says_nothing(tmp_path):
    settings = [f"--set={entry}" for entry in (*SHORT, "training.warmup_steps=0", "model.block_size=3")]
    done = run_cli("recall_three_back", *settings, "--figure", "3", "--out", tmp_path)
    assert done.returncode == 0 and "no verdict: the rule constrains no position" in done.stdout, done.stderr
    done = run_cli("recall_three_back", *settings, "--seeds", "2", "--out", tmp_path, "--dpi", "30")
    assert done.returncode == 0 and "0 of 2 seeds learned the rule" in done.stdout, done.stderr


def test_weights_of_another_engine_are_told(tmp_path, capsys):
    run = trained_run(tmp_path / "plus_last_even")
    assert job.train_run(run) is None and capsys.readouterr().err == ""
    (run.folder / "engine.txt").write_text("0123456789abcdef")
    assert job.train_run(run) is None
    assert "the engine has changed since" in capsys.readouterr().err
    half = trained_run(tmp_path / "half", stop_at=10)
    (half.folder / "engine.txt").write_text("0123456789abcdef")
    with pytest.raises(RunError, match="the engine has changed"):
        job.train_run(half)
    assert job.train_run(run, retrain=True) > 0
    assert job.train_run(run) is None and capsys.readouterr().err == ""


def test_the_digest_is_that_of_the_maths_alone(monkeypatch):
    before = digest.engine_digest()
    source = digest.inspect.getsource
    monkeypatch.setattr(digest.inspect, "getsource", lambda module: "# a comment\n" + source(module))
    assert digest.engine_digest() == before
    edited = {"ffn_pre[b, t, f], 0": "ffn_pre[b, t, f], 1"}
    for old, new in edited.items():
        monkeypatch.setattr(digest.inspect, "getsource", lambda module: source(module).replace(old, new))
    assert digest.engine_digest() != before
