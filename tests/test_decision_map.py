"""The map of decisions: exact polygons, held against the model itself."""

import matplotlib
import numpy as np
import pytest
from conftest import SHORT, check_texts, make_params, train_run
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchformer.analysis.decision_map import (
    affine_logits, answer_landings, areas_by_token, cells, decision_regions, frame_regions,
)
from scratchformer.analysis.landscape import frame
from scratchformer.engine.model import landscape
from scratchformer.figures.catalogue import figure_module
from scratchformer.figures.draw import make_figure
from scratchformer.figures.style import RC
from scratchformer.run.config import ModelConfig, config_names, load_config

BOX = (-3.0, 2.0, -1.5, 3.5)
NAMES = ("supplementary/11_decision_map", "supplementary/15_feed_forward")


def owners(regions, points):
    """The token of the region that each point lies in: (N,), -1 in none."""
    found = np.full(len(points), -1)
    for region in regions:
        low, high = region.corners.min(axis=0), region.corners.max(axis=0)
        near = np.flatnonzero(((points >= low) & (points <= high)).all(axis=1))
        edges = np.roll(region.corners, -1, axis=0) - region.corners
        ahead = points[near, None] - region.corners
        side = edges[:, 0] * ahead[..., 1] - edges[:, 1] * ahead[..., 0]
        found[near[(side >= 0).all(axis=1) | (side <= 0).all(axis=1)]] = region.token
    return found


@given(st.integers(0, 2**32), st.booleans(), st.integers(1, 6), st.integers(2, 7))
@settings(max_examples=25)
def test_polygons_are_the_models_decisions(seed, use_residual, ffn_mult, tokens):
    rng = np.random.default_rng(seed)
    params = make_params(ModelConfig(ffn_mult=ffn_mult), tokens, rng, 1.0)
    regions = decision_regions(params, BOX, use_residual)
    whole = (BOX[1] - BOX[0]) * (BOX[3] - BOX[2])
    assert areas_by_token(regions, tokens).sum() == pytest.approx(whole, rel=1e-12)
    points = rng.uniform((BOX[0], BOX[2]), (BOX[1], BOX[3]), (400, 2))
    top = landscape(params, points, use_residual).argmax(axis=1)
    np.testing.assert_array_equal(owners(regions, points), top)


def test_a_cell_is_affine():
    params = make_params(ModelConfig(), 5, np.random.default_rng(0))
    pieces = cells(params, BOX)
    assert len(pieces) > 100
    for corners in pieces[::10]:
        A, c = affine_logits(params, corners.mean(axis=0))
        inside = 0.9 * corners + 0.1 * corners.mean(axis=0)
        probs = np.exp(inside @ A.T + c)
        probs /= probs.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(probs, landscape(params, inside), rtol=1e-9)


PLANES = [name for name in config_names() if load_config(name).model.n_embd == 2]


@pytest.mark.slow
@pytest.mark.parametrize("config", PLANES)
def test_many_points_of_trained_models(config, tmp_path):
    """A million points of each at the start, at step 5,000 and at the end; a point on a border is open."""
    run = train_run(tmp_path / config, "training.steps=20000", "training.checkpoint_every=5000",
                    "data.num_sequences=2000", config=config)
    for step in (0, 5000, 20000):
        model = run.at(step)
        box = frame(model)
        regions = frame_regions(model)
        whole = (box[1] - box[0]) * (box[3] - box[2])
        assert abs(areas_by_token(regions, len(model.vocabulary)).sum() / whole - 1) < 1e-12
        rng = np.random.default_rng(step)
        for _ in range(10):
            points = rng.uniform((box[0], box[2]), (box[1], box[3]), (100_000, 2))
            probs = model.landscape(points)
            second, first = np.sort(probs, axis=1)[:, -2:].T
            clear = second < first * (1 - 1e-9)
            assert clear.mean() > 0.9999
            np.testing.assert_array_equal(owners(regions, points[clear]), probs[clear].argmax(axis=1))


def test_landings_by_hand(tiny_run):
    model = tiny_run.at(20)
    found = answer_landings(model)
    assert model.vocabulary[found.query] == "+"
    cache, allowed = model.held_out, model.run.held_out.allowed
    for answer, end, count in zip(found.answers, found.ends, found.counts, strict=True):
        where = [(n, t) for n, t in np.argwhere(cache.tokens == found.query) if allowed[n, t, answer]]
        np.testing.assert_allclose(end, np.mean([cache.resid_mid[n, t] for n, t in where], axis=0))
        assert count == len(where)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("step", [0, 20])
def test_the_figures(tiny_run, name, step, monkeypatch):
    model = tiny_run.at(step)
    with matplotlib.rc_context(RC):
        check_texts(make_figure(model, name), monkeypatch, 4)
    assert 50 <= len(figure_module(name).caption(model).split()) <= 150


@pytest.mark.parametrize("name", NAMES)
def test_the_figures_of_odd_models(odd_run, name):
    with matplotlib.rc_context(RC):
        make_figure(odd_run.last, name).canvas.draw()
    assert "nan" not in figure_module(name).caption(odd_run.last)


@pytest.mark.parametrize("overrides", [("data.rule=plus_means_even",), ("data.operators=[]",)])
def test_rules_without_a_single_answer(tmp_path, overrides):
    model = train_run(tmp_path / "run", *SHORT, *overrides).last
    for name in NAMES:
        with matplotlib.rc_context(RC):
            make_figure(model, name).canvas.draw()
        assert figure_module(name).caption(model)
