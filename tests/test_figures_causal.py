"""The figures of causal evidence: what they show is what the interventions say, on known models too."""

import re
import warnings

import matplotlib
import numpy as np
import pytest
from conftest import check_texts, train_run
from test_interventions import COPIER, copier_params, plant

from scratchformer.analysis.circuits import ov_circuit, qk_circuit
from scratchformer.analysis.families import family
from scratchformer.analysis.interventions import ablate
from scratchformer.analysis.knock_outs import COMPONENTS, ablated_error, knock_outs
from scratchformer.analysis.logits import STAGES, attribute_logits, lens_errors
from scratchformer.analysis.patching import PATCHED, find_pairs, patch_pairs
from scratchformer.analysis.selectors import parse_intervention
from scratchformer.figures.catalogue import figure_module, figure_names
from scratchformer.figures.causal import f01_components as components
from scratchformer.figures.causal import f02_patching as patching
from scratchformer.figures.causal import f03_logit_attribution as attribution
from scratchformer.figures.causal import f04_logit_lens as logit_lens
from scratchformer.figures.causal import f05_circuits as circuits
from scratchformer.figures.draw import make_figure
from scratchformer.figures.style import RC

NAMES = figure_names("causal")


@pytest.fixture(scope="module")
def copier(tmp_path_factory):
    """A run whose last snapshot copies the previous token; see copier_params."""
    run = train_run(tmp_path_factory.mktemp("runs") / "copier", *COPIER)
    return plant(run, copier_params(run)).last


def figure(model, number):
    with matplotlib.rc_context(RC):
        return make_figure(model, NAMES[number - 1])


def titled(fig, title):
    """The panel whose title starts so."""
    (ax,) = [ax for ax in fig.axes if ax.get_title().startswith(title)]
    return ax


def texts(fig):
    return [text.get_text() for text in fig.findobj(matplotlib.text.Text)]


def test_the_figures_are_drawn_on_request_only():
    assert [name[:9] for name in NAMES] == [f"causal/0{i}" for i in range(1, 6)]
    assert not set(NAMES) & set(figure_names())


@pytest.mark.parametrize("step", [0, 20])
def test_components(tiny_run, step):
    fig = figure(tiny_run.at(step), 1)
    left, right = titled(fig, "rule error"), titled(fig, "mean change")
    names = [label.get_text().split("\n")[0] for label in left.get_yticklabels()]
    assert names == list(COMPONENTS)
    for i, value in enumerate(("0", "mean")):
        for j, name in enumerate(names):
            one = parse_intervention(f"{name}={value}", tiny_run.at(step))
            result = ablate(tiny_run.at(step), [one])
            error = result.wrong_after / result.constrained
            assert left.containers[i][j].get_width() == error
            assert right.containers[i][j].get_width() == result.log_prob
            assert left.texts[i * len(names) + j].get_text() == f"{error:.1%}"
    assert left.lines[0].get_xdata()[0] == result.wrong_before / result.constrained
    caption = components.caption(tiny_run.at(step))
    assert f"{result.wrong_before} of {result.constrained} answers wrong" in caption


def test_components_of_the_copier(copier):
    results = knock_outs(copier)
    assert ablated_error(results["ffn_out", "0"]) == ablated_error(results["skip_attention", "0"]) == 0
    assert ablated_error(results["attention", "0"]) > 0.5
    errors = {name: ablated_error(result) for (name, value), result in results.items() if value == "0"}
    assert f"; without {min(errors, key=errors.get)}, 0.0%" in components.finding(results)


def test_pairs_differ_in_one_token_and_in_the_answer(tiny_run):
    pairs = find_pairs(tiny_run.last)
    assert pairs
    assert len({(pair.place, len(pair.tokens)) for pair in pairs}) == 1
    held_out = {tuple(window) for window in tiny_run.held_out.tokens[:, : len(pairs[0].tokens)].tolist()}
    for pair in pairs:
        assert tuple(pair.tokens) in held_out
        assert np.flatnonzero(pair.tokens != pair.changed).tolist() == [pair.place]
        assert family(tiny_run.vocabulary[pair.tokens[pair.place]]) == "even"
        assert family(tiny_run.vocabulary[pair.changed[pair.place]]) == "even"
        answer, other = (
            tiny_run.rule([tiny_run.data.vocabulary[i] for i in ids]) for ids in (pair.tokens, pair.changed)
        )
        assert answer == {tiny_run.data.vocabulary[i] for i in pair.answer}
        assert other == {tiny_run.data.vocabulary[i] for i in pair.other} != answer


@pytest.mark.parametrize("step", [0, 20])
def test_patching(tiny_run, step):
    """The share moved, computed another way: from the caches and the landscape."""
    result, params = patch_pairs(tiny_run.at(step)), tiny_run.at(step).params
    ends, moved = [], {"v": [], "attention": [], "attn_out": [], "resid_post": []}
    for pair in result.pairs:
        old, new = (tiny_run.at(step).forward(ids[None]) for ids in (pair.tokens, pair.changed))
        values = old.v[0, 0].copy()
        values[pair.place] = new.v[0, 0, pair.place]
        streams = {
            "start": old.resid_mid[0, -1], "end": new.resid_mid[0, -1],
            "v": old.embed[0, -1] + old.attention[0, 0, -1] @ values,
            "attention": old.embed[0, -1] + new.attention[0, 0, -1] @ old.v[0, 0],
            "attn_out": old.embed[0, -1] + new.attn_out[0, -1],
        }
        logits = dict(zip(streams, np.log(tiny_run.at(step).landscape(np.array([*streams.values()])))))
        logits["resid_post"] = new.resid_post[0, -1] @ params.W_unembed + params.b_unembed
        ahead = {name: row[pair.other].mean() - row[pair.answer].mean() for name, row in logits.items()}
        ends.append(ahead["end"] - ahead["start"])
        for name, shares in moved.items():
            shares.append(ahead[name] - ahead["start"])
    mean, place = result.mean(), result.pairs[0].place
    for name, shares in moved.items():
        at = mean[PATCHED.index(name), place if name == "v" else -1]
        assert at == pytest.approx(sum(shares) / sum(ends), abs=1e-6), name
    assert (mean[:, :place] == 0).all()
    fig = figure(tiny_run.at(step), 2)
    start = max(0, place - 2)
    np.testing.assert_array_equal(titled(fig, "mean of").images[0].get_array(), mean[:, start:])
    example = titled(fig, "one pair")
    np.testing.assert_array_equal(example.images[0].get_array(), result.example()[:, start:])
    labels = [tick.get_text() for tick in example.get_xticklabels()]
    old, new = (tiny_run.vocabulary[ids[place]] for ids in (result.pairs[0].tokens, result.pairs[0].changed))
    assert labels[place - start] == f"{old}→{new}"
    v = mean[PATCHED.index("v"), place]
    assert f"moves {v:.0%}".replace("-", "−") in patching.caption(tiny_run.at(step))


def test_patching_the_copier_moves_the_answer_by_one_way_only(copier):
    result = patch_pairs(copier)
    assert result.followed == len(result.pairs) > 1
    last = len(result.pairs[0].tokens) - 1
    assert result.pairs[0].place == last - 1
    expected = np.zeros((len(PATCHED), last + 1))
    for name, position in (
        ("embed", last - 1), ("v", last - 1), ("attn_out", last), ("resid_mid", last), ("resid_post", last),
    ):
        expected[PATCHED.index(name), position] = 1
    np.testing.assert_array_equal(result.mean(), expected)
    np.testing.assert_array_equal(result.example(), expected)
    assert "v at the changed token moves 100% of the answer, attn_out at the last 100%" in "".join(
        texts(figure(copier, 2))
    )


def test_long_windows_are_shown_from_shortly_before_the_changed_token(tmp_path):
    run = train_run(
        tmp_path / "long", "model.block_size=14", "training.steps=5", "data.rule=copy_modulo",
    )
    pairs = [pair for pair in find_pairs(run.last) if pair.place > 2]
    assert pairs                        # else this shows nothing
    (place, last), = {(pair.place, len(pair.tokens) - 1) for pair in pairs}
    shown = titled(figure(run.at(5), 2), "mean of").images[0].get_array()
    assert shown.shape[1] == last - place + 3
    np.testing.assert_array_equal(shown, patch_pairs(run.at(5)).mean()[:, place - 2 :])


def test_no_pairs_where_the_answer_is_always_the_same(tmp_path):
    run = train_run(tmp_path / "any_even", "data.rule=plus_means_even", "training.steps=5")
    assert run.held_out.allowed.any() and patch_pairs(run.at(5)).pairs == []
    fig = figure(run.at(5), 2)
    assert any("no pair of windows to patch" in text for text in texts(fig))
    assert "none" in patching.caption(run.at(5))


@pytest.mark.parametrize("step", [0, 20])
def test_logit_attribution(tiny_run, step):
    parts, allowed = attribute_logits(tiny_run.at(step))
    logits = tiny_run.at(step).held_out.logits[tiny_run.held_out.allowed.any(axis=-1)]
    expected = [row[a].mean() - row.mean() for row, a in zip(logits, allowed)]
    np.testing.assert_allclose(parts["sum"], expected, atol=1e-9)
    total = sum(values for name, values in parts.items() if name != "sum")
    np.testing.assert_allclose(total, expected, atol=1e-9)
    assert list(parts) == ["token_embed", "pos_embed", "attn_out", "ffn_out", "b_unembed", "sum"]
    fig = figure(tiny_run.at(step), 3)
    widths = [bar.get_width() for bars in titled(fig, "all").containers for bar in bars]
    np.testing.assert_allclose(widths, [values.mean() for values in parts.values()])
    table = titled(fig, "by answer").images[0].get_array()
    answers = np.flatnonzero(allowed.any(axis=0))
    assert table.shape == (len(answers), 6)
    for row, token in zip(table, answers):
        np.testing.assert_allclose(row, [values[allowed[:, token]].mean() for values in parts.values()])
    caption = attribution.caption(tiny_run.at(step))
    numbers = re.findall(r"`(\w+)` ([+−]\d+\.\d\d)", caption)
    assert dict(numbers) == {
        name: attribution.signed(values.mean()) for name, values in parts.items() if name != "sum"
    }


def test_logit_attribution_of_any_model_adds_up(odd_run):
    step = odd_run.steps[-1]
    parts, _ = attribute_logits(odd_run.at(step))
    total = sum(values for name, values in parts.items() if name != "sum")
    np.testing.assert_allclose(total, parts["sum"], atol=1e-9)


def test_the_copier_s_answer_is_spoken_for_by_attention(copier):
    parts, _ = attribute_logits(copier)
    np.testing.assert_allclose(parts["attn_out"], 2 - 2 / 8)
    assert (parts["pos_embed"] == 0).all() and (parts["ffn_out"] == 0).all()


@pytest.mark.parametrize("step", [0, 20])
def test_logit_lens(tiny_run, step):
    fig, params = figure(tiny_run.at(step), 4), tiny_run.at(step).params
    cache, allowed = tiny_run.at(step).held_out, tiny_run.held_out.allowed
    chosen = allowed.any(axis=-1)
    errors, means = [], []
    for name in STAGES:
        logits = (getattr(cache, name) @ params.W_unembed + params.b_unembed)[chosen]
        best = logits.argmax(axis=-1)
        errors.append(np.mean([not row[i] for row, i in zip(allowed[chosen], best)]))
        probs = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        means.append((probs * allowed[chosen]).sum(axis=-1).mean())
    wrong, constrained = tiny_run.at(step).count_wrong()
    assert errors[2] == wrong / constrained
    heights = [bar.get_height() for bar in titled(fig, "rule error").containers[0]]
    np.testing.assert_allclose(heights, errors)
    np.testing.assert_allclose(titled(fig, "P(right").lines[0].get_ydata(), means)
    assert ", ".join(f"{error:.1%}" for error in errors[:2]) in logit_lens.caption(tiny_run.at(step))
    (labels,) = titled(fig, "likeliest").collections[1:]
    last = tiny_run.at(step).forward(tiny_run.demos[0][None]).logits[0].argmax(axis=-1)
    assert [text.split()[0] for text in labels.texts[2::3]] == [tiny_run.vocabulary[i] for i in last]


def test_logit_lens_of_the_copier(copier):
    errors, _, constrained = lens_errors(copier)
    assert constrained and errors[1:] == [0, 0] and errors[0] > 0.5


@pytest.mark.parametrize("step", [0, 20])
def test_qk_parts_add_up_to_the_scores(tiny_run, step):
    table, V = qk_circuit(tiny_run.at(step).params), len(tiny_run.vocabulary)
    tokens = tiny_run.held_out.tokens[:3]
    cache = tiny_run.at(step).forward(tokens)
    for n, t, s in np.ndindex(3, 8, 8):
        a, b = tokens[n, t], tokens[n, s]
        parts = table[a, b] + table[a, V + s] + table[V + t, b] + table[V + t, V + s]
        assert parts == pytest.approx(cache.scores[n, 0, t, s])
    fig = figure(tiny_run.at(step), 5)
    np.testing.assert_array_equal(titled(fig, "QK").images[0].get_array(), table)
    parts = {
        "token and token": table[:V, :V], "token and position": table[:V, V:],
        "position and token": table[V:, :V], "position and position": table[V:, V:],
    }
    spreads = {name: np.sqrt(part.var(axis=1).mean()) for name, part in parts.items()}
    widest = max(spreads, key=spreads.get)
    assert any(f"by {widest} (spread {spreads[widest]:.3g})" in text for text in texts(fig))


def test_qk_parts_of_another_head_size_add_up(tmp_path):
    run = train_run(tmp_path / "wide", "model.num_heads=2", "model.head_size=3", "training.steps=5")
    table, V = qk_circuit(run.at(5).params), len(run.vocabulary)
    tokens = run.held_out.tokens[:1]
    a, b = tokens[0, 4], tokens[0, 2]
    parts = table[a, b] + table[a, V + 2] + table[V + 4, b] + table[V + 4, V + 2]
    assert parts == pytest.approx(run.at(5).forward(tokens).scores[0, 0, 4, 2])


@pytest.mark.parametrize("step", [0, 20])
def test_ov_is_what_reading_adds_to_the_logits(tiny_run, step):
    """At the first position all attention goes to the token itself, so attn_out is one row's output."""
    table, params = ov_circuit(tiny_run.at(step).params), tiny_run.at(step).params
    V = len(tiny_run.vocabulary)
    cache = tiny_run.at(step).forward(np.arange(V)[:, None])
    logits = cache.attn_out[:, 0] @ params.W_unembed
    np.testing.assert_allclose(table[:V] + table[V], logits - logits.mean(axis=1, keepdims=True), atol=1e-9)
    fig = figure(tiny_run.at(step), 5)
    np.testing.assert_array_equal(titled(fig, "OV").images[0].get_array(), table)
    own = sum(row.argmax() == i for i, row in enumerate(table[:V]))
    assert f"{own} of {V} tokens raise their own logit most" in circuits.caption(tiny_run.at(step))


def test_ov_of_the_copier_is_copying(copier):
    table = ov_circuit(copier.params)
    np.testing.assert_allclose(table[:8], 2 * np.eye(8) - 2 / 8)
    assert (table[8:] == 0).all()


def test_ov_is_left_out_where_nothing_goes_straight_to_the_head(tmp_path):
    run = train_run(tmp_path / "direct", "model.use_residual=false", "training.steps=5")
    assert [ax.get_title()[:2] for ax in figure(run.at(5), 5).axes if ax.get_title()] == ["QK"]
    assert "left out" in circuits.caption(run.at(5))


@pytest.mark.parametrize("name", NAMES)
def test_any_model_is_drawn_and_captioned_without_warnings(odd_run, name, monkeypatch):
    for step in (0, odd_run.steps[-1]):
        with matplotlib.rc_context(RC), warnings.catch_warnings():
            warnings.simplefilter("error")
            fig = make_figure(odd_run.at(step), name)
            caption = figure_module(name).caption(odd_run.at(step))
            check_texts(fig, monkeypatch, 2)
        assert 20 <= len(caption.split()) <= 135 and caption.endswith(".")
        assert "nan" not in caption


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("step", [0, 20])
def test_texts_keep_apart(tiny_run, name, step, monkeypatch):
    with matplotlib.rc_context(RC):
        check_texts(make_figure(tiny_run.at(step), name), monkeypatch, 10)
    assert 60 <= len(figure_module(name).caption(tiny_run.at(step)).split()) <= 135
