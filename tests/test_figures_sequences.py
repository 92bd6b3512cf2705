"""The figures that follow single sequences: what they show is what the caches hold."""

import warnings

import matplotlib
import numpy as np
import pytest
from conftest import ODD, SHORT, check_texts, train_run
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.quiver import Quiver
from PIL import Image

from scratchformer.analysis.followed import follow_all, prediction_verdicts
from scratchformer.figures.catalogue import figure_module
from scratchformer.figures.draw import draw_figure, make_figure
from scratchformer.figures.style import LINES, RC, K, Q, V
from scratchformer.figures.words import graded
from scratchformer.run.data import allowed_next

NAMES = ["12_sequence_embeddings", "13_qk_attention", "14_value_output", "15_residuals"]


def figure(model, number):
    with matplotlib.rc_context(RC):
        return make_figure(model, NAMES[number - 12])


def texts(fig):
    return [text.get_text() for text in fig.findobj(matplotlib.text.Text)]


def named(fig, title):
    """Panels of that title, top to bottom."""
    return [ax for ax in fig.axes if ax.get_title() == title]


def images(fig, title):
    found = [image.get_array() for ax in named(fig, title) for image in ax.images]
    return [values for values in found if values.ndim == 2]


def points(ax, color):
    """Offsets of the filled markers of one colour."""
    return np.concatenate([
        artist.get_offsets() for artist in ax.collections
        if isinstance(artist, PathCollection) and not hasattr(artist, "texts")
        and len(artist.get_facecolors()) == 1 and tuple(artist.get_facecolors()[0][:3]) == to_rgb(color)
    ])


def written(ax):
    return {text for artist in ax.collections if hasattr(artist, "texts") for text in artist.texts}


def check_attention(shown, cache):
    """The first head's attention to keys that are not in the future; those are blank."""
    np.testing.assert_array_equal(shown.mask, np.triu(np.ones(shown.shape), 1))
    np.testing.assert_array_equal(shown.compressed(), cache.attention[0, 0][~shown.mask])


@pytest.mark.parametrize("step", [0, 20])
def test_sequence_among_the_embeddings(tiny_run, step):
    fig = figure(tiny_run.at(step), 12)
    params, (demo, *_) = tiny_run.at(step).params, follow_all(tiny_run.at(step))
    cache = demo.cache
    for title, values in (
        ("token embeddings", params.W_token), ("position embeddings", params.W_pos),
        ("token + position, dim 0", tiny_run.at(step).grid.embed[:, :, 0]),
        ("the sequence's sums", cache.embed[0]),
    ):
        np.testing.assert_array_equal(images(fig, title)[0], values)
    (plane,) = named(fig, "the sequence among all sums, joined in order")
    np.testing.assert_array_equal(plane.lines[-1].get_xydata(), cache.embed[0])
    assert written(plane) == set(demo.labels)
    operator = np.array([word == "+" for word in demo.words])
    embed = cache.embed[0]
    apart = np.mean([np.linalg.norm(a - b) for a in embed[operator] for b in embed[~operator]])
    assert f"operators from its numbers {apart:.3g}" in figure_module(NAMES[0]).caption(tiny_run.at(step))


def test_framed_cells_are_the_sequences(tiny_run):
    (ax,) = named(figure(tiny_run.at(20), 12), "token + position, dim 0")
    frames = next(artist for artist in ax.collections if not hasattr(artist, "texts"))
    corners = {(int(p.vertices[0, 0] + 0.5), int(p.vertices[0, 1] + 0.5)) for p in frames.get_paths()}
    assert corners == set(enumerate(tiny_run.demos[0].tolist()))


@pytest.mark.parametrize("step", [0, 20])
def test_queries_keys_and_attention(tiny_run, step):
    fig = figure(tiny_run.at(step), 13)
    grid = tiny_run.at(step).grid
    for row, demo in enumerate(follow_all(tiny_run.at(step))):
        cache = demo.cache
        np.testing.assert_array_equal(images(fig, "query q")[row], cache.q[0, 0])
        np.testing.assert_array_equal(images(fig, "key k")[row], cache.k[0, 0])
        check_attention(images(fig, "attention")[row], cache)
        scores = images(fig, "scores q·k/√D, masked")[row]
        np.testing.assert_array_equal(scores.mask, np.triu(np.ones(scores.shape), 1))
        np.testing.assert_array_equal(scores.compressed(), cache.scores[0, 0][~scores.mask])
        ticks = [tick.get_text() for tick in named(fig, "attention")[row].get_xticklabels()]
        assert ticks == demo.words
        plane = named(fig, "queries and keys")[row]
        np.testing.assert_array_equal(points(plane, Q), cache.q[0, 0])
        np.testing.assert_array_equal(points(plane, K), cache.k[0, 0])
        back = plane.collections[0].get_offsets()
        np.testing.assert_array_equal(back, np.concatenate([grid.q.reshape(-1, 2), grid.k.reshape(-1, 2)]))
        assert plane.get_aspect() == 1


@pytest.mark.parametrize("step", [0, 20])
def test_values_and_their_mixture(tiny_run, step):
    fig = figure(tiny_run.at(step), 14)
    mixed_planes = [ax for ax in named(fig, "mixed") if not ax.images]
    for row, demo in enumerate(follow_all(tiny_run.at(step))):
        cache = demo.cache
        check_attention(images(fig, "attention")[row], cache)
        np.testing.assert_array_equal(images(fig, "value v")[row], cache.v[0, 0])
        np.testing.assert_array_equal(images(fig, "mixed")[row], cache.mixed[0, 0])
        np.testing.assert_array_equal(points(named(fig, "values")[row], V), cache.v[0, 0])
        np.testing.assert_array_equal(mixed_planes[row].collections[1].get_offsets(), cache.mixed[0, 0])
        (rings,) = [
            artist.get_offsets() for artist in mixed_planes[row].collections
            if isinstance(artist, PathCollection) and not len(artist.get_facecolors())
        ]
        np.testing.assert_array_equal(rings, cache.mixed[0, 0][demo.state >= 0])


@pytest.mark.parametrize("step", [0, 20])
def test_the_residual_stream(tiny_run, step):
    fig = figure(tiny_run.at(step), 15)
    for row, demo in enumerate(follow_all(tiny_run.at(step))):
        cache = demo.cache
        for name in ("embed", "attn_out", "resid_mid"):
            values = getattr(cache, name)[0]
            np.testing.assert_array_equal(images(fig, name)[row], values)
            plane = [ax for ax in named(fig, name) if ax.get_aspect() == 1][row]
            drawn = np.concatenate([
                artist.get_offsets() for artist in plane.collections[name == "embed":]
                if isinstance(artist, PathCollection) and not hasattr(artist, "texts")
            ])
            assert sorted(drawn.tolist()) == sorted(values.tolist())
        shown = sum((named(fig, name) for name in ("embed", "attn_out", "resid_mid")), [])
        wide = [np.ptp(ax.get_xlim()) for ax in shown if ax.get_aspect() == 1]
        np.testing.assert_allclose(wide, wide[0])
        plane = named(fig, "embed → resid_mid")[row]
        (arrows,) = [artist for artist in plane.collections if isinstance(artist, Quiver)]
        state, order = demo.state, np.argsort(demo.state, kind="stable")            # the judged ones in front
        np.testing.assert_array_equal(arrows.get_offsets(), cache.embed[0][order])
        np.testing.assert_allclose(
            np.column_stack([arrows.U, arrows.V]), (cache.resid_mid[0] - cache.embed[0])[order], atol=1e-6
        )
        np.testing.assert_allclose(
            arrows.get_facecolors()[:, :3], [to_rgb(LINES[int(entry)]) for entry in state[order]]
        )
        assert sum("✓" in text for text in written(plane)) == (state == 1).sum()
        assert sum("✗" in text for text in written(plane)) == (state == 0).sum()


def test_the_title_counts_answers_with_attention_and_without(tiny_run):
    windows = tiny_run.data.held_out_windows[:, :-1]
    allowed = allowed_next(tiny_run.rule, tiny_run.data.vocabulary, windows)
    chosen, model = allowed.any(axis=-1), tiny_run.at(20)
    cache = model.forward(windows)
    shares = [
        np.mean([row[best] for row, best in zip(allowed[chosen], model.landscape(points[chosen]).argmax(1))])
        for points in (cache.resid_mid, cache.embed)
    ]
    words = figure_module("15_residuals").caption(model)
    assert f"{shares[0]:.2%} of answers right with it, {shares[1]:.2%} without" in words
    shown = " ".join(texts(figure(model, 15)))
    assert ("No need for attention" in shown) == (shares[0] <= shares[1])
    assert (f"{graded(shares[0])} answers end in a region" in shown) == (shares[0] > shares[1])


def test_attention_on_answers_is_counted_by_hand(tiny_run):
    windows = tiny_run.data.held_out_windows[:, :-1]
    attention = tiny_run.at(20).forward(windows).attention[:, 0]
    vocabulary = tiny_run.data.vocabulary
    shares = []
    for window, weights in zip(windows, attention, strict=True):
        tokens = [vocabulary[token] for token in window]
        for t in range(len(tokens)):
            allowed = tiny_run.rule(tokens[: t + 1])
            if allowed is not None:
                shares.append(sum(weights[t, s] for s in range(t + 1) if tokens[s] in allowed))
    words = figure_module("13_qk_attention").caption(tiny_run.at(20))
    assert f"{np.mean(shares):.1%} of attention goes" in words
    shown = []
    for demo in tiny_run.demos:
        tokens = [vocabulary[token] for token in demo]
        weights = tiny_run.at(20).forward(demo[None]).attention[0, 0]
        for t in range(len(tokens)):
            allowed = tiny_run.rule(tokens[: t + 1])
            if allowed is not None:
                shown.append(sum(weights[t, s] for s in range(t + 1) if tokens[s] in allowed))
    words = f"where the rule asks, the answer gets {min(shown):.0%} to {max(shown):.0%} of attention"
    assert any(words in text for text in texts(figure(tiny_run.at(20), 13))) and len(shown) == 6


def test_verdicts_have_three_states(tiny_run):
    (demo, *_) = follow_all(tiny_run.at(20))
    assert demo.words == ["10", "+", "10", "6", "+", "6", "4", "8"]
    assert demo.labels[:2] == ["10₀", "+₁"] and demo.where.tolist() == [1, 4]
    logits = np.zeros_like(demo.cache.logits)
    logits[0, 1, 10], logits[0, 4, 9] = 1, 1
    assert prediction_verdicts(logits, demo.allowed[None]).tolist() == [[-1, 1, -1, -1, 0, -1, -1, -1]]


@pytest.mark.parametrize("step", [0, 4])
@pytest.mark.parametrize("name", NAMES)
def test_draws_every_model(odd_run, name, step, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_figure(odd_run.at(step), name, tmp_path, dpi=40)
    with Image.open(tmp_path / f"{name}.png") as image:
        assert image.size[0] == 480


def test_several_heads_say_which_is_shown(tmp_path):
    run = train_run(tmp_path / "heads", *SHORT, *ODD[0])
    for number in (13, 14):
        fig = figure(run.at(4), number)
        assert any("head 1 of 2" in text for text in texts(fig))
        check_attention(images(fig, "attention")[0], follow_all(run.at(4))[0].cache)


@pytest.mark.parametrize("step", [0, 20])
@pytest.mark.parametrize("name", NAMES)
def test_no_text_is_clipped_or_covers_another(tiny_run, name, step, monkeypatch):
    with matplotlib.rc_context(RC):
        check_texts(make_figure(tiny_run.at(step), name), monkeypatch, 11)
