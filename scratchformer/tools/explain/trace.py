"""One entry of a forward or backward pass as an expression of other entries, as the engine computes it.

Each step of a pass is run once on arrays of Terms: what it fills says how every entry came about.
"""

from functools import cache

import numpy as np

from scratchformer.engine import lm_head
from scratchformer.engine.names import TABLE
from scratchformer.engine.plain import plain_functions
from scratchformer.engine.steps import backward_steps, forward_steps
from scratchformer.tools.explain.term import Operand, Term, as_term, constant, exp, largest, log, sqrt


class Trace:
    """The entries of one sequence's forward pass, and of its gradients as `d` + name, with their expressions.

    Indices have no batch axis. `trace("q", 0, 3, 1)` is the operand of head 0, position 3, dim 1; with one
    head its label is q[3,1].
    """

    def __init__(self, params, values, dparams=None, dvalues=None):
        self.containers = {"p": params, "c": values, "dp": dparams, "d": dvalues}
        self.tokens, self.targets = values.tokens[0], values.targets[0]
        self.arrays = {}
        for prefix, container in (("", params), ("", values), ("d", dparams), ("d", dvalues)):
            for name, array in () if container is None else container._asdict().items():
                first = array[0] if TABLE[name].dims.startswith("B") else array
                self.arrays[prefix + name] = first
        self.C, self.H, self.D = params.W_q.shape
        self.T, self.F, self.V = len(self.tokens), len(params.b_in), len(params.b_unembed)
        self.functions = plain_functions(
            exp=exp, log=log, sqrt=sqrt, max=largest, TINY=constant(lm_head.TINY, "TINY"),
        )
        self.leaves, self.run = cache(self.leaves), cache(self.run)         # kept as long as this Trace

    def __call__(self, name, *index):
        return Operand(name, self.label(name, index), self.arrays[name][tuple(index)].item())

    def dims(self, name):
        """Dims of a name without the batch axis, such as H T D."""
        return [dim for dim in TABLE[name if name in TABLE else name[1:]].dims.split() if dim != "B"]

    def label(self, name, index):
        """How an entry is written: with one head the head's index is left out."""
        shown = [str(i) for dim, i in zip(self.dims(name), index, strict=True) if dim != "H" or self.H > 1]
        return f"{name}[{','.join(shown)}]" if shown else name

    def leaves(self, container, name):
        """What a step reads: an array of Terms, each an operand; token ids and the like as they are."""
        array = getattr(self.containers[container], name)
        if name in ("tokens", "targets", "use_residual"):
            return array
        label = "d" * container.startswith("d") + name
        found, batched = np.empty(array.shape, object), TABLE[name].dims.startswith("B")
        for index in np.ndindex(array.shape):
            operand = self(label, *index[batched:])
            found[index] = Term(operand.value, "", (operand,))
        return found

    def run(self, step):
        """What a step fills: {(container, name): array of Terms}, each from 0 on if the step adds to it."""
        filled = {key: np.zeros(getattr(self.containers[key[0]], key[1]).shape, object) for key in step.fills}
        arrays = [filled[key] if key in filled else self.leaves(*key) for key in step.arguments]
        self.functions[step.function.__name__](*arrays)
        return filled

    def entry(self, filled, name, index):
        """The Term of one entry of an array that a step filled."""
        return as_term(filled[(0, *index) if TABLE[name].dims.startswith("B") else index])


def forward_entry(x, name, index):
    """The Term that computes an activation's entry; a parameter is its own. x: Trace"""
    steps = forward_steps()
    if name not in steps:
        operand = x(name, *index)
        return Term(operand.value, "", (operand,))
    return x.entry(x.run(steps[name])["c", name], name, index)


def routes(x, name, index):
    """(route, Term) for each route by which the loss's gradient arrives at an entry. x: Trace with gradients.

    What several later quantities read collects a term from each of them: the sum is the entry's gradient.
    """
    if name == "loss":
        return [("itself", constant(1))]
    found = []
    for step in backward_steps():
        for container in ("d", "dp"):
            if (container, name) in step.fills:
                found.append((f"through {step.name}", x.entry(x.run(step)[container, name], name, index)))
    return found
