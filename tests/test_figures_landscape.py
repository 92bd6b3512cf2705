"""The landscape figures: their backgrounds and points are what the run holds, in every shape of model."""

import matplotlib
import numpy as np
import pytest
from conftest import check_texts
from matplotlib.collections import LineCollection, PathCollection
from PIL import Image

from scratchformer.analysis.landscape import GRID, frame, plane_grid, square_box
from scratchformer.figures.catalogue import figure_module
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
    assert tuple(axes[0].images[0].get_extent()) == frame(tiny_run.at(step))
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
        assert all(text.endswith("₄") for text in labels.texts)
        whole = {"odd": "1,3,5,7,9", "even": "0,2,4,6,8,10"}
        named = [
            token for text in labels.texts
            for token in whole.get(text[:-1], text[:-1]).strip("{}").split(",")
        ]
        assert sorted(named) == sorted(tiny_run.vocabulary)
    most = np.bincount(likeliest).argmax()
    token, count = tiny_run.vocabulary[most], (likeliest == most).sum()
    assert f"If attention added nothing, {token} would be predicted at {count} of 96" in texts(fig)


@pytest.mark.parametrize("step", [0, 20])
def test_reached_points_are_resid_mid(tiny_run, step):
    windows = tiny_run.data.held_out_windows[:, :-1]
    cache = tiny_run.at(step).forward(windows)
    allowed = allowed_next(tiny_run.rule, tiny_run.data.vocabulary, windows)
    right = lands_right(cache.logits, allowed)
    fig = figure(tiny_run.at(step), REACHED)
    wrong, constrained = tiny_run.at(step).count_wrong()
    assert f"Attention takes {constrained - wrong:,} of {constrained:,} positions to where" in texts(fig)
    said = figure_module(REACHED).caption(tiny_run.at(step))
    assert f"{constrained - wrong:,} of {constrained:,} constrained positions of all held-out" in said
    for token, ax in enumerate(panels(fig)):
        lines = {line.get_label(): line.get_xydata() for line in ax.lines}
        answer = allowed[..., token]
        shown = sample(cache.resid_mid)
        np.testing.assert_array_equal(lines["other"], shown[~sample(answer)])
        np.testing.assert_array_equal(lines["right"], shown[sample(answer) & sample(right)])
        np.testing.assert_array_equal(lines["wrong"], cache.resid_mid[answer & ~right])
        expected = f"{(answer & right).sum()} of {answer.sum()} answers right"
        assert ax.get_title().split("\n")[1] == (expected if answer.any() else "never an answer")


def test_labels_name_typical_points_of_the_answers(tiny_run):
    cache = tiny_run.at(20).held_out
    groups = {}
    for tokens, point in zip(cache.tokens[:, :5], cache.resid_mid[:, 4], strict=True):
        evens = [token for token in tokens if token < 11 and token % 2 == 0]
        name = f"{tiny_run.vocabulary[tokens[-1]]}₄"
        name += f"→{tiny_run.vocabulary[evens[-1]]}" if tokens[-1] == 11 and evens else ""
        groups.setdefault(name, []).append(point)
    typical = {}
    for name, points in groups.items():
        away = np.linalg.norm(points - np.mean(points, axis=0), axis=1)
        typical[name] = points[away.argmin()]
    fig = figure(tiny_run.at(20), REACHED)
    for token, ax in zip(tiny_run.vocabulary, panels(fig), strict=True):
        marked = next(
            artist for artist in ax.collections
            if isinstance(artist, PathCollection) and not hasattr(artist, "texts")
        )
        assert sorted(marked.get_offsets().tolist()) == sorted(map(list, typical.values()))
        named = [text for artist in ax.collections for text in getattr(artist, "texts", ())]
        assert named == [name for name in groups if name.endswith(f"→{token}")]
    assert "typical at position 4, labelled by its answer" in texts(fig)


def test_a_line_goes_around_where_a_token_is_the_likeliest(tiny_run):
    model = tiny_run.at(20)
    fig = figure(model, EMBEDDINGS)
    found = 0
    for token, ax in enumerate(panels(fig)):
        for artist in ax.collections:
            if isinstance(artist, LineCollection) and artist.get_zorder() == 0.5:
                for start, end in artist.get_segments():
                    probs = model.landscape((0.5 * (start + end))[None])[0]
                    assert probs[token] == pytest.approx(probs.max(), rel=1e-6)
                    assert np.sort(probs)[-2] == pytest.approx(probs.max(), rel=1e-6)
                    found += 1
    assert found > 10


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
    fig, model = figure(odd_run.at(step), name), odd_run.at(step)
    if odd_run.config.model.n_embd == 2:
        assert len(panels(fig)) == len(odd_run.vocabulary)
        return
    answers = odd_run.held_out.allowed.any(axis=(0, 1)) if name == REACHED else np.ones(1)
    assert "its probabilities are given as numbers" in texts(fig)
    if name == EMBEDDINGS:
        embed = model.grid.embed
        shown = model.landscape(embed[:, embed.shape[1] // 2])
        np.testing.assert_array_equal(panels(fig)[0].images[0].get_array(), shown)
    for row, answer in enumerate(np.flatnonzero(answers) if name == REACHED else ()):
        probs = model.held_out.probs[odd_run.held_out.allowed[..., answer]]
        np.testing.assert_allclose(panels(fig)[0].images[0].get_array()[row], probs.mean(axis=0))


@pytest.mark.parametrize("name", [EMBEDDINGS, REACHED])
def test_no_text_is_clipped_or_covers_another(tiny_run, name, monkeypatch):
    with matplotlib.rc_context(RC):
        check_texts(make_figure(tiny_run.at(tiny_run.steps[-1]), name), monkeypatch, 3)


@pytest.mark.parametrize("name", [EMBEDDINGS, REACHED])
def test_no_text_is_clipped_or_covers_another_in_any_model(odd_run, name, monkeypatch):
    with matplotlib.rc_context(RC):
        check_texts(make_figure(odd_run.at(odd_run.steps[-1]), name), monkeypatch, 3)
