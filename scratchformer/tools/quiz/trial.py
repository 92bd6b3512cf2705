"""One step of the backward pass on its own, run as plain Python, and the slopes that it must say.

For each array x whose gradient dx the step fills, dx is compared with

    (L(x + h) - L(x - h)) / 2h        L = Σ upstream · output, with a random upstream gradient
"""

import inspect
from types import SimpleNamespace

import numpy as np

from scratchformer.engine.attention import has_W_o
from scratchformer.engine.gradcheck import CENTRAL_STEP, CENTRAL_TOLERANCE, distance
from scratchformer.engine.names import TABLE
from scratchformer.engine.plain import plain_functions
from scratchformer.engine.steps import backward_steps, forward_steps

CASES = (                               # sizes; `flag` is what use_residual is, L the block size
    {"B": 2, "T": 3, "C": 3, "H": 2, "D": 2, "F": 4, "V": 4, "L": 4, "flag": True},
    {"B": 3, "T": 1, "C": 2, "H": 1, "D": 2, "F": 3, "V": 2, "L": 2, "flag": False},
    {"B": 1, "T": 4, "C": 2, "H": 3, "D": 3, "F": 2, "V": 3, "L": 4, "flag": True},
)


def judge_backward(function, name, rebound=None):
    """Compare a backward function with measured slopes, up to the first that differs: (lines, exit code).

    function: as that of the backward pass's step of this name; rebound: {argument: line} where it gives an
    argument another array
    """
    worst = 0.0
    for number, sizes in enumerate(CASES):
        trial = Trial(name, sizes, np.random.default_rng(number))
        agree = []
        for (label, key), gradient in trial.gradients(function).items():
            slopes = trial.slopes(key)
            errors = {i: distance(gradient[i], slopes[i]) for i in np.ndindex(gradient.shape)}
            if not errors:
                continue
            at = max(errors, key=errors.get)
            worst = max(worst, errors[at])
            if errors[at] > CENTRAL_TOLERANCE and label in (rebound or {}):
                return [f"wrong: line {rebound[label]} gives the name {label} to another array; "
                        f"write into the one that is given: {label}[...] = ..."], 1
            if errors[at] > CENTRAL_TOLERANCE and np.isnan(gradient).all():
                return [f"wrong: nothing is written into {label}, which comes filled with nan: write "
                        f"{label}[...] = ..."], 1
            if errors[at] > CENTRAL_TOLERANCE:
                wrong = sum(error > CENTRAL_TOLERANCE for error in errors.values())
                dims = zip(TABLE[key[1]].dims.split(), gradient.shape, strict=True)
                return [
                    f"wrong: {label}, the gradient of {key[1]} "
                    f"({', '.join(f'{dim} {size}' for dim, size in dims)}), "
                    f"in {wrong} of {gradient.size} entries",
                    f"worst: {label}[{', '.join(map(str, at))}] is {gradient[at]:.6g}, "
                    f"the measured slope {slopes[at]:.6g}",
                    f"right so far: {', '.join(agree) or 'nothing, it is the first looked at'}",
                ], 1
            agree.append(label)
    return [f"right: all gradients agree (worst relative error {worst:.0e})"], 0


def step_of(name):
    """The step of the backward pass that hands on the gradient of a quantity."""
    return next(step for step in backward_steps() if step.name == name)


class Trial:
    """One case of a backward step: its inputs, drawn at random, and a random upstream gradient."""

    def __init__(self, name, sizes, rng):
        self.step, self.sizes = step_of(name), sizes
        self.engine = plain_functions()
        forward = forward_steps()
        if self.step.arguments[0] == ("d", name):
            self.forward = [forward[name]]
        else:                           # it starts from the loss itself, whose gradient is 1
            self.forward = list(forward.values())[list(forward).index(name):]
        output = self.forward[-1].name
        self.upstream = np.ones(()) if output == "loss" else rng.normal(size=self.shape(output))
        made = {("c", step.name) for step in self.forward}
        read = dict.fromkeys(key for step in self.forward for key in step.arguments if key not in made)
        self.inputs = {key: self.draw(key[1], rng) for key in read}
        earlier = backward_steps()[: backward_steps().index(self.step)]
        # what another route has left where this step adds its own
        self.before = {
            fill: rng.normal(size=self.shape(fill[1])) * any(fill in step.fills for step in earlier)
            for fill in self.step.fills
        }

    def shape(self, name):
        if name == "W_o" and not has_W_o(*(self.sizes[dim] for dim in "CHD")):
            return (0, 0, 0)
        dims = "L C" if name == "W_pos" else TABLE[name].dims
        return tuple(self.sizes[dim] for dim in dims.split())

    def draw(self, name, rng):
        """An input of the step. Tokens repeat; one target is missing, one is not."""
        if name == "use_residual":
            return self.sizes["flag"]
        if name == "tokens":
            return rng.integers(0, 2, self.shape(name))
        if name == "targets":
            targets = rng.integers(0, self.sizes["V"], self.shape(name))
            targets[0, 0] = -1
            return targets
        values = rng.normal(size=self.shape(name))
        return np.abs(values) + 0.1 if name == "probs" else values

    def run(self, nudged=None, index=(), step=0.0):
        """The containers p and c after the forward steps, with `step` added to one entry of an input."""
        containers = {"p": SimpleNamespace(), "c": SimpleNamespace()}
        for (container, name), array in self.inputs.items():
            array = array if name == "use_residual" else array.copy()
            if (container, name) == nudged:
                array[index] += step
            setattr(containers[container], name, array)
        for forward in self.forward:
            setattr(containers["c"], forward.name, np.full(self.shape(forward.name), np.nan))
            forward.run(self.engine[forward.function.__name__], **containers)
        return containers

    def gradients(self, function):
        """What a backward function says: {(name of its argument, key of the value): gradient}, in order."""
        containers = self.run() | {"d": SimpleNamespace(), "dp": SimpleNamespace()}
        setattr(containers["d"], self.forward[-1].name, self.upstream.copy())
        for fill, before in self.before.items():
            start = before.copy() if before.any() else np.full(before.shape, np.nan)
            setattr(containers[fill[0]], fill[1], start)
        with np.errstate(all="ignore"):
            self.step.run(function, **containers)
        labels = inspect.signature(self.engine[self.step.function.__name__]).parameters
        return {
            (label, ("p" if fill[0] == "dp" else "c", fill[1])): getattr(containers[fill[0]], fill[1])
            for label, fill in zip(labels, self.step.arguments, strict=True) if fill in self.before
        }

    def slopes(self, key):
        """The measured gradient of L = Σ upstream · output by every entry of an input, and what was there
        before."""
        slopes = np.empty(self.inputs[key].shape)
        for index in np.ndindex(slopes.shape):
            # a probability may be small, and the loss takes its log: step in proportion
            h = CENTRAL_STEP * (self.inputs[key][index] if key[1] == "probs" else 1)
            slopes[index] = (self.total(key, index, h) - self.total(key, index, -h)) / (2 * h)
        return slopes + self.before["dp" if key[0] == "p" else "d", key[1]]

    def total(self, key, index, step):
        """L when `step` is added to one entry of one input."""
        output = getattr(self.run(key, index, step)["c"], self.forward[-1].name)
        return float((self.upstream * output).sum())
