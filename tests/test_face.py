"""The face for notebooks: what `import scratchformer as sf` gives, on a small run."""

import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPO, TINY

import scratchformer as sf
from scratchformer.engine.names import Cache, Params
from scratchformer.system.errors import ConfigError, RunError

SETTINGS = dict(entry.split("=") for entry in TINY)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("face")


@pytest.fixture(scope="module")
def run(out):
    return sf.train("plus_last_even", seed=3, settings=SETTINGS, out=out)


def test_a_run_is_trained_once_and_found_again(run, out):
    assert run.config.training.seed == 3 and run.steps[-1] == 20
    before = (run.folder / "checkpoints" / "state.npz").stat().st_mtime_ns
    again = sf.train("plus_last_even", seed=3, settings=SETTINGS, out=out)
    opened = sf.open_run(run.folder)
    assert (run.folder / "checkpoints" / "state.npz").stat().st_mtime_ns == before
    for one, other in zip(again.last.params, opened.at(20).params, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(RunError, match="no run in"):
        sf.open_run(out / "nowhere")


def test_a_call_gives_a_cache_and_its_gradients(run):
    model = run.last
    cache = model("5 8 3 +", target="8")
    assert isinstance(cache, Cache) and cache.attention.shape == (1, 1, 4, 4)
    assert cache.targets.tolist() == [[-1, -1, -1, 8]]
    np.testing.assert_array_equal(model([5, 8, 3, 11], 8).logits, cache.logits)
    assert model("5 8 3 +", "8 3 + 8").targets.tolist() == [[8, 3, 11, 8]]
    dparams, dcache = model.backward(cache)
    assert isinstance(dparams, Params) and dcache.scores.shape == cache.scores.shape
    with pytest.raises(ValueError, match="no targets"):
        model.backward(model("5 8 3 +"))
    with pytest.raises(ValueError, match="2 targets for 4 tokens"):
        model("5 8 3 +", "8 8")
    with pytest.raises(ValueError, match="'x' is not a token"):
        model("5 x")


def test_what_a_notebook_shows(run):
    model = run.last
    cache = model("5 8 3 +", target="8")
    assert repr(cache).startswith("name") and "scores" in repr(cache) and len(repr(cache).splitlines()) == 22
    assert cache._repr_html_().count("<tr>") == 22 and "<td>1x1x4x4</td>" in cache._repr_html_()
    text = model.explain("5 8 3 +", "scores", (3, 1), target="8")
    assert repr(text) == text and "scores[3,1]" in text and "in all" not in text
    checks = sf.gradcheck(model, "5 8 3 +", target="8")
    assert repr(checks).endswith("all gradients right") and len(checks) == 30
    assert "rule error" in repr(model.ablate("attention[+ -> even]", "v=mean"))
    assert model.prove().any.total.total() > 30_000_000


def test_a_figure_is_shown_and_saved(run, tmp_path):
    model = run.last
    picture = model.figure("13_qk_attention", sequence="4 9 + 4 10 7 +", dpi=40)
    assert picture._repr_png_().startswith(b"\x89PNG")
    texts = [text.get_text() for text in picture.figure.texts]
    assert "4 9 + 4 10 7 +" in texts
    assert "4 9 + 4 10 7 +" not in [text.get_text() for text in model.figure("13").figure.texts]
    picture.save(tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").read_text().startswith("<?xml")
    with pytest.raises(RunError, match="99"):
        model.figure("99")


def test_a_rule_written_in_a_cell(out):
    @sf.rule
    def after_plus_the_token_before(history):
        """After +, the token before it."""
        if history[-1] != "+" or len(history) < 2:
            return None
        return {history[-2]}

    run = sf.train(after_plus_the_token_before, settings=SETTINGS | {"training.warmup_steps": 1}, out=out)
    assert run.config.description == "After +, the token before it"
    assert run.rule([3, "+"]) == {3} and (out / "rules" / "after_plus_the_token_before.py").is_file()
    with pytest.raises(ConfigError, match="not a set of tokens or None"):
        @sf.rule
        def wrong(history):
            return 5


def test_history_is_arrays_by_name_and_a_table_beside_the_run(run):
    table = np.genfromtxt(run.folder / "history.csv", delimiter=",", names=True)
    assert table.dtype.names == tuple(run.history)
    for name, column in run.history.items():
        np.testing.assert_array_equal(table[name], column)


def test_seeds(out):
    study = sf.sweep("plus_last_even", 2, SETTINGS, out=out)
    assert [result.seed for result in study.results] == [0, 1] and "2 seeds" in repr(study)
    alone = sf.train("plus_last_even", seed=1, settings=SETTINGS, out=out).last
    for one, other in zip(study.model(1).params, alone.params, strict=True):
        np.testing.assert_array_equal(one, other)
    assert study.model(1)("5 8 3 +").logits.shape == (1, 4, 12)
    with pytest.raises(RunError, match="no result of seed 7"):
        study.model(7)


def test_a_script_that_trains_seeds_runs_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import threading, scratchformer as sf\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"  # no fork is safe
        "from scratchformer.system import pool\n"
        "pool.count_cores = lambda: 2\n"
        f"study = sf.sweep('plus_last_even', 2, {SETTINGS}, out={str(tmp_path)!r})\n"
        "print('trained', len(study.results), study.results[0].note)\n"
    )
    done = subprocess.run(
        [sys.executable, script], cwd=REPO, capture_output=True, text=True, timeout=200,
        env={**os.environ, "PYTHONPATH": str(REPO)},
    )
    assert (done.stdout, done.returncode) == ("trained 2 \n", 0), done.stderr


def test_importing_changes_nothing_of_numba():
    code = (
        "import numba; before = {n: repr(v) for n, v in vars(numba.config).items() if n.isupper()}\n"
        "import scratchformer as sf; sf.train; import scratchformer.engine.model as m, numpy as np\n"
        "from scratchformer.engine.warm import smallest_params\n"
        "m.forward(smallest_params('float64'), [[0]])\n"
        "assert before == {n: repr(v) for n, v in vars(numba.config).items() if n.isupper()}"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPO, check=True, timeout=200)


def test_the_package_starts_light():
    code = "import sys, scratchformer; assert not {'numba', 'numpy', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=REPO, check=True, timeout=60)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        sf.trian
