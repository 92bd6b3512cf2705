"""Gradient checks: every entry of every parameter and every intermediate, two ways.

    central difference   (L(x + h) - L(x - h)) / 2h             error of order h²
    complex step         Im L(x + ih) / h                       no subtraction, so h can be 1e-30

The complex step is Squire & Trapp 1998. The forward pass is analytic but for ReLU, which is linear on
either side of its kink: where a central difference steps over a kink the entry is left out of its
error and counted. An error is absolute, and relative to the gradient where that exceeds 1.

Large weights bend the loss: where a central difference disagrees it is taken again with a smaller h, and what
rounding L may cost it, about ε |L| / h, is not held against it. A target whose probability is so small that
its logarithm is held at a floor (lm_head.TINY), or nearly so, has no slope to measure: it is left out.
"""

import cmath
from typing import NamedTuple

import numpy as np

from scratchformer.engine.model import backward, empty_cache, forward
from scratchformer.engine.names import ACTIVATION_NAMES, PARAMETER_NAMES, Params
from scratchformer.engine.plain import plain_functions
from scratchformer.engine.steps import run_forward

CENTRAL_STEP, CENTRAL_TOLERANCE = 1e-5, 1e-8
SMALLER = (1, 0.1, 0.01)                # of the central step
ROUNDING = 2.0**-50                     # relative error of a loss
COMPLEX_STEP, COMPLEX_TOLERANCE = 1e-30, 1e-12
LEAST = 1e-270                          # probability of a target that is checked


class Check(NamedTuple):
    """The result for one name."""

    name: str
    entries: int
    kinks: int                          # entries whose central difference steps over a ReLU kink
    central_error: float                # the worst over the other entries
    complex_error: float                # the worst over all entries
    worst: tuple                        # index of the entry that is worst by complex step
    gradient: float                     # what backward says there
    numeric: float                      # what the complex step says there

    @property
    def passed(self):
        return self.central_error <= CENTRAL_TOLERANCE and self.complex_error <= COMPLEX_TOLERANCE


class Checks(list):
    """A Check a name, in forward order; shown as a table."""

    left_out = 0                        # targets whose probability is below LEAST

    def __repr__(self):
        return gradcheck_report(self)


def gradcheck(params, tokens, targets, use_residual=True, backward=backward, progress=lambda text: None):
    """Check the gradients of all parameters and intermediates: Checks.

    params: Params in float64; tokens, targets: (B, T) ids;
    backward(params, cache) -> (Params, Cache) of gradients, by default the engine's own

    Raises ValueError if no target is left to check.
    """
    cache = forward(params, tokens, targets, use_residual)
    chosen = np.take_along_axis(cache.probs, np.maximum(cache.targets, 0)[..., None], axis=-1)[..., 0]
    tiny = (cache.targets >= 0) & (chosen < LEAST)
    cache = forward(params, tokens, np.where(tiny, -1, cache.targets), use_residual)
    dparams, dcache = backward(params, cache)
    real = Nudge(params, cache)
    analytic = Nudge(
        Params(*(array.astype(complex) for array in params)), cache,
        plain_functions(exp=cmath.exp, log=cmath.log),
    )
    checks = Checks()
    checks.left_out = int(tiny.sum())
    for name in PARAMETER_NAMES + ACTIVATION_NAMES:
        progress(name)
        gradient = getattr(dparams if name in PARAMETER_NAMES else dcache, name)
        values = getattr(params if name in PARAMETER_NAMES else cache, name)
        real.choose(name)
        analytic.choose(name)
        check = Check(name, gradient.size, 0, 0.0, 0.0, (), 0.0, 0.0)
        for index in np.ndindex(gradient.shape):
            # a probability may be tiny, and the loss takes its log: step in proportion
            unit = max(values[index], LEAST) if name == "probs" else 1.0
            exact = analytic.loss(index, COMPLEX_STEP * unit * 1j)[0].imag / (COMPLEX_STEP * unit)
            error = distance(gradient[index], exact)
            if not error <= check.complex_error or not check.worst:
                check = check._replace(
                    complex_error=error, worst=index, gradient=float(gradient[index]), numeric=float(exact)
                )
            central = central_error(real, index, gradient[index], CENTRAL_STEP * unit)
            if central is None:
                check = check._replace(kinks=check.kinks + 1)
            else:
                check = check._replace(central_error=max(check.central_error, central))
        checks.append(check)
    return checks


def central_error(nudge, index, gradient, step):
    """The error of a gradient by central differences, or None if they step over a ReLU's kink."""
    least = np.inf
    for smaller in SMALLER:
        h = step * smaller
        (above, open_above), (below, open_below) = nudge.loss(index, h), nudge.loss(index, -h)
        if (open_above != open_below).any():
            return None
        error = distance(gradient, (above - below) / (2 * h))
        if error <= CENTRAL_TOLERANCE:
            return error
        rounding = ROUNDING * abs(above) / h / max(1, abs(gradient))
        least = min(least, max(0.0, error - rounding))
    return least


class Nudge:
    """A forward pass in which one entry of one quantity is something else.

    functions: what to run in place of the compiled ones, by name
    """

    def __init__(self, params, cache, functions=None):
        self.params = Params(*(array.copy() for array in params))
        self.cache = empty_cache(params, cache.tokens, cache.targets, cache.use_residual)
        self.functions = functions

    def choose(self, name):
        """Make a parameter or activation the quantity to nudge; all others are what they are without."""
        run_forward(self.params, self.cache, functions=self.functions)
        self.array = getattr(self.params if name in PARAMETER_NAMES else self.cache, name)
        self.after = name if name in ACTIVATION_NAMES else None

    def loss(self, index, step):
        """(loss, which hidden units are open) when `step` is added to one entry."""
        before = self.array[index]
        self.array[index] = before + step
        run_forward(self.params, self.cache, after=self.after, functions=self.functions)
        found = self.cache.loss[()], self.cache.ffn_pre.real > 0
        self.array[index] = before
        return found


def distance(gradient, numeric):
    """|gradient - numeric|, relative where the gradient exceeds 1; infinite if not a number."""
    error = abs(gradient - numeric) / max(1, abs(numeric))
    return float(error) if np.isfinite(error) else np.inf


def gradcheck_report(checks):
    """The checks as a table, then one line of verdict."""
    lines = [f"{'name':<13}{'entries':>8}{'kinks':>7}{'central':>11}{'complex':>11}  worst entry"]
    for check in checks:
        where = f"[{','.join(map(str, check.worst))}]"
        verdict = "" if check.passed else f", should be {check.numeric:.6g}  FAILED"
        lines.append(
            f"{check.name:<13}{check.entries:>8}{check.kinks:>7}"
            f"{check.central_error:>11.1e}{check.complex_error:>11.1e}  "
            f"{where} {check.gradient:.6g}{verdict}"
        )
    failed = [check.name for check in checks if not check.passed]
    central = max(checks, key=lambda check: check.central_error)
    exact = max(checks, key=lambda check: check.complex_error)
    lines.append(
        f"worst: central difference {central.central_error:.1e} ({central.name}), "
        f"complex step {exact.complex_error:.1e} ({exact.name}); "
        f"{sum(check.kinks for check in checks)} entries at a ReLU kink left out of the first"
    )
    if checks.left_out:
        lines.append(f"{checks.left_out} targets left out: their probability is below {LEAST:g}")
    lines.append(f"gradients wrong: {', '.join(failed)}" if failed else "all gradients right")
    return "\n".join(lines)
