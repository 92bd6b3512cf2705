"""--explain, --prove, --ablate and --causal as a user calls them, on a run that is trained on the way."""

import os

import pytest
from conftest import SHORT, run_cli, run_name

from scratchformer.engine.names import ACTIVATION_NAMES
from scratchformer.run.run import Run
from scratchformer.tools.explain.explain import explain
from scratchformer.tools.prove.prove import prove
from scratchformer.tools.prove.verdict import prove_report

NAME = run_name(*SHORT, "model.block_size=4")
SMALL = [f"--set={entry}" for entry in (*SHORT, "model.block_size=4")]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tools")
    done = run_cli("plus_last_even", *SMALL, "--out", folder, "--explain", "5 8 +")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    run = Run.open(folder / NAME)
    assert done.stdout == explain(run.at(4), "5 8 +") + "\n"
    assert all(name in done.stdout for name in ACTIVATION_NAMES[:-1])
    return folder


def test_one_entry_and_its_gradient_at_a_step(out):
    done = run_cli(
        "plus_last_even", *SMALL, "--out", out, "--explain", "5 8 +", "--name", "scores", "--at", "2,1",
        "--target", "8", "--step", "2",
    )
    run = Run.open(out / NAME)
    assert done.stdout == explain(run.at(2), "5 8 +", "scores", "2,1", "8") + "\n"


def test_no_color_in_a_pipe_and_no_line_wider_than_the_terminal(out):
    done = run_cli(
        "plus_last_even", *SMALL, "--out", out, "--explain", "5 8 +",
        env={**os.environ, "COLUMNS": "70"},
    )
    assert "\x1b" not in done.stdout and max(map(len, done.stdout.splitlines())) <= 70


def test_proof(out):
    done = run_cli("plus_last_even", *SMALL, "--out", out, "--prove")
    run = Run.open(out / NAME)
    proof = prove(run.at(4))
    assert done.returncode == proof.exit_code == 1
    assert done.stdout.startswith(prove_report(proof).split("\n")[0])
    (path,) = run.folder.glob("failures_step_*.tsv")
    assert path.name == "failures_step_000004.tsv" and str(path) in done.stdout


def test_a_proof_whose_time_is_up_gives_the_bounds_so_far(tmp_path):
    small = [f"--set={entry}" for entry in SHORT]
    done = run_cli("plus_last_even", *small, "--out", tmp_path, "--prove", "--prove-limit", "1e-9")
    assert done.returncode == 1 and done.stderr == ""
    assert "    wrong are at least 0\n    and at most       26,125,974\n" in done.stdout
    assert "NOT proved: 26,125,974 of 26,125,974 producible contexts are left open" in done.stdout


def test_ablation_and_causal_figures(out):
    done = run_cli("plus_last_even", *SMALL, "--out", out, "--ablate", "attention[+ -> odd]", "--ablate", "v")
    assert done.returncode == 0 and "rule error" in done.stdout, done.stderr
    done = run_cli("plus_last_even", *SMALL, "--out", out, "--causal", "--dpi", "40")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert len(list((out / NAME / "plots" / "causal").glob("0?_*.png"))) == 5


@pytest.mark.parametrize("arguments, message", [
    (["--explain", "5 x"], "--explain: 'x' is not a token; the tokens are 0 1 2"),
    (["--explain", ""], "has 0 tokens"),
    (["--explain", "1 2", "--name", "scorse"], "did you mean 'scores'?"),
    (["--explain", "1 2", "--name", "scores", "--at", "3,1"], "allowed are"),
    (["--explain", "1 2", "--at", "3,1"], "--at needs --name"),
    (["--name", "scores"], "--name does not go with train, only with explain"),
    (["--explain", "1 2", "--pdb"], "give its --name"),
    (["--ablate", "attenton"], "did you mean 'attention'?"),
    (["--ablate", "attention[+ -> ]"], "intervention"),
    (["--explain", "1 2", "--prove"], "one at a time"),
    (["--explain", "1 2", "--name", "W_q", "--pdb"], "--name W_q: no such array"),
    (["--causal", "--figure", "3"], "--figure does not go with causal, only with train, compare, video"),
    (["--prove", "--prove-limit", "0"], "--prove-limit 0: must be above 0"),
])
def test_mistakes_are_told_before_anything_is_written(tmp_path, arguments, message):
    done = run_cli("plus_last_even", *arguments, "--out", tmp_path)
    assert done.returncode == 2 and message in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not list(tmp_path.iterdir())
