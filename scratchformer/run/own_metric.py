"""A metric of the user's own: a function in a Python file, `--metric file.py:function`.

    def confidence(cache, allowed):
        return cache.probs.max(axis=-1)[allowed.any(axis=-1)].mean()

cache holds every activation by name over held-out windows, with their tokens and targets; allowed, (N, T, V)
bool, is what the rule lets come next, all False where it lets any token come. Both can only be read. The
answer is a number. It is measured of saved models, never in training, and stands where the rule error does.
It is run by foreign.py alone.
"""

import inspect
from functools import partial
from numbers import Real
from typing import NamedTuple

import numpy as np

from scratchformer.run import foreign
from scratchformer.run.own_function import absolute, load_function, path_of
from scratchformer.system.errors import ConfigError, shown


class Metric(NamedTuple):
    """A function of the user's, under its name."""

    name: str
    function: object

    def measure(self, cache, allowed):
        """The function's answer, a float that may be nan; ConfigError if it raises or is no number.

        cache: Cache of (N, T) tokens; allowed: (N, T, V) bool
        """
        cache = cache._replace(**{name: read_only(getattr(cache, name)) for name in cache._fields})
        value = foreign.call(partial(self.function, cache), read_only(allowed), self.problem)
        if isinstance(value, np.ndarray) and value.ndim == 0:
            value = value.item()
        if not isinstance(value, Real) or isinstance(value, bool):
            raise self.problem(f"returns {shown(value)}, not a number")
        return float(value)

    def problem(self, text):
        """The ConfigError that says so of this metric."""
        return ConfigError(f"metric {self.name}: {text}")


def load_metric(reference):
    """The Metric that `file.py:function` names, relative to the current folder: the user has named it, so it
    may be run. Raises ConfigError where there is none."""
    reference = absolute(reference, ".")
    if path_of(reference) is None:
        raise ConfigError(f"--metric {reference}: write a Python file, as in my_metric.py:name")
    foreign.trust(path_of(reference))
    _, function, _ = load_function(reference, f"--metric {reference}")
    return as_metric(function)


def as_metric(function):
    """The Metric of a function; ConfigError unless it takes (cache, allowed)."""
    metric = Metric(function.__name__, function)
    names = [*inspect.signature(function).parameters]
    if names != ["cache", "allowed"]:
        raise metric.problem(f"must take (cache, allowed), takes ({', '.join(names)})")
    return metric


def read_only(array):
    """The same numbers, not to be written to; what is not an array as it is."""
    if not isinstance(array, np.ndarray):
        return array
    view = array.view()
    view.flags.writeable = False
    return view
