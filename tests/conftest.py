"""Shared by the tests: small models of any shape, and tiny runs."""

import io
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import matplotlib  # noqa: E402
import matplotlib.figure  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from scratchformer.engine.model import parameter_shapes, unflatten  # noqa: E402
from scratchformer.run.config import ModelConfig, load_config  # noqa: E402
from scratchformer.run.place import own_folder  # noqa: E402
from scratchformer.run.run import Run  # noqa: E402
from scratchformer.run.train import train  # noqa: E402

REPO = Path(__file__).resolve().parent.parent
TINY = (
    "training.steps=20", "training.checkpoint_every=5", "training.eval_every=10", "data.num_sequences=40",
    "training.eval_windows=50",
)
SHORT = ("training.steps=4", "training.checkpoint_every=2", "training.eval_every=2", "data.num_sequences=20")
ODD = [                                         # models that no figure may stumble over
    ("model.n_embd=4", "model.num_heads=2"), ("model.n_embd=4", "model.head_size=3"),
    ("data.numbers=20", "model.block_size=3", "model.use_residual=false"),
    ("model.num_heads=2", "data.operators=[]", "model.embedding_std=0.000001"),
    ("model.n_embd=1", "model.head_size=1", "data.operators=[]", "model.use_residual=false"),
    ("model.n_embd=3", "model.block_size=1", "data.numbers=2", "model.embedding_std=0.000001"),
]

FAST = {                                        # modules of the subset `-m fast`, which takes under a minute
    "test_adam", "test_model", "test_gradcheck", "test_config", "test_configs", "test_data", "test_rules",
    "test_own_rule", "test_run_folder", "test_pool", "test_train", "test_commands", "test_figures",
    "test_wheel",
}

settings.register_profile("tests", deadline=None, derandomize=True, print_blob=False)
settings.load_profile("tests")


def pytest_collection_modifyitems(items):
    """Mark as fast what is in the FAST modules, but for the slow tests and the drawings of odd models."""
    for item in items:
        left_out = item.get_closest_marker("slow") or "odd_run" in getattr(item, "fixturenames", ())
        if item.module.__name__ in FAST and not left_out:
            item.add_marker(pytest.mark.fast)


def make_params(model, vocab_size, rng, scale=0.7):
    """Params of a model config with entries from N(0, scale)."""
    shapes = parameter_shapes(model, vocab_size)
    return unflatten(rng.normal(0, scale, sum(int(np.prod(s)) for s in shapes.values())), shapes)


@st.composite
def small_cases(draw):
    """(params, tokens, targets, use_residual): every shape a config allows, in small."""
    model = ModelConfig(
        n_embd=draw(st.integers(1, 3)), num_heads=draw(st.integers(1, 3)), head_size=draw(st.integers(1, 3)),
        block_size=draw(st.integers(1, 4)), ffn_mult=draw(st.integers(1, 3)),
    )
    vocab_size = draw(st.integers(2, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, model.block_size)))
    tokens = rng.integers(0, vocab_size, shape)
    if draw(st.booleans()):
        tokens[:] = tokens[0, 0]                                # one token over and over
    targets = rng.integers(0, vocab_size, shape)
    targets[rng.random(shape) < 0.2] = -1
    targets[0, -1] = 0
    return make_params(model, vocab_size, rng), tokens, targets, draw(st.booleans())


def train_run(folder, *overrides, config="plus_last_even", stop_at=None):
    """A trained Run in `folder`; with `stop_at`, training is broken off after that step."""
    run = Run(folder, load_config(config, (*TINY, *overrides)))
    data, judge, state = run.prepared
    run.files.start(data)
    for state in train(run.config, data, judge, state, run.files.save):
        if stop_at is not None and state.step >= stop_at:
            break
    run.files.save_state()
    return run


def run_name(*overrides, config="plus_last_even"):
    """The name of the folder that the command line gives a run of these settings."""
    return own_folder(load_config(config, overrides), "").name


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """A finished run of 20 steps."""
    return train_run(tmp_path_factory.mktemp("runs") / "plus_last_even")


SLOW = (1, 4)                                   # of ODD: what they hold the others hold in part


@pytest.fixture(scope="session", params=[
    pytest.param(odd, id=" ".join(odd), marks=[pytest.mark.slow] * (number in SLOW))
    for number, odd in enumerate(ODD)
])
def odd_run(request, tmp_path_factory):
    """A finished run of 4 steps of one of the odd models."""
    return train_run(tmp_path_factory.mktemp("runs") / "odd", *SHORT, *request.param)


def run_cli(*args, cwd=REPO, **options):
    """`python run.py ...` as a user would: the completed process."""
    return subprocess.run(
        [sys.executable, str(REPO / "run.py"), *map(str, args)],
        cwd=cwd, capture_output=True, text=True, timeout=300, **options,
    )


def check_texts(fig, monkeypatch, at_least):
    """Save a figure: at least so many texts are drawn, none is clipped, none covers another."""
    drawn = {}
    draw = matplotlib.text.Text.draw

    def record(text, renderer):
        if text.get_visible() and text.get_text().strip():
            drawn[text] = text.get_window_extent(renderer)
        draw(text, renderer)

    monkeypatch.setattr(matplotlib.text.Text, "draw", record)
    fig.savefig(io.BytesIO(), dpi=fig.dpi)
    width, height = fig.bbox.size
    boxes = [(text.get_text(), box) for text, box in drawn.items()]
    assert len(boxes) >= at_least
    for i, (text, box) in enumerate(boxes):
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, text
        for other, another in boxes[:i]:
            across = min(box.x1, another.x1) - max(box.x0, another.x0)
            up = min(box.y1, another.y1) - max(box.y0, another.y0)
            assert across < 1 or up < 1.5, (text, other)


def pytest_sessionfinish(session):
    """A process that runs a part of the tests hands the table of trials to the one that reports."""
    output, table = getattr(session.config, "workeroutput", None), trials_table()
    if output is not None and table:
        output["trials"] = table


def pytest_configure(config):
    """Without pytest-xdist there are no such processes."""
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(Tables(), "tables")


class Tables:
    """Keeps the tables that the other processes hand over."""

    def pytest_testnodedown(self, node, error):
        TABLES.append(getattr(node, "workeroutput", {}).get("trials", []))


TABLES = []


def trials_table():
    """The table of the hostile trials that were run here: lines."""
    return list(getattr(sys.modules.get("test_hostile"), "TABLE", ()))


def pytest_terminal_summary(terminalreporter):
    """The table of the hostile trials, where they were run."""
    for table in (trials_table(), *TABLES):
        for line in table:
            terminalreporter.write_line(line)
