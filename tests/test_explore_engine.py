"""The explorer's JavaScript computes what the engine computes; what cannot be translated is told."""

import json
import shutil
import subprocess

import numpy as np
import pytest
from browser import CHROMIUM, open_browser
from conftest import REPO, make_params

from scratchformer.engine.adam import AdamSettings
from scratchformer.engine.model import backward, empty_cache, forward, unflatten
from scratchformer.engine.training import train_steps
from scratchformer.run.config import ModelConfig, config_names, load_config
from scratchformer.run.data import make_vocabulary
from scratchformer.run.run import Run
from scratchformer.tools.explore.expressions import Untranslatable
from scratchformer.tools.explore.javascript import engine_code, symbolic_code, table
from scratchformer.tools.explore.translate import Writer, translate_engine

DRIVER = REPO / "tests" / "explorer_engine.js"
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")
CONFIGS = [load_config(name) for name in config_names()]
MODELS = {(one.model, len(make_vocabulary(one))) for one in CONFIGS}
ODD = [
    (ModelConfig(n_embd=4, num_heads=2), 12), (ModelConfig(n_embd=4, head_size=3, use_residual=False), 21),
    (ModelConfig(n_embd=1, head_size=1, ffn_mult=3), 3),
    (ModelConfig(n_embd=3, num_heads=3, block_size=1), 2),
]
STATES = 1000                           # random ones, over all models


def sizes(model, vocab_size):
    """The page's names for a model's sizes."""
    return {"V": vocab_size, "T": model.block_size, "C": model.n_embd, "H": model.num_heads,
            "D": model.head_size, "F": model.ffn_mult * model.n_embd}


def random_states():
    """(model, V, params, tokens, targets): weights of several scales, sequences of every length.

    Larger weights than these make logits of thousands, and exp(x) keeps the rounding of x.
    """
    rng = np.random.default_rng(0)
    models = [*sorted(MODELS, key=str), *ODD]
    for n in range(STATES):
        model, V = models[n % len(models)]
        shape = (int(rng.integers(1, 4)), int(rng.integers(1, model.block_size + 1)))
        tokens, targets = rng.integers(0, V, shape), rng.integers(0, V, shape)
        targets[rng.random(shape) < 0.3] = -1
        targets[0, -1] = int(rng.integers(V))
        yield model, V, make_params(model, V, rng, float(rng.choice([0.1, 0.5, 1.0]))), tokens, targets


def flat(params):
    return np.concatenate([array.ravel() for array in params])


def run_node(tmp_path, cases, trainings):
    """What the translated engine makes of them."""
    script, given = tmp_path / "engine.js", tmp_path / "cases.json"
    script.write_text(engine_code() + DRIVER.read_text("utf-8"), "utf-8")
    given.write_text(json.dumps({"table": table(), "cases": cases, "trainings": trainings}))
    done = subprocess.run([NODE, script, given], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def worst_error(found, expected):
    """The largest difference of any entry, relative to the array's largest entry."""
    found, expected = np.array(found, float), np.ravel(expected)
    assert found.shape == expected.shape
    if not found.size:
        return 0.0
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-300))


def case(model, V, params, tokens, targets):
    """A state as the page is given it."""
    return {"sizes": sizes(model, V), "theta": flat(params).tolist(), "tokens": tokens.tolist(),
            "targets": targets.tolist(), "use_residual": model.use_residual}


@needs_node
def test_every_activation_and_gradient_is_the_engines(tmp_path):
    states = list(random_states())
    check_states(states, run_node(tmp_path, [case(*state) for state in states], [])["results"])


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_so_it_is_in_a_browser():
    states, found = list(random_states()), []
    with open_browser() as browser:
        browser.run(f"{engine_code()}{DRIVER.read_text('utf-8')}; 0")
        for start in range(0, STATES, 50):
            cases = [case(*state) for state in states[start : start + 50]]
            given = json.dumps({"table": table(), "cases": cases, "trainings": []})
            found += json.loads(browser.run(f"run_cases({given})"))["results"]
    check_states(states, found)


def check_states(states, found):
    """Every array that was found is the engine's."""
    assert len(found) == STATES
    worst = {}
    for (model, _, params, tokens, targets), result in zip(states, found, strict=True):
        cache = forward(params, tokens, targets, model.use_residual)
        dparams, dcache = backward(params, cache)
        for group, container in (("cache", cache), ("dparams", dparams), ("dcache", dcache)):
            assert result[group].keys() == set(container._fields) - {"use_residual"}
            for name, values in result[group].items():
                error = worst_error(values, getattr(container, name))
                worst[group, name] = max(error, worst.get((group, name), 0))
    wrong = {key: error for key, error in worst.items() if not error <= 1e-12}
    assert not wrong, wrong
    print(f"worst relative error of {STATES} states: {max(worst.values()):.1e}")


@needs_node
def test_two_hundred_steps_of_adam_are_the_engines(tmp_path):
    trainings, expected = [], []
    for name in ("plus_last_even", "lucky7_no_resid", "parity_gt_10"):
        config = load_config(name, ["data.num_sequences=60"])
        run = Run(tmp_path / name, config)
        data, _, state = run.prepared
        batches = np.random.default_rng(1).integers(0, len(data.train_windows), (200, 8))
        shapes, theta = run.files.shapes, state.theta.copy()
        settings, rate = (0.9, 0.999, 1e-8, 0.01), 0.003
        trainings.append({
            "sizes": sizes(config.model, len(data.vocabulary)), "theta": theta.tolist(), "rate": rate,
            "windows": data.train_windows.tolist(), "batches": batches.tolist(), "settings": settings,
            "use_residual": config.model.use_residual,
        })
        gradient, tokens = np.zeros_like(theta), np.zeros((8, config.model.block_size), np.int64)
        params = unflatten(theta, shapes)
        caches = [empty_cache(params, tokens.copy(), tokens.copy(), config.model.use_residual)
                  for _ in range(2)]
        dcache = caches[1]._replace(tokens=caches[0].tokens, targets=caches[0].targets)
        train_steps(
            params, theta, np.zeros_like(theta), np.zeros_like(theta), caches[0],
            unflatten(gradient, shapes), gradient, dcache, data.train_windows, batches, 0,
            np.full(200, rate), AdamSettings(*settings),
        )
        expected.append(theta)
        assert np.abs(theta - state.theta).max() > 0.05         # it did train
    for found, theta in zip(run_node(tmp_path, [], trainings)["trained"], expected, strict=True):
        assert np.abs(np.array(found) - theta).max() <= 1e-9


@needs_node
@pytest.mark.parametrize("code", [engine_code, symbolic_code])
def test_the_code_is_javascript(code, tmp_path):
    path = tmp_path / "code.js"
    path.write_text(code(), "utf-8")
    done = subprocess.run([NODE, "--check", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_names_and_comments_are_kept():
    code = translate_engine()
    assert "scores_forward(c.q, c.k, c.scores);   // scores = q kᵀ / √D" in code
    assert "// scores[b,h,t,s] = Σ_d q[b,h,t,d] k[b,h,s,d] / √D. q, k: (B, H, T, D)" in code
    assert "// resid_mid is read twice: d.resid_mid = (around the feed-forward layer) + (through it)" in code
    assert "dlogits.data[dlogits.at(b, t, y)] -= 1 / count;" in code


@pytest.mark.parametrize(("line", "what"), [
    ("x = y @ z", "the operator MatMult"), ("x = [i for i in y]", "the expression ListComp"),
    ("while True: pass", "the statement While"), ("x = np.einsum('ij', y)", "np.einsum()"),
    ("x = y[1:3]", "the expression Slice"), ("y[1:3] = 0", "a slice with bounds"),
    ("for i in y: pass", "a loop over something else than range()"), ("x = 0 < y < 2", "this comparison"),
    ("for i in range(0, 9, 2): pass", "a range with a step"), ("delete = 3", "the name delete"),
    ("x = 'text'", "the constant 'text'"), ("x = y if z else ~y", "this sign"), ("y *= 2", "this change"),
    ("f(y, out=z)", "an argument by name"), ("x = y.strides[0]", "the attribute strides"),
    ("x = w + 1", "w, which is not set"), ("x = tanh(y)", "tanh()"), ("x = y = 2", "this assignment"),
])
def test_what_has_no_counterpart_is_told_with_file_and_line(line, what):
    with pytest.raises(Untranslatable) as caught:
        Writer(f"def f(y, z):\n    z[0] = 1\n    {line}\n", "layer.py").text()
    assert str(caught.value).startswith(f"layer.py:3: {what}")
