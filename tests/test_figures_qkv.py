"""The figures of queries, keys and values: their artists hold what the caches hold by name."""

import re
from collections import Counter

import matplotlib
import numpy as np
import pytest
from conftest import SHORT, check_texts, train_run
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgba
from PIL import Image

from scratchformer.analysis.attention import attention_shares
from scratchformer.analysis.families import family
from scratchformer.analysis.followed import at_position
from scratchformer.analysis.scores import focus, focus_shares
from scratchformer.figures.catalogue import figure_module
from scratchformer.figures.draw import draw_figure, make_figure
from scratchformer.figures.insets import border, crowds, enlarge
from scratchformer.figures.labels import sharing
from scratchformer.figures.qk import label_pairs, thin_out
from scratchformer.figures.style import GREY, RC, K, Q, V, token_colors
from scratchformer.run.data import judge_sequence
from scratchformer.run.run import Run

NAMES = ["08_qkv_transforms", "09_qk_space", "10_qk_space_focus"]


def figure(model, name):
    with matplotlib.rc_context(RC):
        return make_figure(model, name)


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
    fig = figure(tiny_run.at(step), NAMES[0])
    params, grid = tiny_run.at(step).params, tiny_run.at(step).grid
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
        named = ",".join(labels(ax)).replace("odd", "1,3,5,7,9").replace("even", "0,2,4,6,8,10")
        assert sorted(named.split(",")) == sorted(tiny_run.vocabulary)
        lines = next(artist for artist in ax.collections if isinstance(artist, LineCollection))
        np.testing.assert_array_equal(lines.get_segments(), points)
    names = ("W_q", "W_k", "W_v")
    ratios = [np.divide(*np.linalg.svd(getattr(params, name)[:, 0])[1][::-1]) for name in names]
    flat = [name for name, ratio in zip(names, ratios, strict=True) if ratio < 0.15]
    assert (" and ".join(flat) + " nearly flatten" in texts(fig)) == (len(flat) > 0)
    assert (f"to {min(ratios):.0%} of its width" in texts(fig)) == (not flat)


@pytest.mark.parametrize("step", [0, 20])
def test_space_holds_every_query_and_key(tiny_run, step):
    fig = figure(tiny_run.at(step), NAMES[1])
    grid, ax = tiny_run.at(step).grid, fig.axes[0]
    np.testing.assert_array_equal(markers(ax, [Q]), by_rows(grid.q))
    np.testing.assert_array_equal(markers(ax, [K]), by_rows(grid.k))
    assert ax.get_aspect() == 1 and contains(ax, grid.q) and contains(ax, grid.k) and contains(ax, [0, 0])
    split = [pair for axes in fig.axes for label in labels(axes) for pair in pairs(label)]
    expected = [(token, at_position("", t)) for token in tiny_run.vocabulary for t in range(8)] * 2
    assert len(split) > 0.5 * len(expected) and not Counter(split) - Counter(expected)


def pairs(label):
    """The tokens and the position of a label such as {1,3}₇ or 1₇."""
    whole = {"odd": "1,3,5,7,9", "even": "0,2,4,6,8,10"}.get(label[:-1], label[:-1])
    return [(token, label[-1]) for token in whole.strip("{}").split(",")]


def test_tokens_share_a_label():
    among = ["0", "1", "2", "3", "5"]
    assert sharing(["1", "3", "5"], 2, among) == "odd₂" and sharing(["1", "3", "5"], None, among) == "odd"
    assert sharing(["0", "2"], 2, among) == "{0,2}₂" and sharing(["1", "3"], 2, among) == "{1,3}₂"
    assert sharing(["8"], 7) == "8₇" and sharing(["1", "3"], 12) == "{1,3}₁₂" and sharing(["1", "3"]) == "1,3"


def crowded_axes(points):
    ax = matplotlib.figure.Figure((5, 5)).add_axes((0, 0, 1, 1), xlim=(0, 360), ylim=(0, 360))
    return ax, enlarge(ax, points)


def test_a_crowd_is_enlarged_where_the_plane_is_empty():
    crowd = np.column_stack([np.linspace(300, 330, 16), np.linspace(40, 60, 16)])
    points = np.concatenate([crowd, [[20.0, 340.0]]])
    ax, insets = crowded_axes(points)
    ((new, inside),) = insets
    assert inside.tolist() == list(range(16)) and contains(new, crowd) and not contains(new, points[-1])
    zoom = new.bbox.size / (np.ptp(new.get_xlim()), np.ptp(new.get_ylim())) * 72 / ax.figure.dpi
    assert zoom[0] == pytest.approx(zoom[1]) and zoom[0] >= 2
    assert new.get_title() == f"enlarged {zoom[0]:.3g} times"
    shown = ax.transData.transform(points)
    assert not any(new.bbox.contains(*point) for point in shown)
    assert (new.bbox.min >= ax.bbox.min).all() and (new.bbox.max <= ax.bbox.max).all()
    frame, _ = next(a for a in ax.collections if isinstance(a, LineCollection)).get_segments()
    np.testing.assert_allclose(frame[0], [new.get_xlim()[0], new.get_ylim()[0]])
    edges = ax.transData.transform(border(ax, insets))
    assert (edges.min(axis=0) <= new.bbox.min + 1e-6).all() and (edges.max(axis=0) >= new.bbox.max - 20).all()


def test_no_crowd_or_no_room_no_enlargement():
    row = np.column_stack([np.linspace(10, 350, 11), np.full(11, 180.0)])
    assert crowded_axes(row)[1] == []
    full = np.stack(np.meshgrid(np.arange(5.0, 360, 15), np.arange(5.0, 360, 15)), axis=-1).reshape(-1, 2)
    assert crowded_axes(full)[1] == [] and len(border(crowded_axes(row)[0], [])) == 0


def test_crowds_are_points_that_are_linked():
    chain = np.column_stack([np.arange(12) * 15.0, np.zeros(12)])
    dense = np.column_stack([np.arange(13) * 2.0, np.full(13, 300.0)])
    found = crowds(np.concatenate([chain, dense, [[500.0, 500.0]]]))
    assert [crowd.tolist() for crowd in found] == [list(range(12, 25)), list(range(12))]
    assert crowds(chain[:11]) == []


def test_chosen_points_have_a_label_of_their_own():
    ax = matplotlib.figure.Figure((4, 4)).add_axes((0, 0, 1, 1), xlim=(0, 288), ylim=(0, 288))
    points = np.array([[100.0, 100], [101, 100], [102, 100]])
    label_pairs(ax, points, ["1", "3", "5"], [2, 2, 2], [K] * 3, 8, 3, points, {1})
    assert sorted(labels(ax)) == ["3₂", "{1,5}₂"]


def test_labels_are_thinned_only_in_a_crowd():
    places = np.array([[0.0, 0], [1, 0], [2, 0], [3, 0], [100, 0]])
    assert thin_out(places, most=2) == [0, 1, 4]
    assert thin_out(places, most=4) == [0, 1, 2, 3, 4]


def test_space_counts_the_attention_at_constrained_positions(tiny_run):
    windows = tiny_run.data.held_out_windows
    attention = tiny_run.at(20).forward(windows[:, :-1]).attention
    sums, positions = {"even": 0.0, "odd": 0.0, "operator": 0.0}, 0
    for n, window in enumerate(windows):
        verdict = judge_sequence(tiny_run.rule, tiny_run.data.vocabulary, window, len(window))
        for t in np.flatnonzero(verdict[1:] >= 0):
            positions += 1
            for s in range(t + 1):
                sums[family(tiny_run.vocabulary[window[s]])] += attention[n, 0, t, s]
    said = figure_module(NAMES[1]).caption(tiny_run.at(20))
    assert f"the {positions:,} constrained positions" in said
    for name, total in sums.items():
        assert re.search(rf"{total / positions:.1%} \([0-9.]+%\) to {name} keys", said)


@pytest.mark.parametrize("step", [0, 20])
def test_focus_shows_the_scores_of_one_query(tiny_run, step):
    fig = figure(tiny_run.at(step), NAMES[2])
    grid, ax = tiny_run.at(step).grid, fig.axes[0]
    np.testing.assert_array_equal(markers(ax, [Q]), grid.q[11, 0, 5][None])
    own = grid.k[11:, 0, 5]
    met = np.concatenate([grid.k[:, 0, :5].reshape(-1, 2), own])
    others = np.concatenate([grid.k[:11, 0, 5], grid.k[:, 0, 6:].reshape(-1, 2)])
    np.testing.assert_array_equal(markers(ax, [K]), by_rows(met))
    np.testing.assert_array_equal(markers(ax, [GREY]), by_rows(others))
    assert ax.get_aspect() == 1 and contains(ax, grid.k) and contains(ax, [0, 0])
    named = [label for axes in fig.axes for label in labels(axes)]
    assert at_position("+", 5) in labels(ax) and not any(label[-1] in "₆₇" for label in named)
    assert {label for label in named if label[-1] == "₅"} == {"+₅"}
    ladder = next(axes for axes in fig.axes if axes.get_xlabel() == "position of the key")
    lines = [line for line in ladder.lines if line.get_marker() not in ("None", "", None)]
    for line, i in zip(lines, range(12), strict=True):
        where = np.arange(6 if i == 11 else 5)
        np.testing.assert_array_equal(line.get_xdata(), where)
        np.testing.assert_allclose(line.get_ydata(), grid.k[i, 0, where] @ grid.q[11, 0, 5] / np.sqrt(2))
    scores = {
        at_position(token, t): grid.q[11, 0, 5] @ grid.k[i, 0, t]
        for i, token in enumerate(tiny_run.vocabulary) for t in range(6) if t < 5 or i == 11
    }
    for best in sorted(scores, key=scores.get)[-3:]:
        assert best in named
    for new in fig.axes[1:]:
        if new.images and new.get_title().startswith("enlarged"):
            assert new.images[0].norm.vmax == ax.images[0].norm.vmax
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
    attention = tiny_run.at(20).forward(windows).attention[:, 0, 5]
    even = np.mean([row[(window % 2 == 0) & (window < 11)].sum() for row, window in zip(attention, windows)])
    shown = figure_module(NAMES[2]).caption(tiny_run.at(20))
    assert len(windows) > 1
    assert f"the {len(windows):,} held-out windows where it stands and the rule says" in shown
    assert f"{even:.1%} to even keys" in shown


def test_focus_leaves_out_windows_without_an_answer(tiny_run):
    run = Run.open(tiny_run.folder)
    cache, where = run.at(20).held_out, np.flatnonzero(run.held_out.tokens[:, 5] == 11)
    even = np.array([family(token) == "even" for token in run.vocabulary])
    reading = (cache.attention[:, 0, 5] * even[cache.tokens]).sum(axis=-1)
    run.held_out = run.held_out._replace(allowed=run.held_out.allowed.copy())
    for left in (where, where[10:], where[:0]):
        run.held_out.allowed[np.setdiff1d(where, left), 5] = False
        counted = left if len(left) else where
        shares, windows, constrained = focus_shares(run.at(20))
        assert (windows, constrained) == (len(counted), len(left) > 0)
        assert shares["even"] == pytest.approx(reading[counted].mean())
        shown = figure_module(NAMES[2]).caption(run.at(20))
        assert f"the {windows:,} held-out windows where it stands" in shown
        assert ("the rule says what comes next" in shown) == constrained


def test_focus_takes_the_token_after_which_the_rule_speaks(tiny_run, tmp_path):
    assert focus(tiny_run.last) == (11, 5)
    lucky = train_run(tmp_path / "lucky7", *SHORT, "training.warmup_steps=0", config="lucky7")
    assert focus(lucky.last) == (7, 5)
    lucky.held_out = lucky.held_out._replace(allowed=np.zeros_like(lucky.held_out.allowed))
    assert focus(lucky.last) == (10, 5)                      # where it says nothing, the last token


def test_shares_add_up(tiny_run):
    cache = tiny_run.at(20).forward(tiny_run.data.held_out_windows[:, :-1])
    chosen, read = cache.tokens == 11, (cache.attention[:, 0], cache.tokens)
    assert sum(attention_shares(*read, tiny_run.vocabulary, chosen).values()) == pytest.approx(1)
    assert attention_shares(*read, tiny_run.vocabulary, chosen & False) == {}


def test_more_dimensions_say_what_is_left_out(odd_run):
    ax = figure(odd_run.at(4), NAMES[2]).axes[0]
    flat = odd_run.at(4).grid.q.shape[-1] <= 2
    assert len(ax.images) == flat and ax.get_title().startswith("No scores") != flat
    for name in NAMES:
        title = figure(odd_run.at(4), name).texts[0].get_text()
        assert ("head 1 of 2" in title) == (odd_run.config.model.num_heads == 2)


@pytest.mark.parametrize("step", [0, 20])
@pytest.mark.parametrize("name", NAMES)
def test_texts_keep_apart(tiny_run, name, step, monkeypatch):
    with matplotlib.rc_context(RC):
        check_texts(make_figure(tiny_run.at(step), name), monkeypatch, 11)


@pytest.mark.parametrize("name", NAMES)
def test_texts_keep_apart_in_odd_models(odd_run, name, monkeypatch):
    with matplotlib.rc_context(RC):
        check_texts(make_figure(odd_run.at(4), name), monkeypatch, 11)


@pytest.mark.parametrize("step", [0, 4])
@pytest.mark.parametrize("name", NAMES)
def test_draws_every_model(odd_run, name, step, tmp_path):
    draw_figure(odd_run.at(step), name, tmp_path, dpi=40)
    with Image.open(tmp_path / f"{name}.png") as image:
        assert image.size[0] == 400
