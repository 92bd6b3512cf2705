"""The two passes as data: which function makes each quantity, from what, by which equation.

Read from the lists of calls in passes.py, so nothing is said twice. With this one runs the passes call by
call, with a look at, or a hand on, every named array in between: gradient checks, interventions, `--explain`
and the quizzes are built on it.
"""

import ast
import inspect
from functools import cache
from typing import NamedTuple

from scratchformer.engine import passes


class Step(NamedTuple):
    """One call of a pass. An array is named by (container, name): containers are p, c, dp and d."""

    name: str                           # the quantity: what is computed, or whose gradient is handed on
    function: object                    # as the pass calls it: compiled, unless NUMBA_DISABLE_JIT is set
    arguments: tuple                    # the arrays it is given, in order
    fills: tuple                        # those of them that it fills, or adds to
    formula: str                        # the equation beside the call; "" in the backward pass
    line: int                           # of the call in passes.py

    def run(self, function=None, **containers):
        """Make the call, or the call of a stand-in `function`, on arrays of these containers."""
        arrays = [getattr(containers[container], name) for container, name in self.arguments]
        return (function or self.function)(*arrays)


@cache
def forward_steps():
    """The Step of each activation, in forward order: {name: Step}."""
    steps = {}
    for function, arguments, formula, line in calls("forward_pass"):
        (_, name) = arguments[-1]
        steps[name] = Step(name, function, arguments, arguments[-1:], formula, line)
    return steps


@cache
def backward_steps():
    """The Steps of the backward pass, from the loss back: a tuple.

    A function reads the gradient that comes first, if one does, and fills those that come after it.
    """
    steps = []
    for function, arguments, _, line in calls("backward_pass"):
        gradients = [(container, name) for container, name in arguments if container in ("d", "dp")]
        reads_first = arguments[0] in gradients
        name = arguments[0][1] if reads_first else function.__name__.removesuffix("_backward")
        steps.append(Step(name, function, arguments, tuple(gradients[reads_first:]), "", line))
    return tuple(steps)


def calls(name):
    """(function, arguments, comment, line) of each call in a pass, as its source has them."""
    source = inspect.getsource(passes)
    lines = source.splitlines()
    functions = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    for statement in functions[name].body:
        call = getattr(statement, "value", None)
        if isinstance(call, ast.Call):
            comments = [line.partition("# ")[2] for line in lines[call.lineno - 1 : call.end_lineno]]
            arguments = tuple((argument.value.id, argument.attr) for argument in call.args)
            yield getattr(passes, call.func.id), arguments, "".join(comments), call.lineno


def run_forward(params, cache, edit=None, after=None, functions=None):
    """Fill a Cache call by call: the same bits as `forward_pass`.

    edit(name, array): called when an activation is complete, before anything reads it; what it writes into
    the array is what the rest of the pass sees; after: start behind this activation, given in the cache;
    functions: stand-ins by name, such as `plain_functions()`
    """
    waiting = after is not None
    for name, step in forward_steps().items():
        if not waiting:
            step.run(functions and functions[step.function.__name__], p=params, c=cache)
            if edit is not None:
                edit(name, getattr(cache, name))
        waiting &= name != after
