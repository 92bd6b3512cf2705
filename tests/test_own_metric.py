"""A metric of the user's own: what it is given, where it is shown, and what is refused."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import REPO, SHORT, run_cli
from matplotlib.figure import Figure
from matplotlib.text import Text

import scratchformer as sf
from scratchformer.figures.draw import make_figure
from scratchformer.figures.seeds import grid
from scratchformer.run.own_metric import as_metric, load_metric
from scratchformer.run.run import Run
from scratchformer.system.errors import ConfigError

EXAMPLE = REPO / "docs" / "examples" / "my_metric.py"
SET = [word for setting in SHORT for word in ("--set", setting)]


def rule_error(cache, allowed):
    """The rule error, once more."""
    spoken = allowed.any(axis=-1)
    right = np.take_along_axis(allowed, cache.logits.argmax(axis=-1)[..., None], axis=-1)[..., 0]
    return (spoken & ~right).sum() / spoken.sum()


def test_it_sees_what_the_rule_error_is_measured_on(tiny_run):
    wrong, constrained = tiny_run.last.count_wrong()
    assert tiny_run.last.measure(as_metric(rule_error)) == pytest.approx(wrong / constrained)
    tiny_run.metric = as_metric(rule_error)
    try:
        steps, values = tiny_run.metric_history
    finally:
        tiny_run.metric = None
        vars(tiny_run).pop("metric_history")
    of_history = dict(zip(tiny_run.history["step"], tiny_run.history["rule_error"], strict=True))
    assert steps == tiny_run.steps
    both = [(v, of_history[s]) for s, v in zip(steps, values, strict=True) if s in of_history]
    assert len(both) >= 2 and all(value == pytest.approx(error) for value, error in both)


def test_it_sees_the_loss(tiny_run):
    loss = tiny_run.last.measure(as_metric(lambda cache, allowed: float(cache.loss)))
    assert loss == float(tiny_run.last.held_out.loss)


@pytest.mark.parametrize(("body", "problem"), [
    ("return 'high'", "metric m: returns 'high', not a number"),
    ("return True", "metric m: returns True, not a number"),
    ("return None", "metric m: returns None, not a number"),
    ("return cache.loss[()] + [1, 2]", "metric m: returns array"),
    ("return 1 / 0", "metric m: raises .*ZeroDivisionError"),
    ("cache.probs[:] = 0", "metric m: raises .*read-only"),
    ("allowed[:] = True", "metric m: raises .*read-only"),
    ("raise SystemExit", "metric m: raises .*SystemExit"),
])
def test_what_is_no_metric_is_told_in_one_line(tiny_run, tmp_path, body, problem):
    path = tmp_path / "mine.py"
    path.write_text(f"def m(cache, allowed):\n    {body}\n")
    with pytest.raises(ConfigError, match=problem) as caught:
        tiny_run.last.measure(load_metric(str(path)))
    assert "\n" not in str(caught.value)
    assert np.isfinite(tiny_run.last.held_out.probs).all() and tiny_run.last.held_out.probs.any()


@pytest.mark.parametrize(("text", "name", "problem"), [
    ("def m(cache):\n    return 1\n", "mine.py", r"metric m: must take \(cache, allowed\), takes \(cache\)"),
    ("def m(cache, allowed):\n    return 1\n", "mine.py:n", "--metric .*: no function 'n'.*; there are m"),
    ("x = 1\n", "mine.py", "--metric .*: must hold one function, holds none"),
    ("x = 1\n", "other.py", "--metric .*other.py: cannot be read"),
    ("x = 1\n", "plus", "--metric plus: write a Python file"),
])
def test_what_cannot_be_used_is_told_before_training(monkeypatch, tmp_path, text, name, problem):
    (tmp_path / "mine.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=problem):
        load_metric(name)


def test_it_stands_beside_the_rule_error(tmp_path):
    done = run_cli("plus_last_even", *SET, "--figure", "2", "--metric", EXAMPLE, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "metric confidence: 0." in done.stdout
    (path,) = tmp_path.glob("*/metric_confidence.csv")
    rows = list(csv.reader(path.read_text().splitlines()))
    assert rows[0] == ["step", "confidence"] and rows[1][0] == "0" and 0 < float(rows[-1][1]) < 1
    done = run_cli("ablate", "plus_last_even", "v=0", *SET, "--metric", EXAMPLE, "--out", tmp_path)
    assert "metric confidence      0." in done.stdout and done.returncode == 0, done.stderr
    done = run_cli("seeds", "plus_last_even", "2", *SET, "--metric", EXAMPLE, "--out", tmp_path)
    assert "metric confidence: median 0." in done.stdout and done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*/seeds/metric_confidence.csv")
    assert [row[0] for row in csv.reader(path.read_text().splitlines())] == ["seed", "0", "1"]


def test_it_stands_in_the_picture_of_a_grid(tmp_path):
    done = run_cli("seeds", "plus_last_even", "2", "--grid", "model.n_embd=2,3", *SET, "--metric", EXAMPLE,
                   "--out", tmp_path)
    assert done.returncode == 0 and done.stdout.count("metric confidence: median 0.") == 2, done.stderr
    cell = SimpleNamespace(name="n_embd=2", errors=np.array([0.5]), sweep=SimpleNamespace(
        results=[SimpleNamespace(learned=False)]))
    fig = Figure(figsize=grid.size(1))
    grid.draw(fig, "plus_last_even", [cell], ("confidence", [[0.25, 0.75]]))
    texts = [text.get_text() for text in fig.findobj(Text)]
    assert "median confidence" in texts and "0.5" in texts


def test_a_curve_of_it_stands_in_the_learning_curve(tiny_run):
    run = Run.open(tiny_run.folder)
    run.metric = as_metric(rule_error)
    fig = make_figure(run.at(20), "02_learning_curve")
    lines = {line.get_label(): line for ax in fig.axes for line in ax.lines}
    np.testing.assert_array_equal(lines["rule_error"].get_ydata(), run.metric_history[1])


def test_a_mistake_shows_before_anything_is_trained(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def m(cache, allowed):\n    return cache.prob\n")
    done = run_cli("plus_last_even", *SET, "--metric", path, "--out", tmp_path / "runs")
    assert done.returncode == 2 and not (tmp_path / "runs").exists()
    assert done.stderr.startswith("run.py: metric m: raises") and done.stderr.count("\n") == 1


def test_in_a_notebook(tmp_path):
    settings = dict(setting.split("=") for setting in SHORT)
    run = sf.train("plus_last_even", settings=settings, out=tmp_path)
    wrong, constrained = run.last.count_wrong()
    assert run.last.measure(rule_error) == pytest.approx(wrong / constrained)
    result = run.last.ablate("attention=0", metric=rule_error)
    assert result.metric[0] == "rule_error"
    assert result.metric[1:] == pytest.approx(
        (result.wrong_before / result.constrained, result.wrong_after / result.constrained))
    study = sf.sweep("plus_last_even", 2, settings, out=tmp_path)
    assert study.measure(rule_error) == pytest.approx(
        {result.seed: result.rule_error for result in study.results})
