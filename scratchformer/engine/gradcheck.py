"""Gradient checks: every entry of every parameter and every intermediate, two ways.

    central difference   (L(x + h) - L(x - h)) / 2h             error of order h²
    complex step         Im L(x + ih) / h                       no subtraction, so h can be 1e-30

The complex step is Squire & Trapp 1998. The forward pass is analytic but for ReLU, which is linear on
either side of its kink: where a central difference steps over a kink the entry is left out of its
error and counted. An error is absolute, and relative to the gradient where that exceeds 1.
"""

from typing import NamedTuple

import numpy as np

from scratchformer.engine.model import backward
from scratchformer.engine.names import ACTIVATION_NAMES, PARAMETER_NAMES, Params
from scratchformer.engine.plain import forward_with

CENTRAL_STEP, CENTRAL_TOLERANCE = 1e-5, 1e-8
COMPLEX_STEP, COMPLEX_TOLERANCE = 1e-30, 1e-12


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


def gradcheck(params, tokens, targets, use_residual=True, backward=backward, progress=lambda text: None):
    """Check the gradients of all parameters and intermediates: a list of Check, in forward order.

    params: Params in float64; tokens, targets: (B, T) ids;
    backward(params, cache) -> (Params, Cache) of gradients, by default the engine's own
    """
    tokens, targets = np.ascontiguousarray(tokens), np.ascontiguousarray(targets)
    cache = forward_with(lambda name, array: None, params, tokens, targets, use_residual)
    dparams, dcache = backward(params, cache)
    complex_params = Params(*(array.astype(complex) for array in params))

    def nudged(name, index, step):
        """The cache when `step` is added to one entry of one quantity."""
        inputs = complex_params if isinstance(step, complex) else params
        if name in PARAMETER_NAMES:
            array = getattr(inputs, name).copy()
            array[index] += step
            inputs = inputs._replace(**{name: array})

        def edit(computed, array):
            if computed == name:
                array[index] += step

        return forward_with(edit, inputs, tokens, targets, use_residual)

    checks = []
    for name in PARAMETER_NAMES + ACTIVATION_NAMES:
        progress(name)
        gradient = getattr(dparams if name in PARAMETER_NAMES else dcache, name)
        values = getattr(params if name in PARAMETER_NAMES else cache, name)
        check = Check(name, gradient.size, 0, 0.0, 0.0, (), 0.0, 0.0)
        for index in np.ndindex(gradient.shape):
            exact = nudged(name, index, COMPLEX_STEP * 1j).loss.imag / COMPLEX_STEP
            # a probability may be tiny, and the loss takes its log: step in proportion
            h = CENTRAL_STEP * values[index] if name == "probs" else CENTRAL_STEP
            above, below = nudged(name, index, h), nudged(name, index, -h)
            central = (above.loss - below.loss) / (2 * h)
            error = distance(gradient[index], exact)
            if not error <= check.complex_error or not check.worst:
                check = check._replace(
                    complex_error=error, worst=index, gradient=float(gradient[index]), numeric=float(exact)
                )
            if ((above.ffn_pre > 0) != (below.ffn_pre > 0)).any():
                check = check._replace(kinks=check.kinks + 1)
            else:
                check = check._replace(
                    central_error=max(check.central_error, distance(gradient[index], central))
                )
        checks.append(check)
    return checks


def distance(gradient, numeric):
    """|gradient - numeric|, relative where the gradient exceeds 1; infinite if not a number."""
    error = abs(gradient - numeric) / max(1, abs(numeric))
    return float(error) if np.isfinite(error) else np.inf


def report(checks):
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
    lines.append(f"gradients wrong: {', '.join(failed)}" if failed else "all gradients right")
    return "\n".join(lines)
