"""The figures of queries, keys and values: their artists hold what the caches hold by name."""

from collections import Counter

import matplotlib
import numpy as np
import pytest
from conftest import check_texts
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgba
from PIL import Image

from figures.draw import draw_figure, make_figure
from figures.f10_qk_space_focus import focus
from figures.labels import at_position
from figures.qk import attention_shares, thin_out
from figures.style import GREY, RC, K, Q, V, family, token_colors
from scratchformer.data import judge_sequence

NAMES = ["08_qkv_transforms", "09_qk_space", "10_qk_space_focus"]


def figure(run, step, name):
    with matplotlib.rc_context(RC):
        return make_figure(run, step, name)


def texts(fig):
    return " ".join(text.get_text() for text in fig.findobj(matplotlib.text.Text))


def labels(ax):
    return [text for artist in ax.collections if hasattr(artist, "texts") for text in artist.texts]


def markers(ax, colors):
    """Offsets of the filled markers of any of these colours, sorted."""
    found = [np.empty((0, 2))]
    wanted = {to_rgba(color) for color in colors}
    for artist in ax.collections:
        if isinstance(artist, PathCollection) and not hasattr(artist, "texts"):
            faces = np.atleast_2d(artist.get_facecolors())
            faces = np.broadcast_to(faces, (len(artist.get_offsets()), 4)) if len(faces) else []
            found += [
                offset[None] for offset, face in zip(artist.get_offsets(), faces) if tuple(face) in wanted
            ]
    return by_rows(np.concatenate(found))


def by_rows(points):
    points = np.asarray(points, float).reshape(-1, 2)
    return points[np.lexsort(points.T)]


def contains(ax, points):
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    x, y = np.asarray(points).reshape(-1, 2).T
    return ((left < x) & (x < right) & (low < y) & (y < high)).all()


@pytest.mark.parametrize("step", [0, 20])
def test_transforms_are_the_parameters_and_the_grid(tiny_run, step):
    fig = figure(tiny_run, step, NAMES[0])
    params, grid = tiny_run.params(step), tiny_run.grid(step)
    images = {ax.get_title().split()[0]: ax.images[0] for ax in fig.axes if ax.images and ax.get_title()}
    for name in ("W_q", "W_k", "W_v"):
        values = getattr(params, name)[:, 0]
        np.testing.assert_array_equal(images[name].get_array(), values)
        written = [float(text.replace("−", "-")) for text in labels(images[name].axes)]
        np.testing.assert_allclose(written, values.ravel(), atol=0.0051)
    planes = {ax.get_title().split()[0]: ax for ax in fig.axes if ax.get_xlabel()}
    for name, points, colors in (
        ("embed", grid.embed, token_colors(tiny_run.vocabulary)),
        ("q", grid.q[:, 0], [Q]), ("k", grid.k[:, 0], [K]), ("v", grid.v[:, 0], [V]),
    ):
        ax = planes[name]
        np.testing.assert_array_equal(markers(ax, colors), by_rows(points))
        assert ax.get_aspect() == 1 and contains(ax, points)
        assert sorted(",".join(labels(ax)).split(",")) == sorted(tiny_run.vocabulary)
        lines = next(artist for artist in ax.collections if isinstance(artist, LineCollection))
        np.testing.assert_array_equal(lines.get_segments(), points)
    even, odd = (grid.k[[family(t) == name for t in tiny_run.vocabulary], 0] for name in ("even", "odd"))
    apart = np.linalg.norm(even.mean(axis=(0, 1)) - odd.mean(axis=(0, 1)))
    assert f", k {apart:.2f}" in texts(fig).split("even–odd")[1].split("\n")[0]


@pytest.mark.parametrize("step", [0, 20])
def test_space_holds_every_query_and_key(tiny_run, step):
    fig = figure(tiny_run, step, NAMES[1])
    grid, ax = tiny_run.grid(step), fig.axes[0]
    np.testing.assert_array_equal(markers(ax, [Q]), by_rows(grid.q))
    np.testing.assert_array_equal(markers(ax, [K]), by_rows(grid.k))
    assert ax.get_aspect() == 1 and contains(ax, grid.q) and contains(ax, grid.k) and contains(ax, [0, 0])
    named = [at_position("", t) for t in range(8)]
    split = [(token, label[-1]) for label in labels(ax) for token in label[:-1].split(",")]
    expected = [(token, t) for token in tiny_run.vocabulary for t in named] * 2
    assert len(split) > 0.5 * len(expected) and not Counter(split) - Counter(expected)


def test_labels_are_thinned_only_in_a_crowd():
    places = np.array([[0.0, 0], [1, 0], [2, 0], [3, 0], [100, 0]])
    assert thin_out(places, most=2) == [0, 1, 4]
    assert thin_out(places, most=4) == [0, 1, 2, 3, 4]


def test_space_counts_the_attention_at_constrained_positions(tiny_run):
    windows = tiny_run.data.held_out_windows
    attention = tiny_run.forward(20, windows[:, :-1]).attention
    sums, positions = {"even": 0.0, "odd": 0.0, "operator": 0.0}, 0
    for n, window in enumerate(windows):
        verdict = judge_sequence(tiny_run.rule, tiny_run.data.vocabulary, window, len(window))
        for t in np.flatnonzero(verdict[1:] >= 0):
            positions += 1
            for s in range(t + 1):
                sums[family(tiny_run.vocabulary[window[s]])] += attention[n, 0, t, s]
    shown = texts(figure(tiny_run, 20, NAMES[1]))
    assert f"the {positions:,} constrained positions" in shown
    for name, total in sums.items():
        assert f"{total / positions:.1%} to {name} keys" in shown


@pytest.mark.parametrize("step", [0, 20])
def test_focus_shows_the_scores_of_one_query(tiny_run, step):
    fig = figure(tiny_run, step, NAMES[2])
    grid, ax = tiny_run.grid(step), fig.axes[0]
    np.testing.assert_array_equal(markers(ax, [Q]), grid.q[11, 0, 5][None])
    np.testing.assert_array_equal(markers(ax, [K]), by_rows(grid.k[:, 0, :6]))
    np.testing.assert_array_equal(markers(ax, [GREY]), by_rows(grid.k[:, 0, 6:]))
    assert ax.get_aspect() == 1 and contains(ax, grid.k) and contains(ax, [0, 0])
    assert at_position("+", 5) in labels(ax) and not any(label[-1] in "₆₇" for label in labels(ax))
    image = ax.images[0]
    assert image.norm.vmin == -image.norm.vmax < 0
    left, right, low, high = image.get_extent()
    assert (left, right, low, high) == (*ax.get_xlim(), *ax.get_ylim())
    shown = np.asarray(image.get_array())
    rows, columns = shown.shape
    for s in range(8):
        x, y = grid.k[11, 0, s]
        column, row = int((x - left) / (right - left) * columns), int((y - low) / (high - low) * rows)
        within = np.abs(np.diff(shown, axis=0)).max() + np.abs(np.diff(shown, axis=1)).max()
        assert abs(shown[row, column] - grid.scores[11, 0, 5, s]) <= within


def test_focus_counts_the_attention_of_its_windows(tiny_run):
    windows = tiny_run.data.held_out_windows[:, :-1]
    windows = windows[windows[:, 5] == 11]
    attention = tiny_run.forward(20, windows).attention[:, 0, 5]
    even = np.mean([row[(window % 2 == 0) & (window < 11)].sum() for row, window in zip(attention, windows)])
    shown = texts(figure(tiny_run, 20, NAMES[2]))
    assert len(windows) > 1 and f"the {len(windows):,} held-out windows with + at position 5" in shown
    assert f"{even:.1%} to even keys" in shown


def test_focus_takes_an_operator_or_else_the_last_token():
    assert focus(("0", "1", "+", "-"), 8) == (2, 5)
    assert focus(("0", "1", "2"), 3) == (2, 2)


def test_shares_add_up(tiny_run):
    cache = tiny_run.forward(20, tiny_run.data.held_out_windows[:, :-1])
    chosen = cache.tokens == 11
    assert sum(attention_shares(cache, tiny_run.vocabulary, chosen).values()) == pytest.approx(1)
    assert attention_shares(cache, tiny_run.vocabulary, chosen & False) == {}


def test_more_dimensions_say_what_is_left_out(odd_run):
    ax = figure(odd_run, 4, NAMES[2]).axes[0]
    flat = odd_run.grid(4).q.shape[-1] <= 2
    assert len(ax.images) == flat and ax.get_title().startswith("No scores") != flat
    for name in NAMES:
        title = figure(odd_run, 4, name).texts[0].get_text()
        assert ("head 1 of 2" in title) == (odd_run.config.model.num_heads == 2)


@pytest.mark.parametrize("step", [0, 20])
@pytest.mark.parametrize("name", NAMES)
def test_texts_keep_apart(tiny_run, name, step, monkeypatch):
    with matplotlib.rc_context(RC):
        check_texts(make_figure(tiny_run, step, name), monkeypatch, 11)


@pytest.mark.parametrize("name", NAMES)
def test_texts_keep_apart_in_odd_models(odd_run, name, monkeypatch):
    with matplotlib.rc_context(RC):
        check_texts(make_figure(odd_run, 4, name), monkeypatch, 11)


@pytest.mark.parametrize("step", [0, 4])
@pytest.mark.parametrize("name", NAMES)
def test_draws_every_model(odd_run, name, step, tmp_path):
    draw_figure(odd_run, step, name, tmp_path, dpi=40)
    with Image.open(tmp_path / f"{name}.png") as image:
        assert image.size[0] == 400
