"""The judge of the course: forward functions against the engine's own, backward functions against slopes.

A function must fill what it is given to fill, and leave alone what it is given to read.
"""

import inspect

import numpy as np

from scratchformer.engine.adam import AdamSettings
from scratchformer.engine.plain import plain_functions
from scratchformer.engine.steps import backward_steps, forward_steps
from scratchformer.tools.quiz.trial import CASES, Trial, judge_backward

ONE_TARGET = {"B": 1, "T": 2, "C": 2, "H": 1, "D": 2, "F": 3, "V": 3, "L": 2, "flag": True}
TOLERANCE = 1e-11                       # of what a forward function says, relative


class Touched(Exception):
    """A function has changed what it may only read."""


def judge_functions(functions, rebound):
    """The verdict on a lesson's functions, in order, up to the first that is wrong: (lines, exit code).

    functions: {name: function}; rebound: {name: {argument: line}} where one gives an argument another array
    """
    right = []
    for name, function in functions.items():
        judge = JUDGES.get(name) or (judge_slopes if name.endswith("_backward") else judge_step)
        try:
            lines, code = judge(name, function, rebound.get(name, {}))
        except Touched as error:
            lines, code = [str(error)], 1
        if len(functions) > 1:
            lines[0] = f"{name} is {lines[0]}"
        if code:
            return [*right, *lines], 1
        right += lines
    return right, 0


def step_for(name):
    """The first Step that calls a function, in the pass that its name ends with."""
    steps = backward_steps() if name.endswith("_backward") else forward_steps().values()
    return next(step for step in steps if step.function.__name__ == name)


def watched(name, function, fills):
    """The function, raising Touched if it changes an array whose argument is not one of `fills`."""
    labels = list(inspect.signature(plain_functions()[name]).parameters)

    def call(*arguments):
        before = [np.copy(argument) for argument in arguments]
        function(*arguments)
        for label, argument, old in zip(labels, arguments, before, strict=True):
            if label not in fills and not np.array_equal(argument, old):
                raise Touched(f"wrong: it changes {label}, which it may only read: others read it later")

    return call


def judge_slopes(name, function, rebound):
    """A backward function against measured slopes."""
    step = step_for(name)
    labels = inspect.signature(plain_functions()[name]).parameters
    fills = [label for label, key in zip(labels, step.arguments, strict=True) if key in step.fills]
    return judge_backward(watched(name, function, fills), step.name, rebound)


def judge_step(name, function, rebound):
    """A function of the forward pass against the engine's."""
    step = step_for(name)
    label = list(inspect.signature(plain_functions()[name]).parameters)[-1]
    worst = 0.0
    for number, sizes in enumerate((*CASES, ONE_TARGET)):
        trial = Trial(step.name, sizes, np.random.default_rng(number))
        wanted = getattr(trial.run()["c"], step.name)
        trial.engine[name] = watched(name, function, [label])
        with np.errstate(all="ignore"):
            found = getattr(trial.run()["c"], step.name)
        wrong, error = compare_arrays(label, found, wanted, rebound)
        if wrong:
            return wrong, 1
        worst = max(worst, error)
    return [f"right: every entry agrees (worst relative error {worst:.0e})"], 0


def judge_softmax(name, function, rebound):
    """The softmax of rows against the engine's: common, huge and equal scores, with and without mask."""
    rng = np.random.default_rng(0)
    cases = [(rng.normal(size=(2, 3, 4)), False), (rng.normal(size=(2, 4, 4)), True)]
    cases += [(scale * rng.normal(size=(1, 3, 3)) + shift, causal) for causal in (False, True)
              for scale, shift in ((0, 0), (800, 0), (1, 1000), (1, -1000))]
    cases.append((np.triu(np.full((1, 3, 3), 900.0), 1), True))        # what lies behind the mask is larger
    cases.append((1000 * np.eye(4)[None], False))                       # the largest is anywhere
    worst = 0.0
    for x, causal in cases:
        found, wanted = np.full(x.shape, np.nan), np.empty(x.shape)
        plain_functions()[name](x, causal, wanted)
        with np.errstate(all="ignore"):
            watched(name, function, ["p"])(x, causal, found)
        wrong, error = compare_arrays("p", found, wanted, rebound)
        if wrong:
            mask = f", causal = {causal}"
            return [*wrong, f"there x is between {x.min():.4g} and {x.max():.4g}{mask}"], 1
        worst = max(worst, error)
    return [f"right: every entry agrees (worst relative error {worst:.0e})"], 0


def judge_adam(name, function, rebound):
    """Updates against the engine's: the first three in a row and a late one; large and tiny gradients."""
    rng = np.random.default_rng(0)
    worst, sizes = 0.0, 10.0 ** np.array([2, 0, -3, -8, -12])
    for settings in (AdamSettings(0.9, 0.999, 1e-8, 0.0), AdamSettings(0.8, 0.95, 1e-3, 0.1)):
        wanted = {label: rng.normal(size=len(sizes)) for label in ("theta", "m", "v")}
        wanted["v"] **= 2
        found = {label: array.copy() for label, array in wanted.items()}
        for step in (1, 2, 3, 5000):
            gradient = sizes * rng.normal(size=len(sizes))
            plain_functions()[name](wanted["theta"], gradient, wanted["m"], wanted["v"], step, 0.01, settings)
            with np.errstate(all="ignore"):
                watched(name, function, ["theta", "m", "v"])(
                    found["theta"], gradient, found["m"], found["v"], step, 0.01, settings,
                )
            for label in ("m", "v", "theta"):
                wrong, error = compare_arrays(label, found[label], wanted[label], rebound)
                if wrong:
                    return [*wrong, f"there step = {step}, settings = {tuple(settings)}"], 1
                worst = max(worst, error)
    return [f"right: every entry agrees (worst relative error {worst:.0e})"], 0


JUDGES = {"softmax_forward": judge_softmax, "adam_update": judge_adam}


def compare_arrays(label, found, wanted, rebound):
    """(lines that say what is wrong with an array, none if nothing is; its worst relative error)."""
    errors = np.abs(found - wanted) / np.maximum(np.abs(wanted), 1e-300)
    errors = np.where(np.isfinite(found), errors, np.inf)
    at = np.unravel_index(errors.argmax(), errors.shape)
    if errors[at] <= TOLERANCE:
        return [], float(errors[at])
    if label in rebound:
        return [f"wrong: line {rebound[label]} gives the name {label} to another array; "
                f"write into the one that is given: {label}[...] = ..."], np.inf
    if np.isnan(found).all():
        return [f"wrong: nothing is written into {label}, which comes filled with nan: "
                f"write {label}[...] = ..."], np.inf
    where = f"{label}[{', '.join(map(str, at)) or '()'}]"
    return [f"wrong: {label} in {(errors > TOLERANCE).sum()} of {errors.size} entries",
            f"worst: {where} is {found[at]:.6g}, should be {wanted[at]:.6g}"], np.inf
