"""Interventions: the text form, and what they do to models whose inner workings are known."""

import numpy as np
import pytest
from conftest import make_params, small_cases, train_run
from hypothesis import given

from scratchformer.analysis.interventions import (
    ablate, ablation_report, answer_log_probs, forward_edited, lens, replacement, selected, touched,
)
from scratchformer.analysis.selectors import NAMES, ROUTES, Intervention, parse_intervention
from scratchformer.engine.model import forward, parameter_shapes
from scratchformer.engine.names import ACTIVATION_NAMES, Params
from scratchformer.run.config import ModelConfig
from scratchformer.system.errors import RunError

COPIER = (
    "data.rule=lucky7", "data.numbers=8", "data.operators=[]", "model.block_size=4", "model.n_embd=12",
    "model.head_size=12", "model.ffn_mult=1", "data.num_sequences=200", "training.eval_windows=300",
)


def plant(run, params):
    """Make these the parameters of the run's last snapshot."""
    vector = np.concatenate([array.ravel() for array in params])
    old = np.load(run.files.snapshot_path(run.steps[-1]))
    assert old.shape == vector.shape
    np.save(run.files.snapshot_path(run.steps[-1]), vector.astype(old.dtype))
    return run


def copier_params(run):
    """Weights that predict the token before: one-hot tokens and positions, each position attends to the one
    before it with a score so far ahead that softmax is exactly 0 elsewhere; the feed-forward layer is 0."""
    V, T, C = 8, 4, 12
    zeros = {name: np.zeros(shape) for name, shape in parameter_shapes(run.config.model, V).items()}
    params = Params(**zeros)
    params.W_token[:, :V] = np.eye(V)
    params.W_pos[:, V:] = np.eye(T)
    for t in range(T):
        params.W_q[V + t, 0, V + max(t - 1, 0)] = 8000
    params.W_k[:, 0] = np.diag([0] * V + [1] * T)
    params.W_v[:, 0] = np.diag([2] * V + [0] * T)
    params.W_unembed[:V] = np.eye(V)
    assert C == V + T
    return params


@pytest.fixture(scope="module")
def copier(tmp_path_factory):
    """A run whose last snapshot copies the previous token, which lucky7 asks for after each 7."""
    run = train_run(tmp_path_factory.mktemp("runs") / "copier", *COPIER)
    return plant(run, copier_params(run))


def knock(run, *texts):
    return ablate(run.at(run.steps[-1]), [parse_intervention(text, run) for text in texts])


@given(small_cases())
def test_without_edits_the_forward_pass_is_the_engine_s(case):
    params, tokens, _, use_residual = case
    edited = forward_edited(params, tokens, [], use_residual)
    plain = forward(params, tokens, None, use_residual)
    for name in ACTIVATION_NAMES[:-1]:
        np.testing.assert_allclose(getattr(edited, name), getattr(plain, name), rtol=1e-12, atol=1e-12)


@given(small_cases())
def test_an_edit_is_seen_by_what_follows_and_by_nothing_before(case):
    params, tokens, _, use_residual = case
    plain = forward(params, tokens, None, use_residual)
    for name in NAMES[:-2]:
        values = np.ones_like(getattr(plain, name))
        edited = forward_edited(params, tokens, [(name, np.ones(1, bool), values)], use_residual)
        assert (getattr(edited, name) == 1).all()
        before = ACTIVATION_NAMES[: ACTIVATION_NAMES.index(name)]
        for other in before:
            np.testing.assert_allclose(getattr(edited, other), getattr(plain, other), atol=1e-12)
    ones = forward_edited(params, tokens, [("resid_post", np.ones(1, bool), 1.0)], use_residual)
    head = params.W_unembed.sum(axis=0) + params.b_unembed
    np.testing.assert_allclose(ones.logits, np.broadcast_to(head, ones.logits.shape), atol=1e-9)


def test_routes_are_cut_alone(tiny_run):
    tokens, params = tiny_run.held_out.tokens[:5].copy(), tiny_run.at(20).params
    everywhere = np.ones(1, bool)
    cut = forward_edited(params, tokens, [("skip_attention", everywhere, 0.0)])
    np.testing.assert_array_equal(cut.resid_mid, cut.attn_out)
    assert np.abs(cut.embed).max() > 0
    np.testing.assert_allclose(cut.attn_out, tiny_run.at(20).forward(tokens).attn_out, atol=1e-12)
    cut = forward_edited(params, tokens, [("skip_ffn", everywhere, 5.0)])
    np.testing.assert_array_equal(cut.resid_post, cut.ffn_out + 5)


def test_places(tiny_run):
    vocabulary = tiny_run.data.vocabulary
    tokens = tiny_run.held_out.tokens[:6].copy()
    cache = tiny_run.at(20).forward(tokens)
    odd = np.array([token != "+" and token % 2 == 1 for token in vocabulary])[tokens]
    plus = np.array([token == "+" for token in vocabulary])[tokens]
    one = parse_intervention("attention[+ -> odd]", tiny_run)
    mask = selected(one, cache)
    np.testing.assert_array_equal(mask[:, 0], plus[:, :, None] & odd[:, None, :])
    past = np.array([[s <= t for s in range(8)] for t in range(8)])
    assert touched(one, cache) == (int((mask[:, 0] & past).sum()), 6 * 36)
    for text, expected in (
        ("ffn_out[odd]", odd), ("q[+]", plus), ("v", np.ones_like(odd)), ("embed[*]", np.ones_like(odd)),
        ("embed[p3]", np.arange(8) == 3), ("k[7]", tokens == 7), ("skip_ffn[operator]", plus),
    ):
        mask = selected(parse_intervention(text, tiny_run), cache)
        shape = (6, 1, 8, 1) if text[0] in "qkv" else (6, 8, 1)
        assert mask.shape == shape, text
        np.testing.assert_array_equal(mask.reshape(6, 8), np.broadcast_to(expected, (6, 8)), err_msg=text)
    mask = selected(parse_intervention("pos_embed[p2]", tiny_run), cache)
    np.testing.assert_array_equal(mask, (np.arange(8) == 2)[:, None])


def test_units_dims_and_heads(tiny_run, tmp_path):
    cache = tiny_run.at(20).forward(tiny_run.held_out.tokens[:6].copy())
    mask = selected(parse_intervention("ffn_hidden[unit 3]", tiny_run), cache)
    assert mask.shape == (6, 8, 32) and mask[..., 3].all() and mask.sum() == 48
    one = parse_intervention("embed[token 3, dim 1, p2]", tiny_run)
    expected = (cache.tokens == 3) & (np.arange(8) == 2)
    np.testing.assert_array_equal(selected(one, cache)[..., 1], expected)
    assert not selected(one, cache)[..., 0].any()
    run = train_run(tmp_path / "heads", "model.num_heads=3", "training.steps=5")
    cache = run.last.forward(run.held_out.tokens[:2].copy())
    mask = selected(parse_intervention("attention[+ -> *, head 2]", run), cache)
    assert mask.shape == (2, 3, 8, 8) and not mask[:, [0, 2]].any()
    assert touched(parse_intervention("v[head 3, dim 0]", run), cache) == (16, 2 * 3 * 8 * 2)


def test_no_score_is_a_share_of_none(tiny_run):
    model = tiny_run.at(20)
    tokens = np.array([[4, 1, 11, 4, 7, 7, 3, 9]])
    one = parse_intervention("scores[* -> 4]=-inf", tiny_run)
    before = model.forward(tokens)
    edited = forward_edited(model.params, tokens, [(one.name, selected(one, before), one.value)])
    assert not edited.attention[0, 0, 1:, [0, 3]].any()
    np.testing.assert_allclose(edited.attention[0, 0, 1:].sum(axis=-1), 1)


def test_each_hidden_unit_knocked_out(tiny_run):
    model = tiny_run.at(20)
    units = [parse_intervention(f"ffn_hidden[unit {f}]", model) for f in range(32)]
    changes = [ablate(model, [unit]).log_prob for unit in units]
    whole = ablate(model, [parse_intervention("ffn_hidden", model)])
    assert len(set(changes)) > 20 and whole.log_prob not in changes


def test_values(tiny_run):
    tokens = tiny_run.held_out.tokens[:6].copy()
    cache = tiny_run.at(20).forward(tokens)

    def put_in(text):
        return replacement(parse_intervention(text, tiny_run), tiny_run.at(20), cache)

    assert put_in("v") == put_in("v=0") == 0
    np.testing.assert_allclose(put_in("v=mean")[0], sum(cache.v) / 6, atol=1e-12)
    np.testing.assert_allclose(put_in("pos_embed=mean")[0], sum(cache.pos_embed) / 8, atol=1e-12)
    np.testing.assert_allclose(put_in("skip_ffn=mean")[0], sum(cache.resid_mid) / 6, atol=1e-12)
    other = tiny_run.at(20).forward(np.array([[4, 1, 11, 4, 7, 7, 3, 9]]))
    np.testing.assert_array_equal(put_in("v[p2] = 4 1 + 4 7 7 3 9"), other.v)


@pytest.mark.parametrize("text, said", [
    ("atention", "unknown name 'atention'; did you mean 'attention'?"),
    ("probs", "unknown name 'probs'; there are token_embed, pos_embed"),
    ("[a", "must be NAME[WHERE]=VALUE"),
    ("ffn_out[evn]", "unknown place 'evn'; a place is a token, even, odd, operator, p0 to p7, dim N, *; "),
    ("ffn_out[p8]", "unknown place 'p8'"),
    ("ffn_out[+ -> odd]", "ffn_out has places like [even]"),
    ("attention[+]", "attention has places like [even -> odd], query -> key"),
    ("attention[+ -> odd -> even]", "attention has places like [even -> odd], query -> key"),
    ("pos_embed[+]", "pos_embed knows positions, not tokens: p0 to p7, or *"),
    ("v=zero", "the value must be a number, mean or a sequence of 8 tokens: 'zero' is not a token"),
    ("ffn_hidden[3]", "3 may be a token or an index: write `token 3` or `unit 3`"),
    ("v[1]", "1 may be a token or an index: write `token 1` or `dim 1`"),
    ("ffn_hidden[unit 32]", "unit 32: ffn_hidden has units 0 to 31"),
    ("v[head 2]", "head 2: v has one head, 1"), ("v[head 0]", "head 0: v has one head, 1"),
    ("v[dim 0, dim 1]", "dim 0 and dim 1: one at a time"), ("embed[unit 1]", "unknown place 'unit 1'"),
    ("v=-inf", "-inf may stand for scores alone"), ("scores=inf", "not inf"),
    ("v=nan", "not nan"),
    ("v=4 4", "the value must be a number, mean or a sequence of 8 tokens; '4 4' has 2"),
])
def test_wrong_texts_are_explained_in_one_line(tiny_run, text, said):
    with pytest.raises(RunError) as caught:
        parse_intervention(text, tiny_run)
    assert said in str(caught.value) and repr(text) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_routes_without_residual_connections(tmp_path):
    run = train_run(tmp_path / "direct", "model.use_residual=false", "training.steps=5")
    for name in ROUTES:
        with pytest.raises(RunError, match="no residual connections"):
            parse_intervention(name, run)
    assert isinstance(parse_intervention("attn_out", run), Intervention)


def test_a_token_called_like_a_place_is_the_token(tmp_path):
    run = train_run(tmp_path / "star", 'data.operators=["+","*"]', "training.steps=5")
    assert parse_intervention("embed[*]", run).where[:, 0].nonzero()[0].tolist() == [12]


def test_uniform_attention_needs_no_queries(tmp_path):
    run = train_run(tmp_path / "uniform")
    params = run.at(20).params
    params.W_q[:] = 0
    plant(run, params)
    for text in ("q", "q=mean", "k", "k=mean", "scores"):
        result = knock(run, text)
        assert result.changed == 0 and result.wrong_after == result.wrong_before, text
        assert abs(result.log_prob) < 1e-12, text
    assert abs(knock(run, "v").log_prob) > 1e-3


def test_no_feed_forward_layer_is_not_missed(copier):
    for text in ("ffn_out", "ffn_out=mean", "ffn_pre", "ffn_hidden=mean"):
        result = knock(copier, text)
        assert (result.changed, result.wrong_after, result.log_prob) == (0, 0, 0.0), text


def test_the_copier_s_answers_come_from_the_token_before(copier):
    windows, allowed = copier.judge.held_out_windows[:, :-1], copier.judge.allowed
    where = np.argwhere(allowed.any(axis=-1))
    answers = [windows[n, t - 1] for n, t in where]
    assert len(answers) > 10
    base = knock(copier, "ffn_out")
    assert (base.constrained, base.wrong_before) == (len(answers), 0)

    # without attention the model repeats the token it reads, the 7
    result = knock(copier, "attention[7 -> *]")
    not_seven = sum(answer != 7 for answer in answers)
    assert (result.wrong_after, result.changed) == (not_seven, not_seven)

    # only keys that are the answer matter: those of the token 3
    threes = sum(answer == 3 for answer in answers)
    assert 0 < threes < len(answers)
    assert knock(copier, "attention[* -> 3]").wrong_after == threes
    assert knock(copier, "attention[3 -> *]", "attention[7 -> 7]").wrong_after == 0

    # the answer after the last position comes from p2 alone
    last = sum(t == 3 and answer != 7 for (n, t), answer in zip(where, answers, strict=True))
    assert knock(copier, "v[p2]").wrong_after == last

    # nothing but the bias, 0 for all tokens, is left: the first token is the likeliest
    result = knock(copier, "resid_post")
    assert result.wrong_after == sum(answer != 0 for answer in answers)
    before = forward(copier_params(copier), windows.copy())
    change = np.log(1 / 8) - answer_log_probs(before.probs, allowed).mean()
    assert result.log_prob == pytest.approx(change)


def test_patching_in_a_sequence_moves_the_copier_s_answer(copier):
    params = copier_params(copier)
    tokens, other = np.array([[1, 2, 3, 7]]), np.array([[1, 2, 5, 7]])
    source = forward(params, other)
    for name in ("embed", "q", "k", "v", "attn_out", "ffn_out"):
        for t in range(4):
            where = (np.arange(4) == t)[:, None]
            edited = forward_edited(params, tokens, [(name, where, getattr(source, name))])
            moves = (name, t) in {("embed", 2), ("v", 2), ("attn_out", 3)}
            assert edited.logits[0, 3].argmax() == (5 if moves else 3), (name, t)


def test_several_interventions_act_at_once(copier):
    both = knock(copier, "attention", "skip_attention")
    assert both.wrong_after == knock(copier, "resid_mid").wrong_after
    assert both.touched[0][0] == both.windows * 10 and len(both.touched) == 2


@pytest.mark.parametrize(("route", "end"), [("skip_attention", "resid_mid"), ("skip_ffn", "resid_post")])
def test_routes_act_before_edits_of_their_ends(tiny_run, route, end):
    tokens, params = tiny_run.held_out.tokens[:5].copy(), tiny_run.at(20).params
    cut, early = (route, np.ones(1, bool), 0.0), (end, (np.arange(8) < 4)[:, None], 3.0)
    caches = [forward_edited(params, tokens, edits) for edits in ([cut, early], [early, cut])]
    alone = getattr(forward_edited(params, tokens, [cut]), end)
    for cache in caches:
        assert (getattr(cache, end)[:, :4] == 3).all()
        np.testing.assert_array_equal(getattr(cache, end)[:, 4:], alone[:, 4:])
    np.testing.assert_array_equal(caches[0].logits, caches[1].logits)


def test_an_ablation_by_hand(tiny_run):
    one = parse_intervention("ffn_out=mean", tiny_run)
    result = ablate(tiny_run.at(20), [one])
    tokens, allowed = tiny_run.judge.held_out_windows[:, :-1].copy(), tiny_run.judge.allowed
    cache = tiny_run.at(20).forward(tokens)
    post = cache.resid_mid + cache.ffn_out.mean(axis=0)
    logits, probs = lens(tiny_run.at(20).params, post)
    chosen = allowed.any(axis=-1)
    best = logits.argmax(axis=-1)
    wrong = sum(not allowed[n, t, best[n, t]] for n, t in np.argwhere(chosen))
    assert (result.windows, result.constrained, result.wrong_after) == (len(tokens), chosen.sum(), wrong)
    assert result.changed == (best != cache.logits.argmax(axis=-1))[chosen].sum()
    gain = np.log((probs * allowed).sum(-1)[chosen]) - np.log((cache.probs * allowed).sum(-1)[chosen])
    assert result.log_prob == pytest.approx(gain.mean())


def test_a_token_like_an_arrow(tmp_path):
    run = train_run(tmp_path / "arrow", 'data.operators=["+","->"]', "training.steps=5")
    one = parse_intervention("attention[-> -> ->]", run)
    assert one.where[:, 0].nonzero()[0].tolist() == one.key[:, 0].nonzero()[0].tolist() == [12]


def test_the_lens_on_the_last_stage_is_the_model(tiny_run):
    cache = tiny_run.at(20).held_out
    logits, probs = lens(tiny_run.at(20).params, cache.resid_post)
    np.testing.assert_array_equal(logits, cache.logits)
    np.testing.assert_array_equal(probs, cache.probs)


def test_report(copier):
    result = knock(copier, "attention[7 -> *]", "pos_embed[p1]=mean")
    lines = ablation_report(result).splitlines()
    assert lines[0] == f"plus_last_even at step 20 on {result.windows:,} held-out windows, with"
    assert lines[1].split()[:3] == ["attention[7", "->", "*]"] and "query-key pairs overwritten" in lines[1]
    assert lines[2].endswith("1 of 4 positions overwritten")
    n = result.constrained
    assert f"0.00% -> {result.wrong_after / n:.2%}" in lines[3]
    assert f"(0 -> {result.wrong_after} of {n} constrained positions wrong)" in lines[3]
    assert lines[4].startswith("answers changed") and f"({result.changed} of {n})" in lines[4]
    assert f"{result.log_prob:+.3f}" in lines[5]


def test_report_where_no_position_is_constrained(tmp_path):
    run = train_run(tmp_path / "open", "data.operators=[]", "training.steps=5")
    result = ablate(run.at(5), [parse_intervention("ffn_out", run)])
    assert result.constrained == 0 and result.log_prob == 0
    said = "the rule constrains no position of these windows: no answer to judge"
    assert ablation_report(result).endswith(said)


def test_two_heads_are_overwritten_alike():
    model = ModelConfig(n_embd=3, num_heads=2, head_size=2, block_size=4)
    params = make_params(model, 4, np.random.default_rng(0))
    where = np.zeros((1, 1, 4, 1), bool)
    where[0, 0, 2] = True
    cache = forward_edited(params, np.array([[0, 1, 2, 3]]), [("v", where, 9.0)])
    assert (cache.v[0, :, 2] == 9).all() and (cache.v[0, :, [0, 1, 3]] != 9).all()
