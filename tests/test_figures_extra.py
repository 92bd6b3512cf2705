"""The supplementary and extended figures of queries, keys and values, and the scores of all their pairs."""

from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from conftest import check_texts
from matplotlib.colors import to_rgba
from PIL import Image

from scratchformer.analysis.families import family, token_shares
from scratchformer.analysis.geometry import between_groups
from scratchformer.analysis.scores import focus, looked_for, pair_scores
from scratchformer.figures.catalogue import figure_module, figure_names
from scratchformer.figures.draw import draw_figure, make_figure
from scratchformer.figures.regions import region_colors
from scratchformer.figures.style import RC, K, Q, V, token_colors
from scratchformer.figures.words import graded
from scratchformer.run.data import judge_sequence
from scratchformer.run.model import Model

OVERVIEW, HEATMAP, EXTENDED = NAMES = [
    "supplementary/07_qkv_overview", "supplementary/09_qk_full_heatmap",
    "extended/08_qkv_transforms_extended",
]


def figure(model, name):
    with matplotlib.rc_context(RC):
        return make_figure(model, name)


def texts(fig):
    return " ".join(text.get_text() for text in fig.findobj(matplotlib.text.Text))


def panels(fig):
    return {ax.get_title(): ax for ax in fig.axes if ax.get_title()}


def markers(ax):
    """All markers of the axes: offsets (N, 2) and face colours (N, 4), sorted by offset."""
    offsets, faces = [], []
    for artist in ax.collections:
        if isinstance(artist, matplotlib.collections.PathCollection) and not hasattr(artist, "texts"):
            colors = np.atleast_2d(artist.get_facecolors())
            if len(colors):
                offsets.append(artist.get_offsets())
                faces.append(np.broadcast_to(colors, (len(artist.get_offsets()), 4)))
    offsets, faces = np.concatenate(offsets), np.concatenate(faces)
    order = np.lexsort(offsets.T)
    return np.asarray(offsets)[order], faces[order]


def by_rows(points):
    points = np.asarray(points).reshape(-1, points.shape[-1])
    return points[np.lexsort(points.T)]


@pytest.mark.parametrize("name", NAMES)
def test_found_by_listing_the_folders(name):
    assert name in figure_names()


@pytest.mark.parametrize("step", [0, 20])
def test_pair_scores_are_those_of_every_window(tiny_run, step):
    scores = pair_scores(tiny_run.at(step))
    windows = tiny_run.data.held_out_windows[:, :-1]
    seen = tiny_run.at(step).forward(windows).scores[:, 0]
    t, s = np.tril_indices(8)
    queries, keys = windows[:, t], windows[:, s]
    np.testing.assert_allclose(scores[queries, keys, t, s], seen[:, t, s], rtol=1e-9)
    pairs = np.stack([queries, keys, *np.broadcast_arrays(t, s, queries)[:2]], axis=-1).reshape(-1, 4)
    assert len(np.unique(pairs, axis=0)) > 1000


def test_pair_scores_are_products_of_queries_and_keys(odd_run):
    grid, scores = odd_run.at(4).grid, pair_scores(odd_run.at(4))
    V, H, T, D = grid.q.shape
    expected = np.einsum("atd,bsd->abts", grid.q[:, 0], grid.k[:, 0]) / np.sqrt(D)
    a, b, t, s = np.indices((V, V, T, T))
    there = (s < t) | (s == t) & (a == b)
    np.testing.assert_array_equal(np.isfinite(scores), there)
    np.testing.assert_allclose(scores[there], expected[there], rtol=1e-9, atol=1e-12 * np.abs(expected).max())


def test_pair_scores_take_little_memory(tiny_run, monkeypatch):
    sizes, forward = [], Model.forward
    monkeypatch.setattr(Model, "forward", lambda model, tokens: (
        sizes.append(len(tokens)), forward(model, tokens))[1])
    pair_scores(tiny_run.at(20))
    assert sizes == [12 * 3] * 12               # all keys at 3 bits of the position, a query at a time


@pytest.mark.parametrize("step", [0, 20])
def test_heatmap_shows_the_scores_by_token(tiny_run, step):
    scores = pair_scores(tiny_run.at(step))
    ax = figure(tiny_run.at(step), HEATMAP).axes[0]
    shown = ax.images[0].get_array()
    assert shown.shape == (96, 96)
    for a, b, t, s in np.ndindex(scores.shape):
        there = np.isfinite(scores[a, b, t, s])
        assert shown.mask[8 * a + t, 8 * b + s] != there
        assert not there or shown[8 * a + t, 8 * b + s] == scores[a, b, t, s]
    image = ax.images[0]
    assert image.norm.vmax == -image.norm.vmin == np.nanmax(np.abs(scores))
    for axis in (ax.xaxis, ax.yaxis):
        assert [label.get_text() for label in axis.get_ticklabels()] == list(tiny_run.vocabulary)
        np.testing.assert_array_equal(axis.get_ticklocs(), 8 * np.arange(12) + 3.5)
        colors = [to_rgba(label.get_color()) for label in axis.get_ticklabels()]
        np.testing.assert_allclose(np.array(colors)[:, :3], token_colors(tiny_run.vocabulary))


def test_heatmap_counts_its_means(tiny_run):
    grid = tiny_run.at(20).grid
    groups = {"even": range(0, 11, 2), "odd": range(1, 11, 2), "operator": [11]}
    words = figure_module(HEATMAP).caption(tiny_run.at(20))
    for query, asking in groups.items():
        clause = words.split(f"{query} queries score on average ")[1]
        for key, read in groups.items():
            values = [
                grid.q[a, 0, t] @ grid.k[b, 0, s] / np.sqrt(2)
                for a in asking for b in read for t in range(8) for s in range(t + 1) if s < t or a == b
            ]
            mean = np.round(np.mean(values), 2) + 0.0                       # + 0.0: no negative zero
            assert f"{mean:.2f} with {key} keys".replace("-", "−") in clause.split(" queries ")[0]
    best, _ = looked_for(tiny_run.at(20))
    assert f"+₅ prefers {best}" in texts(figure(tiny_run.at(20), HEATMAP))


def test_what_a_query_looks_for(tiny_run):
    """A family, the best token or a position, of scores made for it."""
    model = tiny_run.at(20)
    token, position = focus(model)
    assert (tiny_run.vocabulary[token], position) == ("+", 5)

    def found(scores):
        keys = np.zeros_like(model.grid.k)
        query = model.grid.q[token, 0, position]
        keys[:, 0] = scores[..., None] * query * np.sqrt(2) / (query @ query)       # q · k / √D is the score
        grid = model.grid._replace(k=keys)
        return looked_for(SimpleNamespace(
            grid=grid, vocabulary=model.vocabulary, run=model.run, config=model.config
        ))

    even = np.arange(12) % 2 == 0
    scores = np.where(even, 5.0, 0.0)[:, None] + np.zeros(8)
    scores[11] = -3
    assert found(scores) == ("even tokens", 0)
    assert found(scores + 0.1 * np.arange(8)) == ("even tokens", 1)
    assert found(scores - 0.1 * np.arange(8)) == ("even tokens", -1)
    scores[3] = 6
    assert found(scores)[0] == "3"
    assert found(np.zeros((12, 8)) + np.arange(8)) == ("position 4, the one before it", 0)
    assert found(np.zeros((12, 8)) - np.arange(8)) == ("position 0", 0)


@pytest.mark.parametrize("step", [0, 20])
def test_overview_holds_the_caches(tiny_run, step):
    params, grid = tiny_run.at(step).params, tiny_run.at(step).grid
    axes = panels(figure(tiny_run.at(step), OVERVIEW))
    assert len(axes) == 9
    for title, points in (
        ("tokens: W_token", params.W_token), ("positions: W_pos", params.W_pos),
        ("embed = token + position", grid.embed), ("q = embed · W_q", grid.q), ("k = embed · W_k", grid.k),
        ("v = embed · W_v", grid.v), ("q and k together", np.concatenate([grid.q, grid.k])),
    ):
        assert axes[title].get_aspect() == 1
        np.testing.assert_allclose(markers(axes[title])[0], by_rows(points), rtol=1e-12)
    for title, color in (("q = embed · W_q", Q), ("k = embed · W_k", K), ("v = embed · W_v", V)):
        assert (markers(axes[title])[1] == to_rgba(color)).all()
    windows = tiny_run.data.held_out_windows
    windows = windows[:: -(-len(windows) // 200)]
    cache = tiny_run.at(step).forward(windows[:, :-1])
    shades = region_colors(tiny_run.at(step))
    colors = np.array([(*shades[token], 1) for token in range(12)])
    expected = np.tile(to_rgba("#c4c4c4"), (*cache.tokens.shape, 1))
    for n, t in np.ndindex(cache.tokens.shape):
        past = cache.tokens[n, : t + 1]
        evens = past[(past < 11) & (past % 2 == 0)]
        if past[-1] == 11 and len(evens):
            expected[n, t] = colors[evens[-1]]
    for title, points in (
        ("attn_out: attention · v", cache.attn_out), ("resid_mid = embed + attn_out", cache.resid_mid),
    ):
        offsets, faces = markers(axes[title])
        np.testing.assert_allclose(offsets, by_rows(points), rtol=1e-12)
        assert sorted(map(tuple, np.round(np.column_stack([offsets, faces]), 9))) == sorted(
            map(tuple, np.round(np.column_stack([points.reshape(-1, 2), expected.reshape(-1, 4)]), 9))
        )


def test_overview_counts_the_variance_between_answers(tiny_run):
    windows = tiny_run.data.held_out_windows
    cache = tiny_run.at(20).forward(windows[:, :-1])
    answers, where = [], []
    for n, window in enumerate(windows):
        verdict = judge_sequence(tiny_run.rule, tiny_run.data.vocabulary, window, len(window))
        for t in np.flatnonzero(verdict[1:] >= 0):
            answers.append(next(w for w in window[t::-1] if w < 11 and w % 2 == 0))
            where.append((n, t))
    answers, where = np.array(answers), tuple(np.array(where).T)
    shown, shares = texts(figure(tiny_run.at(20), OVERVIEW)), {}
    for name in ("embed", "attn_out", "resid_mid"):
        points = getattr(cache, name)[where]
        left = sum(
            points[answers == answer].var(axis=0).sum() * (answers == answer).sum()
            for answer in set(answers)
        )
        shares[name] = f"{1 - left / (points.var(axis=0).sum() * len(points)):.0%}"
        assert f"{name} {shares[name]}" in figure_module(OVERVIEW).caption(tiny_run.at(20))
    much = graded(float(shares["attn_out"].strip("%")) / 100)
    assert f"the answer decides {much} of where it lies" in shown
    assert f"at {len(answers):,} positions" in figure_module(OVERVIEW).caption(tiny_run.at(20))


def test_overview_names_the_colours_of_the_answers(tiny_run):
    (legend,) = [
        each for each in figure(tiny_run.at(20), OVERVIEW).legends if each.texts[0].get_text() == "answer:"
    ]
    answers = {
        next(w for w in window[t::-1] if w < 11 and w % 2 == 0)
        for window in tiny_run.data.held_out_windows
        for t in np.flatnonzero(judge_sequence(tiny_run.rule, tiny_run.data.vocabulary, window, 9)[1:] >= 0)
    }
    shown = [tiny_run.vocabulary[answer] for answer in sorted(answers)]
    assert [text.get_text() for text in legend.texts[1:]] == [*shown, "no single one"] and len(shown) > 3
    colors = [region_colors(tiny_run.at(20))[answer] for answer in sorted(answers)]
    np.testing.assert_allclose([handle.get_color() for handle in legend.legend_handles[1:-1]], colors)


def test_variance_between_groups():
    points, groups = np.array([[0.0, 1], [0, 1], [4, 1], [4, 1]]), np.array([2, 2, 5, 5])
    assert between_groups(points, groups) == 1 and between_groups(points, np.array([2, 5, 2, 5])) == 0
    assert between_groups(points[:2], groups[:2]) == 0


@pytest.mark.parametrize("step", [0, 20])
def test_extended_shows_every_dimension(tiny_run, step):
    grid = tiny_run.at(step).grid
    fig = figure(tiny_run.at(step), EXTENDED)
    axes = panels(fig)
    caption = figure_module(EXTENDED).caption(tiny_run.at(step))
    for name in "qkv":
        values = getattr(grid, name)[:, 0]
        embed_share = []
        for d in range(2):
            (title,) = (text for text in axes if text.startswith(f"{name} {d}: "))
            image = axes[title].images[0]
            np.testing.assert_array_equal(image.get_array(), values[..., d])
            assert image.norm.vmax == -image.norm.vmin == np.abs(values[..., d]).max()
            parts = [np.ptp(values[..., d] - values[..., d].mean(axis=1, keepdims=True), axis=0)]
            np.testing.assert_allclose(parts, 0, atol=1e-12)
            token, position = values[..., d].mean(axis=1).var(), values[..., d].mean(axis=0).var()
            embed_share.append(f"{token / (token + position):.0%}")
            assert f"{embed_share[-1]} token" in title
            written = [text for artist in axes[title].collections for text in getattr(artist, "texts", ())]
            if written:
                numbers = [float(text.replace("−", "-")) for text in written]
                np.testing.assert_allclose(numbers, values[..., d].ravel(), atol=0.051)
        assert f"{name} {', '.join(embed_share)}" in caption
    bars = [ax.get_ylabel() for ax in fig.axes if ax.get_ylabel().startswith("value")]
    assert len(bars) == 7 and bars.count("value, all three") == 1


def test_extended_begins_like_figure_08(tiny_run):
    standard, extended = (panels(figure(tiny_run.at(20), name)) for name in ("08_qkv_transforms", EXTENDED))
    assert len(standard) == 7
    for title, ax in standard.items():
        if ax.images:
            np.testing.assert_array_equal(ax.images[0].get_array(), extended[title].images[0].get_array())
        else:
            np.testing.assert_array_equal(markers(ax)[0], markers(extended[title])[0])


def test_shares_of_token_and_position():
    token, position = np.array([[0.0], [2.0]]), np.array([[0.0, 0.0, 6.0]])
    vectors = np.stack([token + 0 * position, 0 * token + position, 0 * (token + position)], axis=-1)
    np.testing.assert_array_equal(token_shares(vectors), [1, 0, 0])


def test_heads_dimensions_and_answers_of_odd_models(odd_run):
    several = odd_run.config.model.num_heads == 2
    for name in NAMES:
        assert ("head 1 of 2" in figure(odd_run.at(4), name).texts[0].get_text()) == several
    plain = not any(family(token) == "operator" for token in odd_run.vocabulary)
    assert ("in no held-out window" in figure_module(OVERVIEW).caption(odd_run.at(4))) == (
        plain or odd_run.config.model.block_size == 1
    )


@pytest.mark.parametrize("step", [0, 20])
@pytest.mark.parametrize("name", NAMES)
def test_texts_keep_apart(tiny_run, name, step, monkeypatch):
    with matplotlib.rc_context(RC):
        check_texts(make_figure(tiny_run.at(step), name), monkeypatch, 27)


@pytest.mark.parametrize("name", NAMES)
def test_texts_keep_apart_in_odd_models(odd_run, name, monkeypatch):
    with matplotlib.rc_context(RC):
        check_texts(make_figure(odd_run.at(4), name), monkeypatch, 8)


@pytest.mark.parametrize("step", [0, 4])
@pytest.mark.parametrize("name", NAMES)
def test_draws_every_model_and_says_what_is_seen(odd_run, name, step, tmp_path):
    draw_figure(odd_run.at(step), name, tmp_path, dpi=40)
    with Image.open(tmp_path / f"{name}.png") as image:
        assert image.size[0] == 400
    words = figure_module(name).caption(odd_run.at(step))
    assert 60 <= len(words.split()) <= 130 and "\n" not in words and "nan" not in words
