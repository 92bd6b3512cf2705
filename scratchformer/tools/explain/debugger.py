"""Stop in pdb where a quantity of an input's forward pass, or its gradient, has just been computed."""

import bdb
import inspect
import pdb

import numpy as np

from scratchformer.engine import passes
from scratchformer.engine.model import empty_cache
from scratchformer.engine.names import ACTIVATION_NAMES, Params
from scratchformer.engine.steps import backward_steps, forward_steps
from scratchformer.system.errors import RunError
from scratchformer.tools.explain.explain import check_name, read_tokens

HELP = """\
{shown} is complete. There are c.{name} and the other activations, the parameters p.W_q and so on{more};
what is not computed yet is nan. c, p and d alone are commands of pdb: ask with p, as in
    p {shown}
n goes to the next quantity, s into the function that computes it, q ends.
"""


class Debugger(pdb.Pdb):
    """A pdb that asks for no command before its first breakpoint."""

    started = False

    def user_line(self, frame):
        if self.started or self.break_here(frame):
            super().user_line(frame)
        else:
            self.set_continue()
        self.started = True


def stop_in_debugger(model, tokens, name, target=None):
    """Run the forward pass of an input, with a target the backward pass as well, and stop in pdb where an
    activation is complete, or with a target its gradient.

    Raises RunError where the model has no such token or name, and if the engine is compiled:
    NUMBA_DISABLE_JIT=1 leaves it Python.
    """
    params, ids = model.params, read_tokens(model, tokens)
    check_name(name, ACTIVATION_NAMES)
    if not inspect.isfunction(passes.forward_pass):
        raise RunError("a debugger sees no compiled code: set NUMBA_DISABLE_JIT=1 before Python starts")
    targets = np.full((1, len(ids)), -1)
    if target is not None:
        targets[0, -1:] = read_tokens(model, target, 1, "--target: ")
    cache, dcache = (empty_cache(params, ids[None], targets, model.use_residual) for _ in range(2))
    dparams = Params(*(np.full_like(array, np.nan) for array in params))
    for activation in ACTIVATION_NAMES:
        getattr(cache, activation)[...] = getattr(dcache, activation)[...] = np.nan
    debugger = Debugger()
    debugger.set_break(passes.__file__, line_after(name, target is not None), temporary=True)
    print(HELP.format(
        name=name, shown=f"{'c' if target is None else 'd'}.{name}",
        more="" if target is None else ", their gradients d.q and dp.W_q and so on",
    ))

    def both():
        passes.forward_pass(params, cache)
        if target is not None:
            passes.backward_pass(params, cache, dparams, dcache)

    try:
        debugger.runcall(both)
    except bdb.BdbQuit:
        return


def line_after(name, gradient=False):
    """The line of passes.py that runs next when an activation is complete, or its gradient: that of the call
    itself where none comes after it."""
    if gradient:
        lines = [step.line for step in backward_steps()]
        made = [step.line for step in backward_steps() if ("d", name) in step.fills] or lines[:1]
    else:
        lines = [step.line for step in forward_steps().values()]
        made = [forward_steps()[name].line]
    return min([line for line in lines if line > made[-1]], default=made[-1])
