"""A layer of the engine on its own, run as plain Python, and the slopes that a backward function must say.

For each array x of the layer the gradient dx is compared with

    (L(x + h) - L(x - h)) / 2h        L = Σ upstream · output, with a random upstream gradient
"""

import inspect
from typing import NamedTuple

import numpy as np

from scratchformer.engine.gradcheck import CENTRAL_STEP, CENTRAL_TOLERANCE, distance
from scratchformer.engine.names import TABLE
from scratchformer.engine.plain import plain_functions


class Layer(NamedTuple):
    """A forward function and its backward, `<name>_forward` and `<name>_backward` of a module."""

    module: str
    fills: str                          # what the forward function fills, in order; the output is last
    adds: str = ""                      # the value whose gradient the backward function adds to
    dims: dict = {}                     # of arguments that names.py does not know, or knows otherwise


LAYERS = {
    "linear": Layer("linear", "y", dims={"x": "B T N", "W": "N M", "b": "M", "y": "B T M"}),
    "softmax": Layer("linear", "p", dims={"x": "N T J", "p": "N T J"}),
    "residual": Layer("model", "out", dims={"stream": "B T C", "branch": "B T C", "out": "B T C"}),
    "lm_head": Layer("lm_head", "logits probs loss"),
    "feed_forward": Layer("feed_forward", "ffn_pre ffn_hidden ffn_out", "resid_mid"),
    "attention": Layer("attention", "q k v scores attention mixed attn_out", "embed"),
    "output": Layer("attention", "attn_out"),
    "project": Layer("attention", "q", "embed", {"W": "C H D"}),
    "embedding": Layer("embedding", "token_embed pos_embed embed", dims={"W_pos": "L C"}),
}
CASES = (                               # sizes; `flag` is what use_residual and causal are
    {"B": 2, "T": 3, "C": 3, "H": 2, "D": 2, "F": 4, "V": 4, "L": 4, "N": 3, "M": 2, "J": 3, "flag": True},
    {"B": 3, "T": 1, "C": 2, "H": 1, "D": 2, "F": 3, "V": 2, "L": 2, "N": 2, "M": 3, "J": 4, "flag": False},
    {"B": 1, "T": 4, "C": 2, "H": 3, "D": 3, "F": 2, "V": 3, "L": 4, "N": 1, "M": 1, "J": 4, "flag": True},
)


def compare(function, layer):
    """Compare a backward function with measured slopes, up to the first that differs: (lines, exit code)."""
    worst = 0.0
    for number, sizes in enumerate(CASES):
        trial = Trial(layer, sizes, np.random.default_rng(number))
        agree = []
        for name, gradient in trial.gradients(function).items():
            slopes = trial.slopes(name)
            errors = {i: distance(gradient[i], slopes[i]) for i in np.ndindex(gradient.shape)}
            if not errors:
                continue
            at = max(errors, key=errors.get)
            worst = max(worst, errors[at])
            if errors[at] > CENTRAL_TOLERANCE:
                wrong = sum(error > CENTRAL_TOLERANCE for error in errors.values())
                shown = ", ".join(f"{dim} {sizes[dim]}" for dim in trial.dims(name).split())
                return [
                    f"wrong: d{name}, the gradient of {name} ({shown}), "
                    f"in {wrong} of {gradient.size} entries",
                    f"worst: d{name}[{', '.join(map(str, at))}] is {gradient[at]:.6g}, "
                    f"the measured slope {slopes[at]:.6g}",
                    f"right so far: {', '.join(agree) or 'nothing, it is the first looked at'}",
                ], 1
            agree.append(f"d{name}")
    return [f"right: all gradients agree (worst relative error {worst:.0e})"], 0


class Trial:
    """One case of a layer: its inputs, drawn at random, and a random upstream gradient."""

    def __init__(self, layer, sizes, rng):
        self.layer, self.sizes = LAYERS[layer], sizes
        self.engine = plain_functions()
        self.forward = self.engine[f"{layer}_forward"]
        self.arguments = list(inspect.signature(self.forward).parameters)
        self.wanted = list(inspect.signature(self.engine[f"{layer}_backward"]).parameters)
        self.fills = self.layer.fills.split()
        self.inputs = {name: self.draw(name, rng) for name in self.arguments if name not in self.fills}
        output = self.fills[-1]
        # the loss is the end: its gradient is 1
        self.upstream = np.ones(()) if output == "loss" else rng.normal(size=self.shape(output))
        # what another route has left where this layer adds its own
        self.before = rng.normal(size=self.shape(self.layer.adds)) if self.layer.adds else 0

    def dims(self, name):
        return self.layer.dims[name] if name in self.layer.dims else TABLE[name].dims

    def shape(self, name):
        if name == "W_o" and self.sizes["H"] == 1 and self.sizes["D"] == self.sizes["C"]:
            return (0, 0, 0)
        return tuple(self.sizes[dim] for dim in self.dims(name).split())

    def draw(self, name, rng):
        """An input of the layer. Tokens repeat; one target is missing, one is not."""
        if name in ("causal", "use_residual"):
            return self.sizes["flag"]
        if name == "tokens":
            return rng.integers(0, 2, self.shape(name))
        if name == "targets":
            targets = rng.integers(0, self.sizes["V"], self.shape(name))
            targets[0, 0] = -1
            return targets
        return rng.normal(size=self.shape(name))

    def run(self, edit=lambda name, array: None):
        """The forward pass, each array handed to `edit(name, array)` when complete: all arrays by name."""
        arrays = {name: np.copy(array) for name, array in self.inputs.items()}
        for name, array in arrays.items():
            edit(name, array)
        arrays.update({name: np.full(self.shape(name), np.nan) for name in self.fills})
        done = set(self.inputs)

        def after(name, array):
            if name not in done:
                done.add(name)
                edit(name, array)

        self.engine["after"] = after
        self.forward(*(arrays[name] for name in self.arguments))
        return arrays

    def gradients(self, function):
        """What a backward function says: gradients by the name of their value, last computed first."""
        arrays = self.run()
        arrays[f"d{self.fills[-1]}"] = self.upstream.copy()
        names = [name for name in reversed(self.arguments[:-1]) if f"d{name}" in self.wanted]
        arrays.update({f"d{name}": np.full(self.shape(name), np.nan) for name in names})
        if self.layer.adds:
            arrays[f"d{self.layer.adds}"] = self.before.copy()
        with np.errstate(all="ignore"):
            function(*(arrays[name] for name in self.wanted))
        return {name: arrays[f"d{name}"] for name in names}

    def slopes(self, name):
        """The measured gradient of L = Σ upstream · output by every entry of an array."""
        values = self.run()[name]
        slopes = np.empty(values.shape)
        for index in np.ndindex(values.shape):
            # a probability may be small, and the loss takes its log: step in proportion
            h = CENTRAL_STEP * (values[index] if name == "probs" else 1)
            slopes[index] = (self.total(name, index, h) - self.total(name, index, -h)) / (2 * h)
        return slopes + self.before if name == self.layer.adds else slopes

    def total(self, name, index, step):
        """L when `step` is added to one entry of one array."""
        def edit(computed, array):
            if computed == name:
                array[index] += step

        return float((self.upstream * self.run(edit)[self.fills[-1]]).sum())
