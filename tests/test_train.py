import time

import numpy as np
import pytest
from conftest import TINY, run_cli, run_name, train_run

from scratchformer.engine.model import backward, forward
from scratchformer.engine.passes import backward_pass
from scratchformer.engine.warm import compile_engine
from scratchformer.run.config import load_config
from scratchformer.run.data import allowed_next
from scratchformer.run.judge import Judge, count_wrong
from scratchformer.run.train import learning_rates, prepare, train
from scratchformer.system.errors import Diverged


def snapshots(run):
    return {path.name: path.read_bytes() for path in sorted(run.files.checkpoints.glob("step_*.npy"))}


def test_snapshots_and_history(tiny_run):
    assert tiny_run.steps == [0, 5, 10, 15, 20]
    assert tiny_run.history["step"].tolist() == [0, 10, 20]
    assert tiny_run.history["train_loss"][-1] < tiny_run.history["train_loss"][0]


def test_same_seed_same_bytes(tiny_run, tmp_path):
    assert snapshots(train_run(tmp_path / "again")) == snapshots(tiny_run)
    assert snapshots(train_run(tmp_path / "other", "training.seed=3")) != snapshots(tiny_run)


def test_plain_python_trains_to_the_same_bits(tiny_run, tmp_path):
    settings = [part for override in TINY for part in ("--set", override)]
    done = run_cli("plus_last_even", *settings, "--figure", "2", "--debug", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / run_name(*TINY) / "checkpoints"
    plain = {path.name: path.read_bytes() for path in sorted(folder.glob("step_*.npy"))}
    assert plain == snapshots(tiny_run)


def test_plain_python_in_float32_agrees_to_rounding(tmp_path):
    """Not to the bit: see jit.py. Each parameter, after 20 steps, to some units in the last place of 1."""
    settings = (*TINY, "training.dtype=float32")
    compiled = train_run(tmp_path / "compiled", "training.dtype=float32")
    words = [part for override in settings for part in ("--set", override)]
    done = run_cli("plus_last_even", *words, "--figure", "2", "--debug", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    plain = np.load(tmp_path / run_name(*settings) / "checkpoints" / "step_000020.npy")
    theta = np.load(compiled.files.snapshot_path(20))
    assert plain.dtype == theta.dtype == np.float32
    assert np.abs(plain - theta).max() < 50 * np.finfo(np.float32).eps


@pytest.mark.parametrize("stop_at", [5, 10, 15])
def test_resume_ends_with_the_same_bits(tiny_run, tmp_path, stop_at):
    run = train_run(tmp_path / "run", stop_at=stop_at)
    assert run.files.load_state().step == stop_at
    data, judge, _ = prepare(run.config)
    for _ in train(run.config, data, judge, run.files.load_state(), run.files.save):
        pass
    assert snapshots(run) == snapshots(tiny_run)
    ended, whole = ((one.files.checkpoints / "state.npz").read_bytes() for one in (run, tiny_run))
    assert ended == whole


def test_a_fixed_run_has_a_fixed_loss_curve(tiny_run):
    """Guards the maths as a whole: a change here is a change of the model, its data or its training."""
    curve = [2.7133950650418326, 2.6726589911593517, 2.6366727947939217]
    np.testing.assert_allclose(tiny_run.history["train_loss"], curve, rtol=1e-9)


def test_divergence_names_the_step_and_keeps_the_last_good_snapshot(tmp_path):
    with pytest.raises(Diverged, match=r"between steps \d+ and \d+: not finite any more: \w+"):
        train_run(tmp_path / "run", "training.learning_rate=1e200", "training.schedule='constant'")
    run = tmp_path / "run" / "checkpoints"
    assert all(np.isfinite(np.load(path)).all() for path in run.glob("step_*.npy"))


def test_learning_rates():
    settings = load_config("plus_last_even").training
    assert set(learning_rates(settings)) == {0.001}
    settings = load_config("plus_last_even_robust").training
    rates = learning_rates(settings)
    assert len(rates) == settings.steps and rates.argmax() + 1 == settings.warmup_steps
    assert rates.max() == settings.learning_rate and abs(rates[-1]) < 1e-12
    assert (np.diff(rates[: settings.warmup_steps]) > 0).all()
    assert (np.diff(rates[settings.warmup_steps :]) < 0).all()


def test_rule_error_counts_constrained_positions_only():
    logits = np.zeros((1, 3, 4))
    logits[0, :, 2] = 1                                 # the likeliest token is 2 everywhere
    allowed = np.zeros((1, 3, 4), bool)
    assert count_wrong(logits, allowed) == (0, 0)
    allowed[0, 0, 2] = allowed[0, 1, 3] = True
    assert count_wrong(logits, allowed) == (1, 2)


def test_measures_are_those_of_the_definitions(tiny_run):
    judge, params = tiny_run.judge, tiny_run.at(20).params
    windows = judge.held_out_windows
    allowed = allowed_next(tiny_run.rule, tiny_run.data.vocabulary, windows[:, :-1])
    logits = forward(params, windows[:, :-1]).logits
    wrong = constrained = 0
    for n, t in np.ndindex(windows.shape[0], windows.shape[1] - 1):
        if allowed[n, t].any():
            constrained += 1
            wrong += not allowed[n, t, logits[n, t].argmax()]
    assert judge.measure(params)[2] == wrong / constrained == tiny_run.history["rule_error"][-1]


def test_generation_samples_from_the_model(tiny_run):
    judge, params = tiny_run.judge, tiny_run.at(20).params
    noise = np.random.default_rng(0).random((3, 12))
    sequences = judge.generate(params, noise)
    assert sequences.shape == (3, 12)
    for row, noise_row in zip(sequences, noise, strict=True):
        for t in range(1, 12):
            probs = forward(params, [row[max(0, t - 8) : t]]).probs[0, -1]
            assert row[t] == min(int(np.searchsorted(probs.cumsum(), noise_row[t], side="right")), 11)


def test_the_judge_is_drawn_from_the_seed():
    config = load_config("plus_last_even", TINY)
    first, second = prepare(config)[1], prepare(config)[1]
    assert isinstance(first, Judge)
    np.testing.assert_array_equal(first.noise, second.noise)
    np.testing.assert_array_equal(first.held_out_windows, second.held_out_windows)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(16))
def test_robust_recipe_learns_on_every_seed(tmp_path, seed):
    from scratchformer.run.run import Run

    run = Run(tmp_path / "run", load_config("plus_last_even_robust", [f"training.seed={seed}"]))
    run.files.start(run.data)
    for _ in train(run.config, *run.prepared, run.files.save):
        pass
    wrong, constrained, _ = run.at(run.steps[-1]).count_wrong()
    assert wrong / constrained < 0.01


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_the_child_compiles_is_what_training_calls(tiny_run, dtype):
    compile_engine(dtype)
    signatures = len(backward_pass.signatures)
    theta = tiny_run.at(20).params
    params = type(theta)(*(array.astype(dtype) for array in theta))
    backward(params, forward(params, [[1, 2, 3]], [[2, 3, 4]]))
    assert len(backward_pass.signatures) == signatures


def test_where_a_stretch_ends_changes_no_bit(tmp_path, monkeypatch):
    """Stretches of one step, of a few, and as long as they may be: the same draws, so the same snapshots."""
    found = []
    for number, seconds in enumerate((1e-9, 1e-4, 100.0)):
        monkeypatch.setattr("scratchformer.run.train.LONGEST", seconds)
        settings = ("training.steps=200", "training.checkpoint_every=100", "training.eval_every=100")
        found.append(snapshots(train_run(tmp_path / str(number), *settings)))
    assert found[0] == found[1] == found[2] and len(found[0]) == 3


def test_a_long_training_shows_its_progress(tmp_path):
    """Without checkpoints and evaluations in between, it still comes back now and then."""
    config = load_config("plus_last_even", [
        *TINY, "training.steps=100000", "training.checkpoint_every=100000", "training.eval_every=100000",
    ])
    data, judge, state = prepare(config)
    start, states = time.perf_counter(), []
    for state in train(config, data, judge, state, lambda state: None):
        states.append(state.step)
        if len(states) == 12:
            break
    assert states[0] == 50 and states[-1] < 100_000 and time.perf_counter() - start < 30
