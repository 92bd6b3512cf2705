"""A rule of the user's own: one function in a Python file, named in a config as `file.py:function`.

It is checked when the config is loaded, on histories drawn with a fixed seed, and again at every
call. A mistake is reported in one line, with the history that shows it.
"""

import hashlib
import importlib.util
import inspect
import random
import re
import sys
import traceback
from functools import cache, partial
from pathlib import Path

from scratchformer.run.rules import RULES
from scratchformer.system.errors import ConfigError, nearest

REFERENCE = re.compile(r"(?P<path>.+\.py)(:(?P<function>\w+))?")
SEQUENCES, LONGEST = 20, 50             # drawn to check a rule on


def find_rule(data):
    """The rule of a DataConfig as a function of the history alone.

    Raises ConfigError if it is the user's own and its file cannot be used, or has changed since.
    """
    if data.rule in RULES:
        return with_numbers(RULES[data.rule], data.numbers)
    name, function, digest = load(data.rule)
    if data.rule_digest not in ("", digest):
        raise ConfigError(f"data.rule = {data.rule!r}: the file has changed since the run was made "
                          f"(data.rule_digest = {data.rule_digest}); train it again")
    tokens = {*range(data.numbers), *data.operators}
    return partial(guarded, with_numbers(function, data.numbers), tokens, name)


def describe_rule(name):
    """The first line of a rule's docstring, without the full stop; else its name."""
    function = RULES[name] if name in RULES else load(name)[1]
    return (inspect.getdoc(function) or f"the rule {function.__name__}").splitlines()[0].rstrip(".")


def with_numbers(function, numbers):
    """The function with the count of numbers filled in, if it takes that as a second argument."""
    takes = "numbers" in inspect.signature(function).parameters
    return partial(function, numbers=numbers) if takes else function


def is_reference(name):
    """Whether a rule's (or config's) name points into a Python file."""
    return REFERENCE.fullmatch(name) is not None


def absolute(reference, folder):
    """A `file.py:function` with its whole path, a relative one taken from `folder`; all else as it is."""
    if not isinstance(reference, str) or not is_reference(reference):
        return reference
    match = REFERENCE.fullmatch(reference)
    path = (Path(folder) / Path(match["path"]).expanduser()).resolve()
    return f"{path}:{match['function']}" if match["function"] else str(path)


def load(reference):
    """(`file:function`, the function, digest of the file) that an absolute reference names.

    Raises ConfigError: no such file, an error in it, no such function, or several to choose from.
    """
    match = REFERENCE.fullmatch(reference)
    path, wanted = Path(match["path"]), match["function"]
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"data.rule = {reference!r}: {path}: cannot be read: {error.strerror}") from error
    try:
        module = execute(path, source)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"data.rule = {reference!r}: {describe_error(error, path)}") from error
    functions = {
        name: value for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__
    }
    public = [name for name in functions if not name.startswith("_")]
    if wanted is None and len(public) != 1:
        raise ConfigError(
            f"data.rule = {reference!r}: must hold one function, holds {', '.join(public) or 'none'}"
            + (f"; name it, as in {path.name}:{public[0]}" if public else "")
        )
    name = wanted or public[0]
    if name not in functions:
        hint = nearest(name, public) if public else "; there is none"
        raise ConfigError(f"data.rule = {reference!r}: no function {name!r} in {path}{hint}")
    function = functions[name]
    names = [*inspect.signature(function).parameters]
    if len(names) != 1 and (len(names) != 2 or names[1] != "numbers"):
        raise ConfigError(f"data.rule = {reference!r}: must take (history) or (history, numbers), "
                          f"takes ({', '.join(names)})")
    return f"{path}:{name}", function, hashlib.sha256(source).hexdigest()[:16]


@cache
def execute(path, source):
    """The module that a file's bytes make, under a name that no other has; once for each content."""
    spec = importlib.util.spec_from_file_location(f"own_rule_{len(sys.modules)}_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module     # a dataclass in the file looks its module up
    exec(compile(source, path, "exec"), module.__dict__)
    return module


def describe_error(error, path):
    """One line for an error in the user's file: file, line, kind, message."""
    if isinstance(error, SyntaxError):
        line, message = error.lineno or 1, error.msg
    else:
        frames = traceback.extract_tb(error.__traceback__)
        line = [1, *(frame.lineno for frame in frames if frame.filename == str(path))][-1]
        message = " ".join(str(error).split())
    return f"{path}:{line}: {type(error).__name__}: {message}"


def guarded(function, tokens, name, history):
    """The rule's answer to a history; ConfigError if it raises or answers what no rule may."""
    try:
        allowed = function(history)
    except Exception as error:
        path = REFERENCE.fullmatch(name)["path"]
        raise refusal(name, f"raises {describe_error(error, path)}", history) from error
    if allowed is None:
        return None
    if not isinstance(allowed, set | frozenset):
        raise refusal(name, f"returns {allowed!r}, not a set of tokens or None", history)
    if not allowed:
        raise refusal(name, "returns an empty set; return None where any token may come", history)
    for token in allowed:
        if token not in tokens or type(token) not in (int, str):
            raise refusal(name, f"allows {token!r}, which is no token", history)
    return allowed


def refusal(name, problem, history):
    """The ConfigError of a rule, with the history at which it shows."""
    return ConfigError(f"data.rule = {name!r}: {problem}, after the history {list(history)}")


def check_own_rule(data):
    """(`file:function`, digest) of a DataConfig's own rule, tried on drawn histories.

    Half the sequences follow the rule, half are any tokens. Raises ConfigError where the rule
    answers what it must not, differently the second time, or differently of a window: of the last
    few tokens alone it may only answer the same or None.
    """
    name, _, digest = load(data.rule)
    rule = find_rule(data)
    draw = random.Random(0)
    tokens = [*range(data.numbers), *data.operators]
    constrained = False
    for n in range(SEQUENCES):
        history = []
        for _ in range(min(data.max_length, LONGEST)):
            allowed = check_answer(rule, name, history, draw) if history else None
            constrained |= allowed is not None
            options = tokens if allowed is None or n % 2 else sorted(allowed, key=tokens.index)
            history.append(draw.choice(options))
    if not constrained:
        raise ConfigError(f"data.rule = {name!r}: returns None after every history tried, "
                          f"with the tokens {', '.join(map(str, tokens))}")
    return name, digest


def check_answer(rule, name, history, draw):
    """The rule's answer to a history.

    Raises ConfigError unless it answers the same again, and the same or None to windows of the history.
    """
    given = list(history)
    allowed = rule(given)
    if given != history:
        raise refusal(name, "changes the history it is given", history)
    again = rule(given)
    if again != allowed:
        raise refusal(name, f"answers {allowed} at first, then {again}", history)
    for start in {1, draw.randrange(len(history)), max(0, len(history) - draw.randint(1, 8))}:
        window = history[start:]
        claim = rule(window) if window else None
        if claim is not None and claim != allowed:
            raise refusal(
                name, f"answers {claim} to {window} alone, but {allowed}: a rule must not use the length "
                "of the history or its oldest tokens", history,
            )
    return allowed
