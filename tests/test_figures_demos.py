"""Figures 16 to 18 and their supplements: what they show is what the caches hold, for any rule and model."""

import re

import matplotlib
import numpy as np
import pytest
from conftest import check_texts
from matplotlib.collections import PatchCollection, PathCollection, PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.quiver import Quiver
from PIL import Image

from scratchformer.analysis.followed import follow, likeliest_at
from scratchformer.analysis.landscape import GRID, plane_grid
from scratchformer.figures.catalogue import figure_module
from scratchformer.figures.draw import draw_figure, make_figure
from scratchformer.figures.style import ANSWER, LINES, RC, position_colors, token_colors
from scratchformer.figures.value_demo import MOST, layout, shown_tokens
from scratchformer.figures.value_strips import labelled
from scratchformer.figures.value_words import heading
from scratchformer.run.run import Run

DEMOS = ["16_value_demo0", "17_value_demo1", "18_value_demo2"]
MATRIX, VALUES = "supplementary/14_attention_matrix", "supplementary/16_value_arrows"
NAMES = [*DEMOS, MATRIX, VALUES]
MARKS = {1: "✓", 0: "✗", -1: ""}


def figure(model, name):
    with matplotlib.rc_context(RC):
        return make_figure(model, name)


def caption(model, name):
    return figure_module(name).caption(model)


def texts(fig):
    return " ".join(text.get_text() for text in fig.findobj(matplotlib.text.Text))


def named(fig, title):
    """Panels of that title, top to bottom."""
    return [ax for ax in fig.axes if ax.get_title() == title]


def shown_matrices(fig):
    """All images that show values, not colours."""
    return [image for ax in fig.axes for image in ax.images if image.get_array().ndim == 2]


def strips_of(fig):
    """The panels of a value demo that show landscapes: the map of decisions above them does not."""
    return [ax for ax in fig.axes if ax.images and ax.images[0].get_array().ndim == 2]


def scatters(ax):
    return [
        artist for artist in ax.collections
        if isinstance(artist, PathCollection) and not hasattr(artist, "texts")
    ]


def arrows(ax):
    (found,) = [artist for artist in ax.collections if isinstance(artist, Quiver)]
    return found


def written(ax):
    return [text for artist in ax.collections if hasattr(artist, "texts") for text in artist.texts]


def by_hand(model, tokens):
    """(verdict, answers as text, predicted token as text, its probability) at each position."""
    vocabulary = model.data.vocabulary
    probs = model.forward(tokens[None]).probs[0]
    found = []
    for t in range(len(tokens)):
        answers = model.rule([vocabulary[token] for token in tokens[: t + 1]])
        best = probs[t].argmax()
        verdict = -1 if answers is None else int(vocabulary[best] in answers)
        found.append((verdict, set(map(str, answers or ())), model.vocabulary[best], probs[t, best]))
    return found


def with_rule(run, rule):
    """The run's model judged by another rule."""
    other = Run.open(run.folder)
    other.rule = rule
    return other


@pytest.mark.parametrize("step", [0, 20])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_columns_show_values_arrows_and_landing_points(tiny_run, step, number):
    fig = figure(tiny_run.at(step), DEMOS[number])
    tokens = tiny_run.demos[number]
    cache = tiny_run.at(step).forward(tokens[None])
    embed, resid_mid, v = cache.embed[0], cache.resid_mid[0], cache.v[0, 0]
    verdicts = np.array([verdict for verdict, *_ in by_hand(tiny_run.at(step), tokens)])
    answers = set().union(*(answer for _, answer, *_ in by_hand(tiny_run.at(step), tokens)))
    strips = strips_of(fig)
    assert [len(ax.images) for ax in strips] == 6 * [6]
    colors = token_colors(tiny_run.vocabulary)[tokens]
    order = np.argsort(np.tile(verdicts, 6), kind="stable")
    for band in range(2):
        values, moves, landed = strips[3 * band : 3 * band + 3]
        for ax in (values, moves, landed):
            boxes = np.array([image.get_extent() for image in ax.images])
            assert (boxes[1:, 0] > boxes[:-1, 1]).all()
            shifts = np.column_stack([boxes[:, 0] - boxes[0, 0], np.zeros(6)])
            grid = plane_grid(boxes[0])
            for token, image in enumerate(ax.images, 6 * band):
                expected = tiny_run.at(step).landscape(grid)[:, token].reshape(GRID, GRID)
                np.testing.assert_array_equal(image.get_array(), expected)
                assert image.cmap.name == "viridis"
            assert ax.get_aspect() == 1
            low, high = boxes[0, [0, 2]], boxes[0, [1, 3]]
            everything = np.concatenate([v, embed, resid_mid])
            assert (everything > low).all() and (everything < high).all()
            (frames,) = [artist for artist in ax.collections if isinstance(artist, PatchCollection)]
            framed = {
                tiny_run.vocabulary[6 * band + int(np.abs(boxes[:, 0] - frame.vertices[:, 0].min()).argmin())]
                for frame in frames.get_paths()
            }
            assert framed == answers & set(tiny_run.vocabulary[6 * band : 6 * band + 6])
        np.testing.assert_allclose(scatters(values)[0].get_offsets(), everywhere(v, shifts))
        np.testing.assert_allclose(scatters(landed)[0].get_offsets(), everywhere(resid_mid, shifts))
        np.testing.assert_allclose(scatters(landed)[0].get_facecolors()[:, :3], np.tile(colors, (6, 1)))
        edges = scatters(landed)[0].get_edgecolors()[:, :3]
        np.testing.assert_allclose(edges, [to_rgb(LINES[s] if s >= 0 else "white") for s in verdicts] * 6)
        np.testing.assert_allclose(arrows(moves).get_offsets(), everywhere(embed, shifts)[order])
        moved = np.column_stack([arrows(moves).U, arrows(moves).V])
        np.testing.assert_allclose(moved, np.tile(resid_mid - embed, (6, 1))[order], atol=1e-6)
        drawn = arrows(moves).get_facecolors()[:, :3]
        np.testing.assert_allclose(drawn, [to_rgb(LINES[s]) for s in np.tile(verdicts, 6)[order]])


def everywhere(points, shifts):
    """The points in every panel of a strip."""
    return np.concatenate([points + shift for shift in shifts])


@pytest.mark.parametrize("step", [0, 20])
def test_marks_stand_in_the_column_of_the_prediction(tiny_run, step):
    strips = strips_of(figure(tiny_run.at(step), DEMOS[0]))
    hand = by_hand(tiny_run.at(step), tiny_run.demos[0])
    labels = follow(tiny_run.at(step), tiny_run.demos[0]).labels
    for row in (0, 1, 2):
        found = set()
        for band in range(2):
            ax = strips[3 * band + row]
            right_edges = [image.get_extent()[1] for image in ax.images]
            (artist,) = [artist for artist in ax.collections if hasattr(artist, "texts")]
            for (x, _), text, color in zip(
                artist.get_offsets(), artist.texts, artist.get_facecolors(), strict=True
            ):
                token = tiny_run.vocabulary[6 * band + int(np.searchsorted(right_edges, x))]
                label = text.rstrip("✓✗")
                if label != text:
                    found.add((label, token, text[len(label):]))
                is_answer = token in hand[labels.index(label)][1]
                assert (tuple(color[:3]) == to_rgb(ANSWER)) == is_answer
        assert found == {
            (labels[t], best, MARKS[verdict]) for t, (verdict, _, best, _) in enumerate(hand)
            if row and verdict >= 0
        }


@pytest.mark.parametrize("step", [0, 20])
def test_title_and_caption_say_what_comes_of_it(tiny_run, step):
    for number, name in enumerate(DEMOS):
        shown = texts(figure(tiny_run.at(step), name))
        expected = by_hand(tiny_run.at(step), tiny_run.demos[number])
        wrong = [verdict for verdict, *_ in expected].count(0)
        assert (f"{wrong} of " in shown.split(":")[1]) == (wrong > 0)
        for t, (verdict, answers, best, prob) in enumerate(expected):
            if verdict >= 0:
                clause = f"answer {answers.pop()}, predicted {best} {MARKS[verdict]} with probability"
                clause = f"{clause} {prob:.1%}"
                assert clause in shown and clause in caption(tiny_run.at(step), name)


def test_headings_hold_probabilities(tiny_run):
    demo = follow(tiny_run.at(20), tiny_run.demos[0])
    probs = tiny_run.at(20).forward(tiny_run.demos[0][None]).probs[0]
    assert demo.where.tolist() == [1, 4]
    assert heading(demo, 6) == [f"at +₁: {probs[1, 6]:.1%}", f"at +₄: {probs[4, 6]:.1%}", "answer at +₄"]
    assert heading(demo, 7) == [f"at +₁: {probs[1, 7]:.1%}", f"at +₄: {probs[4, 7]:.1%}"]
    shown = texts(figure(tiny_run.at(20), DEMOS[0]))
    for token in range(12):
        assert "\n".join(heading(demo, token)) in shown


def test_columns_stand_in_one_band_or_two(tiny_run):
    demo = follow(tiny_run.at(20), tiny_run.demos[0])
    for count, rows, across in ((12, 3, 6), (12, 2, 6), (11, 3, 6), (7, 3, 4), (6, 3, 6), (2, 3, 2)):
        found, side = layout(count, rows)
        assert found == across
        assert across * (side + 0.08) <= 8.1 + 0.08 + 1e-9 and side > 1.2
    assert labelled(demo, 6).tolist() == list(range(8))
    assert labelled(demo, 0).tolist() == [1, 4]


def test_a_rule_for_every_position(tiny_run):
    run = with_rule(tiny_run, lambda tokens: {tokens[-1]})
    demo = follow(run.at(20), run.demos[0])
    assert len(demo.where) == 8
    assert likeliest_at(demo, 6, 3)[:2].tolist() == sorted([3, 5], key=lambda t: -demo.cache.probs[0, t, 6])
    right = [verdict for verdict, *_ in by_hand(run.at(20), run.demos[0])].count(1)
    mass = np.mean([demo.cache.probs[0, t, token] for t, token in enumerate(run.demos[0])])
    for words in (texts(figure(run.at(20), DEMOS[0])), caption(run.at(20), DEMOS[0])):
        words = " ".join(words.split())
        assert f"{right} of 8 predictions at constrained positions right; answers get {mass:.1%}" in words


def test_several_answers_are_named(tiny_run):
    run = with_rule(tiny_run, lambda tokens: {2, 4} if tokens[-1] == "+" else None)
    assert "+₁: answer 2 or 4, predicted" in caption(run.at(20), DEMOS[0])
    run = with_rule(tiny_run, lambda tokens: {0, 2, 4, 6} if tokens[-1] == "+" else None)
    assert "+₁: answer one of 4 tokens, predicted" in caption(run.at(20), DEMOS[0])


def test_answers_and_predictions_come_first_in_a_large_vocabulary(odd_run):
    demo = follow(odd_run.at(4), odd_run.demos[0])
    shown = shown_tokens(demo)
    assert shown == sorted(set(shown)) and len(shown) == min(MOST, len(odd_run.vocabulary))
    probs = demo.cache.probs[0]
    assert set(np.flatnonzero(demo.allowed.any(axis=0))) | set(probs[demo.where].argmax(axis=1)) <= set(shown)
    if len(odd_run.vocabulary) > MOST:
        assert f"{MOST} of {len(odd_run.vocabulary)} tokens" in texts(figure(odd_run.at(4), DEMOS[0]))


def test_fewer_sequences_than_figures(tiny_run, tmp_path):
    run = Run.open(tiny_run.folder)
    run.demos = run.demos[:1]
    for name in DEMOS[1:]:
        assert f"There is no value demo {name[-1]}" in texts(figure(run.at(20), name))
        assert "give only 1 to follow" in caption(run.at(20), name)
    for name in (MATRIX, VALUES):
        draw_figure(run.at(20), name, tmp_path, dpi=40)


@pytest.mark.parametrize("step", [0, 20])
def test_from_attention_to_probabilities(tiny_run, step):
    fig = figure(tiny_run.at(step), MATRIX)
    for row, tokens in enumerate(tiny_run.demos):
        cache = tiny_run.at(step).forward(tokens[None])
        hand = by_hand(tiny_run.at(step), tokens)
        (attention,) = named(fig, "attention")[row].images
        shown = attention.get_array()
        np.testing.assert_array_equal(shown.mask, np.triu(np.ones((8, 8)), 1))
        np.testing.assert_array_equal(shown.compressed(), cache.attention[0, 0][~shown.mask])
        for name in ("ffn_pre", "ffn_hidden", "ffn_out", "resid_post", "logits", "probs"):
            image = named(fig, name)[row].images[0]
            np.testing.assert_array_equal(image.get_array(), getattr(cache, name)[0])
            low, high = image.get_clim()
            assert (low, high) == (0, 1) if name == "probs" else low == -high
            assert high >= np.abs(getattr(cache, name)).max()
        for name in ("logits", "probs"):
            ax = named(fig, name)[row]
            (dots,) = scatters(ax)
            best = [tiny_run.vocabulary.index(token) for _, _, token, _ in hand]
            np.testing.assert_array_equal(dots.get_offsets(), list(zip(best, range(8))))
            (frames,) = [
                artist for artist in ax.collections if type(artist) is PolyCollection
                and len(artist.get_edgecolors()) and tuple(artist.get_edgecolors()[0][:3]) == to_rgb(ANSWER)
            ]
            middles = {tuple((p.vertices[:4].mean(axis=0)).astype(int)) for p in frames.get_paths()}
            assert middles == {
                (tiny_run.vocabulary.index(answer), t)
                for t, (_, answers, *_) in enumerate(hand) for answer in answers
            }
        expected = sorted(MARKS[verdict] for verdict, *_ in hand if verdict >= 0)
        assert sorted(written(named(fig, "probs")[row])) == expected


def test_probability_of_answers_and_loss_by_hand(tiny_run):
    windows = tiny_run.data.held_out_windows
    vocabulary = tiny_run.data.vocabulary
    probs = tiny_run.at(20).forward(windows[:, :-1]).probs
    shares = []
    for window, rows in zip(windows, probs, strict=True):
        for t in range(len(rows)):
            answers = tiny_run.rule([vocabulary[token] for token in window[: t + 1]])
            if answers is not None:
                shares.append(sum(rows[t, vocabulary.index(answer)] for answer in answers))
    loss = -np.log(np.take_along_axis(probs, windows[:, 1:, None], axis=-1)).mean()
    said = caption(tiny_run.at(20), MATRIX)
    assert f"their {len(shares):,} constrained positions" in said and f"positions is {loss:.3f}." in said
    assert f"allows get {np.mean(shares):.1%} of probability on average" in said
    shown = []
    for demo in tiny_run.demos:
        words = [vocabulary[token] for token in demo]
        for t, row in enumerate(tiny_run.at(20).forward(demo[None]).probs[0]):
            answers = tiny_run.rule(words[: t + 1])
            if answers is not None:
                shown.append(sum(row[vocabulary.index(answer)] for answer in answers))
    title = f"the answer gets {min(shown):.0%} to {max(shown):.0%}"
    assert title in texts(figure(tiny_run.at(20), MATRIX)) and len(shown) == 6
    hidden = tiny_run.at(20).forward(windows[:, :-1]).ffn_hidden
    active = np.count_nonzero(hidden) / hidden[..., 0].size
    assert f"{active:.1f} of {hidden.shape[-1]} hidden units" in caption(tiny_run.at(20), MATRIX)


@pytest.mark.parametrize("step", [0, 20])
def test_values_become_the_stream(tiny_run, step):
    fig = figure(tiny_run.at(step), VALUES)
    lengths = {True: [], False: []}
    right = count = 0
    for row, tokens in enumerate(tiny_run.demos):
        cache = tiny_run.at(step).forward(tokens[None])
        verdicts = np.array([verdict for verdict, *_ in by_hand(tiny_run.at(step), tokens)])
        right, count = right + (verdicts == 1).sum(), count + (verdicts >= 0).sum()
        original = named(fig, "v original")[row]
        np.testing.assert_array_equal(scatters(original)[0].get_offsets(), cache.v[0, 0])
        np.testing.assert_allclose(scatters(original)[0].get_facecolors()[:, :3], position_colors(8))
        for name, start, end in (
            ("v transformed: v → mixed = attention @ v", cache.v[0, 0], cache.mixed[0, 0]),
            ("v + residual: embed → resid_mid", cache.embed[0], cache.resid_mid[0]),
        ):
            ax = named(fig, name)[row]
            points, rings = scatters(ax)
            np.testing.assert_array_equal(points.get_offsets(), end)
            np.testing.assert_array_equal(arrows(ax).get_offsets(), start)
            np.testing.assert_allclose(np.column_stack([arrows(ax).U, arrows(ax).V]), end - start, atol=1e-6)
            np.testing.assert_array_equal(rings.get_offsets(), end[verdicts >= 0])
            colors = [to_rgb(LINES[s]) for s in verdicts[verdicts >= 0]]
            np.testing.assert_allclose(rings.get_edgecolors()[:, :3], colors)
            assert sorted(text[-1] for text in written(ax) if text[-1] in "✓✗") == sorted(
                MARKS[s] for s in verdicts if s >= 0
            )
            assert ax.get_aspect() == 1
        for t, verdict in enumerate(verdicts):
            lengths[verdict >= 0].append((
                np.hypot(*(cache.mixed - cache.v)[0, 0, t]), np.hypot(*(cache.resid_mid - cache.embed)[0, t])
            ))
    (a, b), (c, d) = np.mean(lengths[True], axis=0), np.mean(lengths[False], axis=0)
    words = (
        f"{a:.2f} and {b:.2f} at {count} constrained positions, "
        f"{c:.2f} and {d:.2f} at {24 - count} other positions"
    )
    assert words in caption(tiny_run.at(step), VALUES) and f"{right} of {count} answers right" in texts(fig)
    assert f"{right} of {count} are right" in caption(tiny_run.at(step), VALUES)


@pytest.mark.parametrize("name", NAMES)
def test_draws_every_model(odd_run, name, tmp_path, monkeypatch):
    draw_figure(odd_run.at(0), name, tmp_path, dpi=40)
    with Image.open(tmp_path / f"{name}.png") as image:
        assert image.size == tuple(int(40 * side) for side in figure_module(name).SIZE)
    step = 4
    with matplotlib.rc_context(RC):
        fig = make_figure(odd_run.at(step), name)
        check_texts(fig, monkeypatch, 3)
    if name in DEMOS:
        plane = odd_run.config.model.n_embd == 2
        own = odd_run.at(step).params.W_o.size > 0
        said = " ".join(texts(fig).split())
        assert ("its probabilities are given as numbers" in said) != plane
        assert ("the values v are left out" in said) == (plane and own)
        rows, panels = 2 if own else 3, shown_matrices(fig)
        if plane:
            assert len(panels) == rows * min(MOST, len(odd_run.vocabulary))
        else:
            probs = odd_run.at(step).forward(odd_run.demos[DEMOS.index(name)][None]).probs[0]
            np.testing.assert_array_equal(panels[0].get_array(), probs)
    elif odd_run.config.model.num_heads > 1:
        assert f"head 1 of {odd_run.config.model.num_heads}" in texts(fig)


@pytest.mark.parametrize("step", [0, 20])
@pytest.mark.parametrize("name", NAMES)
def test_no_text_is_clipped_or_covers_another(tiny_run, name, step, monkeypatch):
    with matplotlib.rc_context(RC):
        check_texts(make_figure(tiny_run.at(step), name), monkeypatch, 11)


@pytest.mark.parametrize("name", NAMES)
def test_captions_are_one_paragraph(tiny_run, odd_run, name):
    for run in (tiny_run, odd_run):
        for step in (0, run.steps[-1]):
            paragraph = caption(run.at(step), name)
            assert 50 <= len(paragraph.split()) <= 140, paragraph
            assert not re.search(r"\n|\*|nan|inf\b", paragraph), paragraph
