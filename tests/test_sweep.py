import csv
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import matplotlib
import numpy as np
import pytest
from conftest import ODD, REPO, SHORT, TINY, check_texts, make_params, run_cli, run_name
from matplotlib.figure import Figure

from scratchformer.analysis.clusters import (
    Solutions, align_planes, find_groups, interchangeable, plane_distance, whiten,
)
from scratchformer.engine.model import forward
from scratchformer.engine.warm import compile_engine
from scratchformer.figures.seeds import atlas, curves, grid
from scratchformer.figures.seeds.draw import draw_compare, draw_seeds
from scratchformer.figures.style import RC
from scratchformer.run.config import ModelConfig, load_config
from scratchformer.run.own_rule import find_rule
from scratchformer.run.run import Run
from scratchformer.run.train import HISTORY_COLUMNS, prepare
from scratchformer.system.errors import RunError
from scratchformer.tools.seeds import sweep as sweep_module
from scratchformer.tools.seeds.grid import Cell
from scratchformer.tools.seeds.report import COLUMNS, comparison, sweep_report
from scratchformer.tools.seeds.sweep import Result, Sweep, load_result, sweep, train_seed

CLASSES = [np.array([0, 2, 4, 6, 8, 10]), np.array([1, 3, 5, 7, 9]), np.array([11])]


@pytest.fixture
def config():
    return load_config("plus_last_even", TINY)


def made(seed, errors, wrong=0, note=""):
    """A Result with those rule errors at steps 0, 10, 20, ..."""
    history = np.zeros((len(errors), len(HISTORY_COLUMNS)))
    history[:, 0], history[:, 3] = 10 * np.arange(len(errors)), errors
    return Result(seed, np.zeros(4), history, wrong, 100, 1.5, 2.0, note)


def no_training(config, seed):
    raise AssertionError(f"seed {seed} is trained again")


def fails_on_two(config, seed):
    if seed == 2:
        raise MemoryError("no room\nfor seed 2")
    return train_seed(config, seed)


def dies_on_two(config, seed):
    if seed == 2:
        os._exit(3)
    return train_seed(config, seed)


def table(folder):
    """The rows of seeds.csv by seed."""
    with open(folder / "seeds.csv", newline="") as file:
        return {int(row["seed"]): row for row in csv.DictReader(file)}


def test_a_seed_comes_to_the_same_as_a_run_of_it(config, tmp_path):
    (result,) = sweep(config, [3], tmp_path / "seeds").results
    settings = [part for entry in TINY for part in ("--set", entry)]
    done = run_cli("plus_last_even", *settings, "--seed", 3, "--figure", 2, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    run = Run.open(tmp_path / run_name(*TINY, "training.seed=3"))
    np.testing.assert_array_equal(result.theta, np.load(run.files.snapshot_path(20)))
    np.testing.assert_array_equal(result.history, np.array(run.files.load_state().history))
    assert (result.wrong, result.constrained) == run.last.count_wrong()
    assert result.loss == run.last.held_out.loss


def test_table_and_resume(config, tmp_path, monkeypatch):
    seen = []
    first = sweep(config, [5, 0], tmp_path, progress=seen.append)
    assert [result.seed for result in first.results] == [5, 0] and len(seen) == 2
    rows = table(tmp_path)
    assert list(rows) == [5, 0] and tuple(rows[5]) == COLUMNS
    assert rows[5]["learned"] == "no" and float(rows[5]["rule_error"]) > 0.01 and rows[5]["note"] == ""
    assert int(rows[5]["wrong"]) <= int(rows[5]["constrained"])

    monkeypatch.setattr(sweep_module, "train_seed", no_training)
    again = sweep(config, [0, 5], tmp_path)
    for old, new in zip(first.results[::-1], again.results, strict=True):
        for a, b in zip(old, new, strict=True):
            np.testing.assert_array_equal(a, b)
    assert list(table(tmp_path)) == [0, 5]


def test_other_settings_and_damaged_files_are_trained_anew(config, tmp_path):
    (before,) = sweep(config, [1], tmp_path).results
    other = dataclasses.replace(config, training=dataclasses.replace(config.training, learning_rate=0.1))
    assert load_result(tmp_path, other, 1) is None
    (after,) = sweep(other, [1], tmp_path).results
    assert not np.array_equal(before.theta, after.theta)
    path = tmp_path / "results" / "seed_000001.npz"
    for content in (b"", b"nonsense", path.read_bytes()[:-100]):
        path.write_bytes(content)
        (again,) = sweep(other, [1], tmp_path).results
        np.testing.assert_array_equal(again.theta, after.theta)


@pytest.mark.parametrize("seeds", [[], [1, 1], [-1], [2**63], [0.5]])
def test_seeds_that_cannot_be(config, tmp_path, seeds):
    with pytest.raises(RunError, match="seed"):
        sweep(config, seeds, tmp_path)


def test_a_seed_that_fails_does_not_end_the_others(config, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_module, "train_seed", fails_on_two)
    done = sweep(config, [1, 2, 3], tmp_path)
    assert [bool(result.note) for result in done.results] == [False, True, False]
    assert table(tmp_path)[2]["note"] == "MemoryError: no room for seed 2"
    assert "seed 2: not learned: MemoryError" in sweep_report(done) and sweep_report(done).endswith(
        "0 of 3 seeds learned the rule"
    )
    monkeypatch.undo()
    assert not sweep(config, [1, 2, 3], tmp_path).results[1].note


def test_a_worker_that_dies_leaves_rows_not_a_traceback(config, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_module, "train_seed", dies_on_two)
    done = sweep(config, [2, 3, 4], tmp_path)
    assert [bool(result.note) for result in done.results] == [True, False, False]
    assert "WorkerLost: a process was killed" in table(tmp_path)[2]["note"]


def test_divergence_is_a_result(tmp_path, monkeypatch):
    config = load_config("plus_last_even", [*TINY, "training.learning_rate=1e200"])
    done = sweep(config, [0], tmp_path)
    assert table(tmp_path)[0]["note"].startswith("diverged between steps 0 and ")
    assert len(done.results[0].history) == 1 and not done.results[0].learned
    assert done.results[0].settled_step is None and np.isnan(done.results[0].rule_error)
    assert draw_seeds(done, dpi=30) == "no seed has embeddings to draw"
    monkeypatch.setattr(sweep_module, "train_seed", no_training)
    assert sweep(config, [0], tmp_path).results[0].note == done.results[0].note


def test_any_executor(config, tmp_path):
    with ThreadPoolExecutor(1) as executor:
        (result,) = sweep(config, [7], tmp_path, executor).results
        executor.submit(int)                                    # it is still open
    np.testing.assert_array_equal(result.theta, train_seed(config, 7).theta)


def test_a_rule_of_ones_own(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def after_three(history):\n    return {5} if history[-1] == 3 else None\n")
    settings = [*SHORT, "training.warmup_steps=0"]
    config = load_config(str(path), settings)
    assert load_result(tmp_path / "seeds", config, 0) is None
    done = sweep(config, [0, 1], tmp_path / "seeds")
    assert not any(result.note for result in done.results)
    assert draw_seeds(done, dpi=30).startswith("2 seeds fall into ")
    assert load_result(tmp_path / "seeds", config, 0)
    path.write_text(path.read_text().replace("5", "6"))
    assert load_result(tmp_path / "seeds", load_config(str(path), settings), 0) is None


def test_a_process_with_a_second_thread_is_not_forked(config, tmp_path):
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        results = sweep(config, [1, 2], tmp_path).results
    finally:
        end.set()
        thread.join()
    for result in results:
        np.testing.assert_array_equal(result.theta, train_seed(config, result.seed).theta)


def test_workers_on_a_dask_cluster(config, tmp_path):
    distributed = pytest.importorskip("distributed")
    compile_engine(config.training.dtype)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        done = sweep(config, [1, 2, 3], tmp_path, executor=client.get_executor())
        workers = {result["pid"] for result in client.run(lambda: {"pid": os.getpid()}).values()}
    assert len(workers) == 2 and os.getpid() not in workers
    for result in done.results:
        assert not result.note
        np.testing.assert_array_equal(result.theta, train_seed(config, result.seed).theta)
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == [
        f"seed_00000{seed}.npz" for seed in (1, 2, 3)
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9")
def test_a_worker_of_a_dask_cluster_that_is_killed(config, tmp_path, monkeypatch):
    """Nothing is lost, and no seed whose result is stored is trained again."""
    distributed = pytest.importorskip("distributed")
    compile_engine(config.training.dtype)
    written = []
    save = sweep_module.save_result
    monkeypatch.setattr(sweep_module, "save_result", lambda folder, config, result: (
        written.append(result.seed), save(folder, config, result)))
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        pids = [found["pid"] for found in client.run(lambda: {"pid": os.getpid()}).values()]
        told = []

        def progress(text):
            if not told:
                os.kill(pids[0], signal.SIGKILL)                # in the middle of what it was given
            told.append(text)

        done = sweep(config, range(12), tmp_path, client.get_executor(), progress)
        assert [result.seed for result in done.results] == list(range(12))
        assert not any(result.note for result in done.results) and sorted(written) == list(range(12))
        again = sweep(config, range(12), tmp_path, client.get_executor(), told.append)
    assert len(written) == len(told) == 12
    np.testing.assert_array_equal(again.results[5].theta, done.results[5].theta)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of a process group")
def test_interrupted_it_keeps_what_is_done_and_leaves_no_worker(tmp_path):
    script = tmp_path / "job.py"
    script.write_text(
        "from scratchformer.run.config import load_config\n"
        "from scratchformer.tools.seeds.sweep import sweep\n"
        "config = load_config('plus_last_even', ['training.steps=3000', 'data.num_sequences=100'])\n"
        f"sweep(config, range(500), {str(tmp_path)!r}, progress=lambda text: print(text, flush=True))\n"
    )
    job = subprocess.Popen(
        [sys.executable, script], env=os.environ | {"PYTHONPATH": str(REPO)}, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    for count in (1, 2, 3):
        assert f"of {count} seeds learned" in job.stdout.readline()
    os.killpg(job.pid, signal.SIGINT)
    start = time.monotonic()
    _, errors = job.communicate(timeout=60)
    assert time.monotonic() - start < 20
    assert job.returncode != 0 and errors.rstrip().endswith("KeyboardInterrupt")
    with pytest.raises(ProcessLookupError):
        os.killpg(job.pid, 0)
    stored = {int(path.stem[5:]) for path in (tmp_path / "results").glob("seed_*.npz")}
    assert 3 <= len(stored) < 500 and stored - {max(stored)} <= set(table(tmp_path)) <= stored


def test_settled_step_is_the_first_from_which_it_stays():
    assert made(0, [0.9, 0.01, 0.02, 0.01, 0.0]).settled_step == 30
    assert made(0, [0.0, 0.0]).settled_step == 0
    assert made(0, [0.0, 0.02]).settled_step is None
    assert made(0, [0.0, 0.0], note="diverged").settled_step is None
    assert made(0, [0], wrong=1).learned and not made(0, [0], wrong=2).learned


def test_report_and_comparison(config, tmp_path):
    one = Sweep(config, tmp_path, [made(0, [0.5, 0.0]), made(1, [0.5, 0.5], wrong=50)])
    other = Sweep(dataclasses.replace(config, name="other"), tmp_path, [made(0, [], note="diverged")])
    lines = sweep_report(one).splitlines()
    assert lines[1].split()[-2:] == ["25.00%", "50.00%"] and lines[3].split()[-2:] == ["10", "10"]
    assert lines[-1] == "1 of 2 seeds learned the rule" and "seed 1: not learned: rule error 50.0%" in lines
    rows = comparison(one, other).splitlines()
    assert rows[0].split() == ["plus_last_even", "other"]
    assert rows[1].split() == "learned 1 of 2 0 of 1".split()
    assert rows[2].split()[-2:] == ["25.00%", "–"]


# groups


@pytest.mark.parametrize("model", [ModelConfig(), ModelConfig(n_embd=3, num_heads=2)])
def test_a_model_cannot_tell_an_affine_map_of_its_stream(model):
    rng = np.random.default_rng(0)
    params = make_params(model, 5, rng)
    M, shift = rng.normal(size=(model.n_embd,) * 2), rng.normal(size=model.n_embd)
    inverse = np.linalg.inv(M)
    moved = {name: getattr(params, name) @ M for name in ("W_token", "W_pos", "W_out", "b_out")}
    moved |= {name: np.tensordot(inverse, getattr(params, name), 1)
              for name in ("W_q", "W_k", "W_v", "W_in", "W_unembed")}
    if params.W_o.size:
        moved["W_o"] = params.W_o @ M
    else:
        moved["W_v"] = moved["W_v"] @ M
    moved["W_token"], moved["W_pos"] = moved["W_token"] + shift, moved["W_pos"] - shift
    tokens = rng.integers(0, 5, (4, model.block_size))
    np.testing.assert_allclose(
        forward(params._replace(**moved), tokens).logits, forward(params, tokens).logits, atol=1e-9
    )


def test_distance_is_what_the_best_affine_map_leaves():
    rng = np.random.default_rng(1)
    one, other = whiten(rng.normal(size=(9, 2))), whiten(rng.normal(size=(9, 2)))
    for a, b in ((one, other), (other, one)):
        residuals = np.linalg.lstsq(np.column_stack([a, np.ones(9)]), b, rcond=None)[1]
        np.testing.assert_allclose(plane_distance(a, b), residuals.sum() / (b**2).sum())


@pytest.mark.parametrize("seed", range(4))
def test_planes_that_only_an_affine_map_and_trades_set_apart(seed):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(12, 2))
    places = np.arange(12)
    for ids in CLASSES:
        places[ids] = rng.permutation(ids)
    moved = points[places] @ rng.normal(size=(2, 2)) + 5
    apart, order, turn = align_planes(whiten(points), whiten(moved), CLASSES)
    assert apart < 1e-9
    np.testing.assert_array_equal(order, places)
    np.testing.assert_allclose(whiten(points)[order] @ turn, whiten(moved), atol=1e-6)
    alone = [np.array([i]) for i in range(12)]
    assert align_planes(whiten(points), whiten(moved), alone)[0] > 0.1


def test_groups_hold_what_is_alike():
    rng = np.random.default_rng(2)
    shapes = rng.normal(size=(2, 12, 2))
    kinds = [0, 1, 0, 0, 1, 0]
    embeddings = [
        (shapes[kind] + rng.normal(0, 0.01, (12, 2))) @ rng.normal(size=(2, 2)) for kind in kinds
    ]
    groups = find_groups(embeddings, CLASSES)
    assert [sorted(ids) for ids in groups.members] == [[0, 2, 3, 5], [1, 4]]
    example, *others = groups.members[0]
    assert all(groups.distances[example].sum() <= groups.distances[i].sum() + 0.01 for i in others)
    assert groups.distances[0, 1] > 0.05 > groups.distances[0, 2]


@pytest.mark.parametrize(
    ("rule", "classes"),
    [
        ("plus_last_even", [[0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9], [11]]),
        ("lucky7", [[0, 1, 2, 3, 4, 5, 6, 8, 9, 10], [7], [11]]),
        ("successor", [[i] for i in range(12)]),
        ("plus_max_of_two", [[i] for i in range(12)]),
    ],
)
def test_tokens_that_a_rule_treats_alike(rule, classes):
    config = load_config("plus_last_even", [f"data.rule={rule!r}"])
    data, _, _ = prepare(config)
    found = interchangeable(find_rule(config.data), data.vocabulary, data.held_out_windows[:, :-1])
    assert [ids.tolist() for ids in found] == classes


# pictures


def small_sweep(tmp_path, *overrides, seeds=3):
    config = load_config("plus_last_even", [*SHORT, *overrides])
    results = [train_seed(config, seed) for seed in range(seeds)]
    return Sweep(config, tmp_path, results)


@pytest.mark.parametrize("overrides", [(), *ODD], ids=" ".join)
def test_pictures_of_any_model(overrides, tmp_path):
    done = small_sweep(tmp_path, *overrides)
    assert draw_seeds(done, dpi=40).startswith("3 seeds fall into ")
    draw_compare(done, done, tmp_path, dpi=40)
    names = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(names) == {"seeds_learning_curves.png", "seeds_atlas.png", "seeds_compare.png"}
    assert min(names.values()) > 5000
    before = (tmp_path / "seeds_atlas.png").read_bytes()
    draw_seeds(done, dpi=40)
    assert (tmp_path / "seeds_atlas.png").read_bytes() == before


def test_one_seed_has_an_atlas_too(tmp_path):
    assert draw_seeds(small_sweep(tmp_path, seeds=1), dpi=40) == (
        "1 seed fall into 1 group at distance < 0.05: 1"
    )


def test_texts_keep_apart(tmp_path, monkeypatch):
    done = small_sweep(tmp_path, seeds=4)
    failed = Sweep(done.config, tmp_path, [*done.results, made(9, [0.9], note="diverged at once")])
    vocabulary = tuple(map(str, prepare(done.config)[0].vocabulary))
    groups = find_groups([result.params(done.config).W_token for result in done.results], CLASSES)
    shares = [{"even": 1.0, "odd": 1.0, "operator": 1.0}] * 4
    with matplotlib.rc_context(RC):
        for sweeps in ([failed], [failed, done]):
            fig = Figure(figsize=curves.SIZE)
            curves.draw(fig, sweeps)
            check_texts(fig, monkeypatch, at_least=30)
        fig = Figure(figsize=atlas.size(4, len(groups.members)))
        atlas.draw(fig, done, done.results, Solutions(groups, CLASSES, vocabulary, shares))
        check_texts(fig, monkeypatch, at_least=13)
        titles = [ax.get_title() for ax in fig.axes]
    assert sum("group" in text for text in titles) == len(groups.members)
    assert sum("✗" in text for text in titles) == 4


@pytest.mark.parametrize("arguments, message", [
    (["--seeds", "0"], "at least 1"), (["--seeds", "2", "--seed", "3"], "--seed does not go with seeds"),
    (["--compare", "plus_last_even"], "--compare does not go with train, only with seeds"),
    (["--seeds", "2", "--retrain", "--step", "7"], "--retrain does not go with seeds"),
])
def test_wrong_arguments(tmp_path, arguments, message):
    done = run_cli("plus_last_even", *arguments, "--out", tmp_path)
    assert done.returncode == 2 and message in done.stderr and not list(tmp_path.iterdir())


def test_the_study_through_the_command_line(tmp_path):
    short = [f"--set={entry}" for entry in SHORT]
    command = ["plus_last_even", "--seeds", 2, "--compare", "plus_last_even_robust", *short]
    done = run_cli(*command, "--out", tmp_path, "--set=training.warmup_steps=2", "--dpi", "40")
    assert done.returncode == 0, done.stderr
    assert "of 2 seeds learned the rule" in done.stdout
    folder = tmp_path / run_name(*SHORT, "training.warmup_steps=2") / "seeds"
    assert {"seeds.csv", "seeds_atlas.png", "seeds_learning_curves.png", "seeds_compare.png"} <= {
        path.name for path in folder.iterdir()
    }


def test_a_grid_of_settings(tmp_path):
    short = [f"--set={entry}" for entry in (*SHORT, "training.warmup_steps=0")]
    grid = ["--grid", "model.n_embd=2,3", "training.learning_rate=1e-3,3e-3"]
    command = ["plus_last_even", *short, "--out", tmp_path, "--dpi", "40"]
    done = run_cli(*command, "--seeds", "5-6", *grid)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "plus_last_even.grid-n_embd-learning_rate.csv"
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    cells = [(row["model.n_embd"], row["training.learning_rate"], row["seed"]) for row in rows]
    assert cells == [(n, rate, seed) for n in "23" for rate in ("1e-3", "3e-3") for seed in "56"]
    assert path.with_suffix(".png").is_file() and "n_embd=3 learning_rate=3e-3" in done.stdout
    name = run_name(*SHORT, "training.warmup_steps=0", "model.n_embd=3", "training.learning_rate=3e-3")
    config = load_config("plus_last_even", [*SHORT, "training.warmup_steps=0", "model.n_embd=3",
                                            "training.learning_rate=3e-3"])
    result = load_result(tmp_path / name / "seeds", config, 6)
    assert f"{result.rule_error:.6f}" == rows[-1]["rule_error"]
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("seed_*.npz")}
    assert run_cli(*command, "--seeds", "5-6", *grid).returncode == 0
    now = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("seed_*.npz")}
    assert before == now                                        # nothing was trained again


def test_the_figure_of_a_grid(config, tmp_path, monkeypatch):
    study = sweep(config, [0, 1], tmp_path)
    cells = [Cell((("model.n_embd", str(n)), ("training.steps", "20")), study) for n in range(12)]
    with matplotlib.rc_context(RC):
        fig = Figure(figsize=grid.size(12), dpi=100)
        grid.draw(fig, "plus_last_even", cells)
        check_texts(fig, monkeypatch, 12)
    dots = [tuple(point) for drawn in fig.axes[0].collections for point in drawn.get_offsets()]
    assert sorted(x for x, _ in dots) == sorted(12 * [max(e, grid.FLOOR) for e in cells[0].errors])
