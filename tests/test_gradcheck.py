import ast
import inspect

import numpy as np
import pytest
from conftest import make_params, small_cases
from hypothesis import given, settings

from scratchformer.engine import plain
from scratchformer.engine.gradcheck import COMPLEX_TOLERANCE, gradcheck, report
from scratchformer.engine.model import backward, backward_pass, empty_cache, forward
from scratchformer.engine.names import ACTIVATION_NAMES, PARAMETER_NAMES, Params
from scratchformer.run.config import ModelConfig

OUTPUTS = {                             # every backward function and the gradients it fills
    "embedding_backward": ("dtoken_embed", "dpos_embed", "dW_token", "dW_pos"),
    "attention_backward": ("dembed", "dW_q", "dW_k", "dW_v", "dW_o", "dq", "dk", "dv", "dscores",
                           "dattention", "dmixed"),
    "project_backward": ("dembed", "dW"),
    "output_backward": ("dmixed", "dW_o"),
    "feed_forward_backward": ("dresid_mid", "dW_in", "db_in", "dW_out", "db_out", "dffn_pre", "dffn_hidden"),
    "lm_head_backward": ("dresid_post", "dW_unembed", "db_unembed", "dlogits", "dprobs"),
    "linear_backward": ("dx", "dW", "db"),
    "softmax_backward": ("dx",),
    "residual_backward": ("dstream", "dbranch"),
}


@given(small_cases())
@settings(max_examples=25)
def test_every_gradient_of_every_shape(case):
    params, tokens, targets, use_residual = case
    checks = gradcheck(params, tokens, targets, use_residual)
    assert [check.name for check in checks] == [*PARAMETER_NAMES, *ACTIVATION_NAMES]
    assert all(check.passed for check in checks), report(checks)


def test_saturated_softmax():
    params, tokens, targets = example()
    params = params._replace(W_q=params.W_q * 30, W_unembed=params.W_unembed * 20)
    cache = forward(params, tokens, targets)
    assert cache.attention.max() > 1 - 1e-6 and cache.probs.min() < 1e-6
    checks = gradcheck(params, tokens, targets)
    # here the curvature, not the gradient, limits the central difference
    assert max(check.complex_error for check in checks) <= COMPLEX_TOLERANCE, report(checks)


def test_kinks_are_counted_apart():
    params, tokens, targets = example()
    cache = forward(params, tokens, targets)
    b_in = params.b_in.copy()
    b_in[0] -= cache.ffn_pre[0, 0, 0] + 1e-9            # a hidden unit a hair below its kink
    params = params._replace(b_in=b_in)
    checks = {check.name: check for check in gradcheck(params, tokens, targets)}
    assert checks["b_in"].kinks >= 1
    assert checks["ffn_pre"].kinks >= 1
    assert all(check.passed for check in checks.values()), report(checks.values())


def test_table_of_outputs_is_complete():
    jitted = {name for name in plain.plain_functions() if name.endswith("_backward")}
    assert jitted == set(OUTPUTS)


@pytest.mark.parametrize(("function", "output"), [(f, o) for f, outs in OUTPUTS.items() for o in outs])
def test_an_error_of_a_thousandth_is_caught(function, output):
    params, tokens, targets = example()
    functions = plain.plain_functions()
    original = functions[function]
    names = list(inspect.signature(original).parameters)

    def planted(*args):
        before = args[names.index(output)].copy()
        original(*args)
        array = args[names.index(output)]
        array += 0.001 * (array if output != adds(original) else array - before)

    functions[function] = planted

    def wrong_backward(params, cache):
        dparams = Params(*(np.empty_like(array) for array in params))
        dcache = empty_cache(params, cache.tokens, cache.targets, cache.use_residual)
        functions["backward_pass"](params, cache, dparams, dcache)
        return dparams, dcache

    checks = gradcheck(params, tokens, targets, backward=wrong_backward)
    assert not all(check.passed for check in checks)
    assert "FAILED" in report(checks) and "gradients wrong" in report(checks)


def adds(function):
    """The one gradient that a backward function adds to rather than sets, or None."""
    return {"attention_backward": "dembed", "project_backward": "dembed",
            "feed_forward_backward": "dresid_mid"}.get(function.__name__)


def test_nan_is_not_right():
    params, tokens, targets = example()

    def nan_backward(params, cache):
        dparams, dcache = backward(params, cache)
        dparams.W_q[0, 0, 0] = np.nan
        return dparams, dcache

    checks = gradcheck(params, tokens, targets, backward=nan_backward)
    assert [check.name for check in checks if not check.passed] == ["W_q"]


@given(small_cases())
@settings(max_examples=100)
def test_compiled_and_plain_give_the_same_bits(case):
    params, tokens, targets, use_residual = case
    compiled = forward(params, tokens, targets, use_residual)
    plainly = plain.forward_with(lambda name, array: None, params, tokens, targets, use_residual)
    assert_same_bits(compiled, plainly)
    dparams, dcache = backward(params, compiled)
    plain_dparams = Params(*(np.empty_like(array) for array in params))
    plain_dcache = empty_cache(params, tokens, targets, use_residual)
    plain.plain_functions()["backward_pass"](params, plainly, plain_dparams, plain_dcache)
    assert_same_bits(dparams, plain_dparams)
    assert_same_bits(dcache, plain_dcache)


def assert_same_bits(first, second):
    """Equal to the last bit, but for the sign of a zero, which BLAS leaves open for 1 x 1 products."""
    for name, a, b in zip(first._fields, first, second, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b), name)


def test_edit_sees_every_activation_once_in_order_and_complete():
    params, tokens, targets = example()
    seen = {}
    cache = plain.forward_with(lambda n, a: seen.setdefault(n, a.copy()), params, tokens, targets)
    assert list(seen) == list(ACTIVATION_NAMES)
    for name, value in seen.items():
        np.testing.assert_array_equal(value, getattr(cache, name))


def test_edit_changes_what_follows_and_nothing_before():
    params, tokens, targets = example()
    before = forward(params, tokens, targets)

    def silence(name, array):
        if name == "attn_out":
            array[:] = 0

    after = plain.forward_with(silence, params, tokens, targets)
    np.testing.assert_array_equal(after.mixed, before.mixed)
    np.testing.assert_array_equal(after.resid_mid, before.embed)
    assert (after.logits != before.logits).any()


def test_every_watched_function_exists():
    names = {
        node.name
        for module in plain.MODULES
        for node in ast.walk(ast.parse((plain.Path(plain.__file__).with_name(f"{module}.py")).read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    assert set(plain.WATCHED) <= names
    assert backward_pass.__name__ in names


def example():
    rng = np.random.default_rng(1)
    params = make_params(ModelConfig(n_embd=2, num_heads=2, head_size=2, block_size=3, ffn_mult=2), 4, rng)
    return params, rng.integers(0, 4, (2, 3)), rng.integers(0, 4, (2, 3))
