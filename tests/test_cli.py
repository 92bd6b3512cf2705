import os
import re
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import REPO, TINY, run_cli, run_name, train_run

from scratchformer.run.config import config_names

NAME = run_name(*TINY)
SETTINGS = [part for override in TINY for part in ("--set", override)]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """An output folder in which `plus_last_even` was run once, in small."""
    folder = tmp_path_factory.mktemp("out")
    done = run_cli("plus_last_even", *SETTINGS, "--out", folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""                            # no progress where there is no terminal
    (folder / "stdout").write_text(done.stdout)
    return folder


def test_the_main_job(out):
    plots = sorted(path.name for path in (out / NAME / "plots").iterdir())
    assert {
        "01_architecture_overview.png", "02_learning_curve.png", "03_training_data.png",
        "04_generated_sequences.png", "05_token_embeddings.png", "06_embedding_scatter.png",
    } <= set(plots)
    text = (out / "stdout").read_text()
    last = text.splitlines()
    assert "rule NOT learned: held-out rule error" in text
    assert re.search(r"\((\d+) of (\d+) constrained positions wrong\)", text)
    assert last[-1] == "a recipe that learns it: python run.py plus_last_even_robust"
    assert "rule error: of the positions in held-out windows where the rule says what comes next" in text
    assert "generated rule error: of the tokens that the model wrote itself" in text


def test_a_finished_run_is_reused(out):
    before = {p: p.stat().st_mtime_ns for p in (out / NAME / "checkpoints").iterdir()}
    done = run_cli("plus_last_even", *SETTINGS, "--figure", "2", "--out", out)
    assert "already done, 20 of 20 steps" in done.stdout
    assert before == {p: p.stat().st_mtime_ns for p in (out / NAME / "checkpoints").iterdir()}
    done = run_cli("plus_last_even", *SETTINGS, "--figure", "2", "--out", out, "--retrain")
    assert "20 steps in" in done.stdout


def test_one_step_into_a_folder_of_its_own(out):
    command = ["plus_last_even", *SETTINGS, "--visualize", "--step", "5"]
    done = run_cli(*command, "--figure", "5", "6", "--out", out)
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in (out / NAME / "plots" / "step_000005").iterdir())
    assert names == ["05_token_embeddings.png", "06_embedding_scatter.png"]


@pytest.mark.slow
def test_same_run_same_picture_bytes(out, tmp_path):
    done = run_cli("plus_last_even", *SETTINGS, "--out", tmp_path)
    assert done.returncode == 0
    for path in (out / NAME / "plots").glob("*.png"):
        again = tmp_path / NAME / "plots" / path.name
        assert path.read_bytes() == again.read_bytes(), path.name


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "name a config"),
        (["plus_last_evn"], "did you mean 'plus_last_even'"),
        (["plus_last_even", "--set", "training.lr=1"], "training.lr: unknown key"),
        (["plus_last_even", "--seed", "-1"], "training.seed = -1: must be at least 0"),
        (["plus_last_even", "--seed", "x"], "invalid int value"),
        (["plus_last_even", "--step", "50"], "--step 50: snapshots exist every 100 steps, 0 to 20000"),
        (["plus_last_even", "--step", "-100"], "--step -100: snapshots exist"),
        (["plus_last_even", "--figure", "99"], "--figure 99: no such figure; there are 1, 2"),
        (["plus_last_even", "--figure", "two"], "--figure two: no such figure; there are 1, 2"),
        (["plus_last_even", "--visualize"], "no run in"),
        (["plus_last_even", "--resume"], "no run of these settings"),
        (["plus_last_even", "--resume", "--retrain"], "exclude each other"),
        (["plus_last_even", "--dpi", "5"], "must be from 10 to 1000"),
        (["plus_last_even", "--visualise"], "unrecognized arguments"),
        (["/nowhere/at_all.toml"], "cannot be read"),
    ],
)
def test_mistakes_are_told_in_a_line_and_write_nothing(args, message, tmp_path):
    done = run_cli(*args, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_asking_a_saved_run_for_what_it_has_not(out):
    done = run_cli("plus_last_even", *SETTINGS, "--visualize", "--step", "7", "--out", out)
    assert done.returncode == 2 and "snapshots exist every 5 steps, 0 to 20" in done.stderr
    done = run_cli("plus_last_even", "--visualize", "--seed", "9", "--out", out)
    assert done.returncode == 2 and f"no run in {out / 'plus_last_even'}" in done.stderr
    assert f"beside it there are {NAME}" in done.stderr


def test_an_output_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    done = run_cli("plus_last_even", *SETTINGS, "--out", tmp_path / "file")
    assert done.returncode == 2 and "cannot write" in done.stderr and "Traceback" not in done.stderr


def test_divergence(tmp_path):
    done = run_cli("plus_last_even", *SETTINGS, "--set", "training.learning_rate=1e200", "--out", tmp_path)
    assert done.returncode == 1
    assert "diverged between steps" in done.stderr and "Traceback" not in done.stderr


def test_list_names_every_config():
    done = run_cli("--list")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == config_names()


def test_gradcheck():
    settings = ["--set", "model.ffn_mult=2", "--set", "model.block_size=3"]
    done = run_cli("plus_last_even", "--gradcheck", *settings)
    assert done.returncode == 0, done.stdout
    assert "all gradients right" in done.stdout and "W_unembed" in done.stdout


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_and_resumed_ends_with_the_same_bits(kill, tmp_path):
    settings = ["training.steps=12000", "training.checkpoint_every=400", "training.eval_every=4000"]
    whole = train_run(tmp_path / "whole" / "plus_last_even", *settings)
    command = ["plus_last_even", *SETTINGS, *(p for s in settings for p in ("--set", s)), "--figure", "2"]
    process = subprocess.Popen(
        [sys.executable, REPO / "run.py", *command, "--out", tmp_path],
        cwd=REPO, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )
    checkpoints = tmp_path / run_name(*TINY, *settings) / "checkpoints"
    while len(list(checkpoints.glob("step_*.npy"))) < 4 and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(kill)
    stderr = process.communicate()[1]
    assert process.returncode == (130 if kill == signal.SIGINT else -signal.SIGKILL), stderr
    assert "Traceback" not in stderr
    assert len(list(checkpoints.glob("step_*.npy"))) < len(whole.steps)
    done = run_cli(*command, "--resume", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    for step in whole.steps:
        name = whole.files.snapshot_path(step).name
        assert (checkpoints / name).read_bytes() == whole.files.snapshot_path(step).read_bytes()
    assert not list(checkpoints.glob(".*.tmp"))


def test_ctrl_c_while_drawing(out):
    plots = out / NAME / "plots" / "step_000010"
    process = subprocess.Popen(
        [sys.executable, REPO / "run.py", "plus_last_even", *SETTINGS, "--visualize", "--step", "10", "--out",
         out],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )
    while not plots.exists() and process.poll() is None:
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGINT)               # as a terminal does: to the workers as well
    stderr = process.communicate()[1]
    assert process.returncode == 130 and "Traceback" not in stderr, stderr
    assert not [path for path in plots.iterdir() if path.suffix == ".tmp"]


def test_the_debugger_recipe_of_the_readme(tmp_path):
    readme = (REPO / "README.md").read_text()
    command, line = re.search(r"^ *(python -m pdb -c \"tbreak \S+:(\d+)\" run.py .*)$", readme, re.M).groups()
    source = (REPO / "scratchformer" / "engine" / "passes.py").read_text().splitlines()
    assert source[int(line) - 1].startswith("    loss_backward(")
    (later,) = re.findall(r"`until (\d+)`", readme)
    assert source[int(later) - 2].startswith("    attention_backward(")
    done = subprocess.run(
        [sys.executable, *shlex.split(command)[1:], "--out", str(tmp_path)], cwd=REPO, text=True, timeout=120,
        input=f"continue\np c.scores.shape, c.attention[0, 0].sum()\nuntil {later}\np d.scores.sum()\nquit\n",
        capture_output=True,
    )
    assert "backward_pass()" in done.stdout
    shape, total = re.search(r"\(\((\d+, 1, 8, 8)\), .*?([\d.]+)\)?\)", done.stdout).groups()
    assert shape == "8, 1, 8, 8" and np.isclose(float(total), 8)        # a batch of the training: 8 windows
    assert re.search(r"^\(Pdb\) .*-?\d\.\d+e-\d+", done.stdout, re.M)      # rows of d.scores sum to 0


def test_progress_on_a_terminal_only():
    from scratchformer.system.progress import Progress

    assert not Progress().on


def test_a_reader_who_leaves_early():
    command = [sys.executable, REPO / "run.py", "--list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
