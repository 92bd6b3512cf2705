"""A function in a Python file of the user's, named as `file.py:function`: a rule or a metric."""

import inspect
import os
import re
from pathlib import Path

from scratchformer.run import foreign
from scratchformer.system.errors import ConfigError, nearest

REFERENCE = re.compile(r"(?P<path>.+\.py)(:(?P<function>\w+))?")


def path_of(reference):
    """The path of the Python file that a name points into; None if it is a name of another kind."""
    match = REFERENCE.fullmatch(reference)
    return match and match["path"]


def is_reference(name):
    """Whether a rule's (or config's) name points into a Python file."""
    return path_of(name) is not None


def absolute(reference, folder):
    """A `file.py:function` with its whole path, a relative one taken from `folder`; all else as it is."""
    if not isinstance(reference, str) or not is_reference(reference):
        return reference
    match = REFERENCE.fullmatch(reference)
    path = os.path.abspath(Path(folder) / Path(match["path"]).expanduser())
    return f"{path}:{match['function']}" if match["function"] else path


def load_function(reference, who):
    """(`file:function`, the function, digest of the file) that an absolute reference names.

    who: what names it, in messages. Raises Untrusted if the file may not be run, ConfigError: no such file,
    an error in it, no such function, or several to choose from.
    """
    match = REFERENCE.fullmatch(reference)
    path, wanted = Path(match["path"]), match["function"]
    module, digest = foreign.load_file(str(path), who)
    functions = {
        name: value for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__
    }
    public = [name for name in functions if not name.startswith("_")]
    if wanted is None and len(public) != 1:
        raise ConfigError(
            f"{who}: must hold one function, holds {', '.join(public) or 'none'}"
            + (f"; name it, as in {path.name}:{public[0]}" if public else "")
        )
    name = wanted or public[0]
    if name not in functions:
        hint = nearest(name, public) if public else "; there is none"
        raise ConfigError(f"{who}: no function {name!r} in {path}{hint}")
    function = functions[name]
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigError(f"{who}: must be a plain function, without async")
    return f"{path}:{name}", function, digest
