"""The landscape figures: their backgrounds and points are what the run holds, in every shape of model."""

import matplotlib
import numpy as np
import pytest
from conftest import check_texts
from matplotlib.collections import PathCollection
from PIL import Image

from scratchformer.analysis.landscape import GRID, plane_grid, square_box
from scratchformer.figures.draw import draw_figure, make_figure
from scratchformer.figures.landscapes import WINDOWS, sample
from scratchformer.figures.style import RC, token_colors
from scratchformer.run.data import allowed_next
from scratchformer.run.judge import lands_right

EMBEDDINGS, REACHED = "07_output_probs_embed", "11_probability_heatmap_with_values"


def figure(model, name):
    with matplotlib.rc_context(RC):
        return make_figure(model, name)


def panels(fig):
    return [ax for ax in fig.axes if ax.images]


def texts(fig):
    return " ".join(text.get_text() for text in fig.findobj(matplotlib.text.Text))


@pytest.mark.parametrize("name", [EMBEDDINGS, REACHED])
@pytest.mark.parametrize("step", [0, 20])
def test_backgrounds_are_the_landscape(tiny_run, step, name):
    axes = panels(figure(tiny_run.at(step), name))
    assert len(axes) == len(tiny_run.vocabulary) == 12
    for token, ax in enumerate(axes):
        (image,) = ax.images
        assert ax.get_title().startswith(f"P(next = {tiny_run.vocabulary[token]})\n")
        assert (image.norm.vmin, image.norm.vmax, image.cmap.name) == (0, 1, "viridis")
        probs = tiny_run.at(step).landscape(plane_grid(image.get_extent()))
        np.testing.assert_array_equal(image.get_array(), probs[:, token].reshape(GRID, GRID))
        assert (*ax.get_xlim(), *ax.get_ylim()) == tuple(image.get_extent())
        assert ax.get_aspect() == 1


def test_landscape_is_the_rest_of_the_forward_pass(tiny_run):
    cache = tiny_run.at(20).forward(tiny_run.data.held_out_windows[:1, :-1])
    np.testing.assert_allclose(tiny_run.at(20).landscape(cache.resid_mid[0]), cache.probs[0], rtol=1e-12)


def test_embeddings_are_the_grid(tiny_run):
    grid = tiny_run.at(20).grid
    fig = figure(tiny_run.at(20), EMBEDDINGS)
    likeliest = tiny_run.at(20).landscape(grid.embed.reshape(-1, 2)).argmax(axis=1)
    families = [range(0, 11, 2), range(1, 11, 2), [11]]
    for token, ax in enumerate(panels(fig)):
        assert f"likeliest at {(likeliest == token).sum()} of 96 points" in ax.get_title()
        markers = [
            artist for artist in ax.collections
            if isinstance(artist, PathCollection) and not hasattr(artist, "texts")
        ]
        for artist, members in zip(markers, families, strict=True):
            np.testing.assert_array_equal(artist.get_offsets(), grid.embed[members].reshape(-1, 2))
            colors = np.repeat(token_colors(tiny_run.vocabulary)[members], 8, axis=0)
            np.testing.assert_allclose(artist.get_facecolors()[:, :3], colors)
        (labels,) = [artist for artist in ax.collections if hasattr(artist, "texts")]
        assert all(text.endswith("₇") for text in labels.texts)
        named = [token for text in labels.texts for token in text[:-1].strip("{}").split(",")]
        assert sorted(named) == sorted(tiny_run.vocabulary)
    most = np.bincount(likeliest).argmax()
    assert f"{tiny_run.vocabulary[most]} at {(likeliest == most).sum()}" in texts(fig)


@pytest.mark.parametrize("step", [0, 20])
def test_reached_points_are_resid_mid(tiny_run, step):
    windows = tiny_run.data.held_out_windows[:, :-1]
    cache = tiny_run.at(step).forward(windows)
    allowed = allowed_next(tiny_run.rule, tiny_run.data.vocabulary, windows)
    right = lands_right(cache.logits, allowed)
    fig = figure(tiny_run.at(step), REACHED)
    wrong, constrained = tiny_run.at(step).count_wrong()
    assert f"{constrained - wrong:,} of {constrained:,} constrained positions of all held-out" in texts(fig)
    for token, ax in enumerate(panels(fig)):
        lines = {line.get_label(): line.get_xydata() for line in ax.lines}
        answer = allowed[..., token]
        shown = sample(cache.resid_mid)
        np.testing.assert_array_equal(lines["other"], shown[~sample(answer)])
        np.testing.assert_array_equal(lines["right"], shown[sample(answer) & sample(right)])
        np.testing.assert_array_equal(lines["wrong"], cache.resid_mid[answer & ~right])
        expected = f"{(answer & right).sum()} of {answer.sum()} answers right"
        assert ax.get_title().split("\n")[1] == (expected if answer.any() else "never an answer")


def test_labels_name_typical_points_of_the_last_position(tiny_run):
    cache = tiny_run.at(20).held_out
    groups = {}
    for tokens, point in zip(cache.tokens, cache.resid_mid[:, -1], strict=True):
        evens = [token for token in tokens if token < 11 and token % 2 == 0]
        name = f"{tiny_run.vocabulary[tokens[-1]]}₇"
        name += f"→{tiny_run.vocabulary[evens[-1]]}" if tokens[-1] == 11 and evens else ""
        groups.setdefault(name, []).append(point)
    fig = figure(tiny_run.at(20), REACHED)
    for ax in panels(fig):
        marked = next(
            artist for artist in ax.collections
            if isinstance(artist, PathCollection) and not hasattr(artist, "texts")
        )
        (labels,) = [artist for artist in ax.collections if hasattr(artist, "texts")]
        assert set(labels.texts) == set(groups) and len(labels.texts) == len(groups)
        for text, shown in zip(labels.texts, marked.get_offsets(), strict=True):
            points = np.array(groups[text])
            away = np.linalg.norm(points - points.mean(axis=0), axis=1)
            np.testing.assert_array_equal(shown, points[away.argmin()])
    assert "labelled: a typical +₇" in texts(fig)


def test_right_is_where_the_likeliest_token_is_allowed(tiny_run):
    windows = tiny_run.data.held_out_windows[:, :-1]
    cache = tiny_run.at(0).forward(windows)
    allowed = allowed_next(tiny_run.rule, tiny_run.data.vocabulary, windows)
    right = lands_right(cache.logits, allowed)
    for n, t in np.argwhere(allowed.any(axis=-1))[:50]:
        assert right[n, t] == allowed[n, t, cache.probs[n, t].argmax()]
    assert not right[~allowed.any(axis=-1)].any()


def test_box_and_grid_by_hand():
    assert square_box(np.array([[0.0, 2], [10, 4]])) == pytest.approx((-0.4, 10.4, -2.4, 8.4))
    points = plane_grid((0, GRID, 100, 100 + GRID))
    assert points[0].tolist() == [0.5, 100.5] and points[1].tolist() == [1.5, 100.5]
    assert points[GRID].tolist() == [0.5, 101.5] and len(points) == GRID**2


def test_sample_is_spread_and_bounded():
    for count in (1, WINDOWS, WINDOWS + 1, 10 * WINDOWS + 3):
        chosen = sample(np.arange(count))
        assert chosen[0] == 0 and len(chosen) <= WINDOWS and len(set(np.diff(chosen))) <= 1


@pytest.mark.parametrize("name", [EMBEDDINGS, REACHED])
@pytest.mark.parametrize("step", [0, 4])
def test_draws_every_model(odd_run, step, name, tmp_path):
    draw_figure(odd_run.at(step), name, tmp_path, dpi=40)
    with Image.open(tmp_path / f"{name}.png") as image:
        assert image.size == (400, 360)
    fig = figure(odd_run.at(step), name)
    plane = odd_run.config.model.n_embd == 2
    assert len(panels(fig)) == plane * len(odd_run.vocabulary)
    assert ("the landscape is left out" in texts(fig)) != plane


@pytest.mark.parametrize("name", [EMBEDDINGS, REACHED])
def test_no_text_is_clipped_or_covers_another(tiny_run, name, monkeypatch):
    with matplotlib.rc_context(RC):
        check_texts(make_figure(tiny_run.at(tiny_run.steps[-1]), name), monkeypatch, 3)


@pytest.mark.parametrize("name", [EMBEDDINGS, REACHED])
def test_no_text_is_clipped_or_covers_another_in_any_model(odd_run, name, monkeypatch):
    with matplotlib.rc_context(RC):
        check_texts(make_figure(odd_run.at(odd_run.steps[-1]), name), monkeypatch, 3)
