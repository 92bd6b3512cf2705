import numpy as np
import pytest
from conftest import make_params, small_cases
from hypothesis import given

from scratchformer.engine.model import backward, forward, landscape, parameter_shapes, unflatten
from scratchformer.engine.names import ACTIVATIONS, PARAMETERS, TABLE
from scratchformer.run.config import ModelConfig


def reference_logits(params, tokens, use_residual):
    """The same model in whole-array NumPy."""
    T = tokens.shape[1]
    embed = params.W_token[tokens] + params.W_pos[:T]
    q, k, v = (np.einsum("btc,chd->bhtd", embed, W) for W in (params.W_q, params.W_k, params.W_v))
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    scores = np.where(np.tri(T, dtype=bool), scores, -np.inf)
    attention = np.exp(scores - scores.max(-1, keepdims=True))
    attention /= attention.sum(-1, keepdims=True)
    mixed = attention @ v
    if params.W_o.size:
        attn_out = np.einsum("bhtd,hdc->btc", mixed, params.W_o)
    else:
        attn_out = mixed[:, 0]
    resid_mid = embed * use_residual + attn_out
    ffn_out = np.maximum(resid_mid @ params.W_in + params.b_in, 0) @ params.W_out + params.b_out
    return (resid_mid * use_residual + ffn_out) @ params.W_unembed + params.b_unembed


@given(small_cases())
def test_forward_against_whole_array_numpy(case):
    params, tokens, targets, use_residual = case
    cache = forward(params, tokens, targets, use_residual)
    logits = reference_logits(params, tokens, use_residual)
    np.testing.assert_allclose(cache.logits, logits, rtol=1e-10, atol=1e-12)
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    chosen = [log_probs[b, t, y] for (b, t), y in np.ndenumerate(targets) if y >= 0]
    np.testing.assert_allclose(cache.loss, -np.mean(chosen), rtol=1e-10)


@given(small_cases())
def test_shapes_are_those_of_the_table(case):
    params, tokens, targets, use_residual = case
    cache = forward(params, tokens, targets, use_residual)
    dparams, dcache = backward(params, cache)
    C, H, D = params.W_q.shape
    sizes = dict(B=len(tokens), T=tokens.shape[1], C=C, H=H, D=D, F=len(params.b_in), V=len(params.b_unembed))
    for entry in ACTIVATIONS:
        shape = tuple(sizes[dim] for dim in entry.dims.split())
        assert getattr(cache, entry.name).shape == getattr(dcache, entry.name).shape == shape
    for entry in PARAMETERS:
        assert getattr(dparams, entry.name).shape == getattr(params, entry.name).shape
    np.testing.assert_allclose(cache.attention.sum(-1), 1)
    np.testing.assert_allclose(cache.probs.sum(-1), 1)
    assert np.isfinite(cache.scores).all()
    assert not cache.attention[..., ~np.tri(tokens.shape[1], dtype=bool)].any()


def test_the_future_does_not_matter():
    params = make_params(ModelConfig(), 5, np.random.default_rng(0))
    tokens = np.array([[1, 2, 3, 4]])
    whole = forward(params, tokens).logits
    for T in range(1, 4):
        np.testing.assert_allclose(forward(params, tokens[:, :T]).logits, whole[:, :T], rtol=1e-12)


def test_output_projection_only_where_needed():
    assert parameter_shapes(ModelConfig(), 12)["W_o"] == (0, 0, 0)
    assert parameter_shapes(ModelConfig(num_heads=2, head_size=1), 12)["W_o"] == (2, 1, 2)
    assert parameter_shapes(ModelConfig(head_size=3), 12)["W_o"] == (1, 3, 2)


def test_without_targets_there_is_no_loss():
    params = make_params(ModelConfig(), 5, np.random.default_rng(0))
    assert np.isnan(forward(params, [[1, 2]]).loss)


def test_a_vanishing_probability_leaves_the_loss_finite():
    params = make_params(ModelConfig(), 5, np.random.default_rng(0))
    params.W_unembed[:] = 0
    params.b_unembed[:] = [0, 0, 0, 0, 5000]
    cache = forward(params, [[1]], [[0]])
    assert cache.probs[0, 0, 0] == 0 and np.isfinite(cache.loss)
    assert np.isfinite(backward(params, cache)[1].logits).all()


@pytest.mark.parametrize(
    ("tokens", "targets"),
    [([[5]], None), ([[-1]], None), ([[1, 2]], [[1]]), ([[1]], [[5]]), ([1, 2], None), ([[0] * 9], None)],
)
def test_tokens_that_do_not_fit_are_refused(tokens, targets):
    params = make_params(ModelConfig(), 5, np.random.default_rng(0))
    with pytest.raises(ValueError, match="token"):
        forward(params, tokens, targets)


def test_params_are_views_of_the_vector():
    shapes = parameter_shapes(ModelConfig(), 12)
    vector = np.arange(float(sum(int(np.prod(s)) for s in shapes.values())))
    params = unflatten(vector, shapes)
    params.b_unembed[-1] = -7
    assert vector[-1] == -7
    with pytest.raises(ValueError, match="parameters"):
        unflatten(vector[1:], shapes)


def test_print_shows_the_table():
    params = make_params(ModelConfig(), 5, np.random.default_rng(0))
    cache = forward(params, [[1, 2, 3]], [[2, 3, 4]])
    text = str(cache)
    for name in cache._fields:
        assert name in text and TABLE[name].meaning in text
    assert "1x1x3x3" in text and f"{cache.scores.max():.4g}" in text
    assert "W_unembed" in str(params) and "2x5" in str(params)


@given(small_cases())
def test_landscape_is_the_second_half_of_the_forward_pass(case):
    params, tokens, targets, use_residual = case
    cache = forward(params, tokens, targets, use_residual)
    for resid_mid, probs in zip(cache.resid_mid, cache.probs, strict=True):
        np.testing.assert_allclose(landscape(params, resid_mid, use_residual), probs, rtol=1e-12)


@pytest.mark.parametrize(("dtype", "loss"), [(np.float32, 126 * np.log(2)), (np.float64, 1022 * np.log(2))])
def test_a_probability_of_0_costs_what_the_least_number_of_its_dtype_does(dtype, loss):
    params = make_params(ModelConfig(), 3, np.random.default_rng(0), scale=0.1)
    params = type(params)(*(array.astype(dtype) for array in params))
    params.b_unembed[:] = 0, -2000, 0
    cache = forward(params, [[0]], [[1]])
    _, gradients = backward(params, cache)
    assert cache.probs[0, 0, 1] == 0 and float(cache.loss) == pytest.approx(loss)
    assert np.isfinite(gradients.probs).all() and gradients.probs[0, 0, 1] < -1e37


@pytest.mark.parametrize(("name", "change", "said"), [
    ("W_in", lambda array: array.astype(np.float32), r"W_in is float32 \(2, 32\); the other .* float64"),
    ("b_out", lambda array: array[:1], r"b_out is float64 \(1,\); the other .* ask for float64 \(2,\)"),
    ("W_unembed", lambda array: array.T.copy().T, "W_unembed is float64 .*, not contiguous"),
    ("W_k", lambda array: array[:, :, :1], "W_k is float64"),
])
def test_parameters_that_do_not_fit_are_named(name, change, said):
    params = make_params(ModelConfig(), 5, np.random.default_rng(0))
    params = params._replace(**{name: change(getattr(params, name))})
    with pytest.raises(ValueError, match=said):
        forward(params, [[1, 2]])
