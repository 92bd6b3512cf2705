import numpy as np
import pytest
from conftest import make_params, small_cases
from hypothesis import given, settings

from scratchformer.engine.gradcheck import COMPLEX_TOLERANCE, gradcheck, gradcheck_report
from scratchformer.engine.model import backward, empty_cache, forward
from scratchformer.engine.names import ACTIVATION_NAMES, PARAMETER_NAMES, Params
from scratchformer.engine.plain import plain_functions
from scratchformer.engine.steps import backward_steps, forward_steps, run_forward
from scratchformer.run.config import ModelConfig

OUTPUTS = [                             # every step of the backward pass and a gradient it fills
    (number, step.name, fill) for number, step in enumerate(backward_steps()) for fill in step.fills
]


@given(small_cases())
@settings(max_examples=25)
def test_every_gradient_of_every_shape(case):
    params, tokens, targets, use_residual = case
    checks = gradcheck(params, tokens, targets, use_residual)
    assert [check.name for check in checks] == [*PARAMETER_NAMES, *ACTIVATION_NAMES]
    assert all(check.passed for check in checks), gradcheck_report(checks)


def test_saturated_softmax():
    params, tokens, targets = example()
    params = params._replace(W_q=params.W_q * 30, W_unembed=params.W_unembed * 20)
    cache = forward(params, tokens, targets)
    assert cache.attention.max() > 1 - 1e-6 and cache.probs.min() < 1e-6
    checks = gradcheck(params, tokens, targets)
    # here the curvature, not the gradient, limits the central difference
    assert max(check.complex_error for check in checks) <= COMPLEX_TOLERANCE, gradcheck_report(checks)


def test_kinks_are_counted_apart():
    params, tokens, targets = example()
    cache = forward(params, tokens, targets)
    b_in = params.b_in.copy()
    b_in[0] -= cache.ffn_pre[0, 0, 0] + 1e-9            # a hidden unit a hair below its kink
    params = params._replace(b_in=b_in)
    checks = {check.name: check for check in gradcheck(params, tokens, targets)}
    assert checks["b_in"].kinks >= 1
    assert checks["ffn_pre"].kinks >= 1
    assert all(check.passed for check in checks.values()), gradcheck_report(checks.values())


def test_every_gradient_is_filled_by_a_step():
    filled = {(container, name) for _, _, (container, name) in OUTPUTS}
    assert filled == {("dp", name) for name in PARAMETER_NAMES} | {
        ("d", name) for name in ACTIVATION_NAMES if name != "loss"
    }


@pytest.mark.parametrize(("number", "name", "output"), OUTPUTS)
def test_an_error_of_a_thousandth_is_caught(number, name, output):
    """In what a step contributes: where it adds to a gradient, what was there before stays as it was."""
    params, tokens, targets = example()
    steps = list(backward_steps())
    adds = output in [fill for step in steps[:number] for fill in step.fills]

    def wrong_backward(params, cache):
        dparams = Params(*(np.empty_like(array) for array in params))
        dcache = empty_cache(params, cache.tokens, cache.targets, cache.use_residual)
        dcache.loss[()] = 1
        containers = {"p": params, "c": cache, "dp": dparams, "d": dcache}
        for i, step in enumerate(steps):
            array = getattr(containers[output[0]], output[1])
            before = array.copy() if adds else 0
            step.run(**containers)
            if i == number:
                array += 0.001 * (array - before)
        return dparams, dcache

    checks = gradcheck(params, tokens, targets, backward=wrong_backward)
    assert not all(check.passed for check in checks)
    text = gradcheck_report(checks)
    assert "FAILED" in text and "gradients wrong" in text


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
def test_compiled_and_plain_and_step_by_step_give_the_same_bits(case):
    params, tokens, targets, use_residual = case
    compiled = forward(params, tokens, targets, use_residual)
    dparams, dcache = backward(params, compiled)
    plain = plain_functions()
    for ways in (
        (plain["forward_pass"], plain["backward_pass"]), (run_forward, run_backward),
    ):
        cache, other_dcache = (empty_cache(params, tokens, targets, use_residual) for _ in range(2))
        other_dparams = Params(*(np.empty_like(array) for array in params))
        ways[0](params, cache)
        ways[1](params, cache, other_dparams, other_dcache)
        assert_same_bits(compiled, cache)
        assert_same_bits(dparams, other_dparams)
        assert_same_bits(dcache, other_dcache)


def run_backward(params, cache, dparams, dcache):
    dcache.loss[()] = 1
    for step in backward_steps():
        step.run(p=params, c=cache, dp=dparams, d=dcache)


def assert_same_bits(first, second):
    """Equal to the last bit, but for the sign of a zero, which BLAS leaves open for 1 x 1 products."""
    for name, a, b in zip(first._fields, first, second, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b), name)


def test_edit_sees_every_activation_once_in_order_and_complete():
    params, tokens, targets = example()
    seen = {}
    cache = empty_cache(params, tokens, targets, True)
    run_forward(params, cache, lambda name, array: seen.setdefault(name, array.copy()))
    assert list(seen) == list(ACTIVATION_NAMES)
    for name, value in seen.items():
        np.testing.assert_array_equal(value, getattr(cache, name))


def test_edit_changes_what_follows_and_nothing_before():
    params, tokens, targets = example()
    before = forward(params, tokens, targets)

    def silence(name, array):
        if name == "attn_out":
            array[:] = 0

    after = empty_cache(params, tokens, targets, True)
    run_forward(params, after, silence)
    np.testing.assert_array_equal(after.mixed, before.mixed)
    np.testing.assert_array_equal(after.resid_mid, before.embed)
    assert (after.logits != before.logits).any()


def test_the_passes_are_in_the_order_of_the_table():
    assert tuple(forward_steps()) == ACTIVATION_NAMES
    filled = {name for step in backward_steps() for container, name in step.fills if container == "d"}
    assert filled == set(ACTIVATION_NAMES) - {"loss"}
    for step in backward_steps():                               # what is handed on is complete by then
        handed = [name for container, name in step.arguments if container == "d"][:1]
        assert step.name in ("probs", "loss") or handed == [step.name]


def test_a_step_reads_only_what_is_there():
    known = {"tokens", "targets", "use_residual", *PARAMETER_NAMES}
    for name, step in forward_steps().items():
        assert {read for _, read in step.arguments[:-1]} <= known, name
        assert 3 <= len(step.arguments) + 1 <= 7 and step.function.__name__.endswith("_forward")
        known.add(name)


def example():
    rng = np.random.default_rng(1)
    params = make_params(ModelConfig(n_embd=2, num_heads=2, head_size=2, block_size=3, ffn_mult=2), 4, rng)
    return params, rng.integers(0, 4, (2, 3)), rng.integers(0, 4, (2, 3))


@pytest.mark.parametrize("scale", [10, 40, 100])
def test_large_weights_are_checked_as_well(scale):
    params, tokens, targets = example()
    params = params._replace(W_token=params.W_token * scale, W_pos=params.W_pos * scale)
    checks = gradcheck(params, tokens, targets)
    assert all(check.passed for check in checks), gradcheck_report(checks)

    def planted(params, cache):
        dparams, dcache = backward(params, cache)
        dparams.W_in[...] *= 1.001
        return dparams, dcache

    checks = gradcheck(params, tokens, targets, backward=planted)
    assert [check.name for check in checks if not check.passed] == ["W_in"]


def test_a_target_at_the_floor_is_left_out_and_said():
    params, tokens, targets = example()
    params = params._replace(b_unembed=np.array([0.0, 0, 0, -800]))
    targets[:] = 0
    targets[0, 0] = 3
    checks = gradcheck(params, tokens, targets)
    assert checks.left_out == 1 and "1 targets left out" in repr(checks)
    assert all(check.passed for check in checks), repr(checks)
    with pytest.raises(ValueError, match="no targets"):
        gradcheck(params, tokens, np.full_like(targets, 3))
