"""The engine's functions as plain Python, for what no compiler can do.

They are the very functions that Numba compiles, in a namespace of their own, where names can be replaced:
`exp` and `log` by those of complex numbers for the complex step, any function by a learner's (quizzes), or
all arithmetic by one that remembers what it did (`--explain`).
"""

from types import FunctionType

from scratchformer.engine import adam, attention, embedding, feed_forward, linear, lm_head, passes

MODULES = (linear, embedding, attention, feed_forward, lm_head, passes, adam)
NAMES = {module.__name__ for module in MODULES}


def plain_functions(**replacements):
    """All functions of the engine as plain Python, in one dict that is their global namespace."""
    namespace = {}
    for module in MODULES:
        for name, value in vars(module).items():
            function = getattr(value, "py_func", value)         # Numba's dispatchers keep the original there
            if isinstance(function, FunctionType) and function.__module__ in NAMES:
                value = FunctionType(function.__code__, namespace, name)
            if not name.startswith("__"):
                namespace[name] = value
    namespace.update(replacements)
    return namespace
