"""A rule of the user's own: one function in a Python file, named in a config as `file.py:function`.

It is checked when the config is loaded, on histories drawn with a fixed seed, and again at every
call. A mistake is reported in one line, with the history that shows it. It is run by foreign.py alone.
"""

import inspect
import operator
import random
from functools import partial
from pathlib import Path

from scratchformer.run import foreign
from scratchformer.run.own_function import is_reference, load_function, path_of
from scratchformer.run.rules import RULES
from scratchformer.system.errors import ConfigError, shown

SEQUENCES, LONGEST = 20, 50             # drawn to check a rule on


def find_rule(data):
    """The rule of a DataConfig as a function of the history alone.

    Raises ConfigError if it is the user's own and its file cannot be used, or has changed since.
    """
    if data.text:
        return anything
    if data.rule in RULES:
        return with_numbers(RULES[data.rule], data.numbers)
    name, function, digest = load_rule(data.rule)
    if data.rule_digest not in ("", digest):
        raise ConfigError(f"data.rule = {data.rule!r}: the file has changed since the run was made "
                          f"(data.rule_digest = {data.rule_digest}); train it again")
    tokens = {*range(data.numbers), *data.operators}
    return partial(guarded, with_numbers(function, data.numbers), tokens, name)


def anything(history):
    """What holds where there is no rule: any token may come."""


def describe_rule(name):
    """The first line of a rule's docstring, without the full stop; else its name."""
    if not may_run(name):
        return f"the rule of {Path(path_of(name)).name}"
    function = RULES[name] if name in RULES else load_rule(name)[1]
    return (inspect.getdoc(function) or f"the rule {function.__name__}").splitlines()[0].rstrip(".")


def with_numbers(function, numbers):
    """The function with the count of numbers filled in, if it takes that as a second argument."""
    takes = "numbers" in inspect.signature(function).parameters
    return partial(function, numbers=numbers) if takes else function


def may_run(name):
    """Whether a rule is one of ours, or lies in a file that the user has named on this command line."""
    return not is_reference(name) or foreign.is_trusted(path_of(name))


def trust_rule(name):
    """Let the file of a rule be run: the user has named it."""
    if is_reference(name):
        foreign.trust(path_of(name))


def load_rule(reference):
    """(`file:function`, the function, digest of the file) of an absolute reference.

    Raises ConfigError where there is none, or it takes what no rule takes.
    """
    name, function, digest = load_function(reference, f"data.rule = {reference!r}")
    names = [*inspect.signature(function).parameters]
    if len(names) != 1 and (len(names) != 2 or names[1] != "numbers"):
        raise ConfigError(f"data.rule = {reference!r}: must take (history) or (history, numbers), "
                          f"takes ({', '.join(names)})")
    return name, function, digest


def guarded(function, tokens, name, history):
    """The rule's answer to a history; ConfigError if it raises or answers what no rule may."""
    def problem(text):
        return refusal(name, text, history)

    allowed = foreign.call(function, history, problem)
    if allowed is None:
        return None
    if isinstance(allowed, set | frozenset) and type(allowed) not in (set, frozenset):
        allowed = foreign.call(set, allowed, problem)
    if type(allowed) not in (set, frozenset):
        raise problem(f"returns {shown(allowed)}, not a set of tokens or None")
    if not allowed:
        raise problem("returns an empty set; return None where any token may come")
    if not all(token.__class__ in (int, str) for token in allowed):     # which --prove's tokens say they are
        allowed = {plain_token(token, problem) for token in allowed}
    for token in allowed:
        if token not in tokens:
            raise problem(f"allows {shown(token)}, which is no token")
    return allowed


def plain_token(token, problem):
    """A token as int or str: whole numbers of other kinds, such as NumPy's, are taken for what they are."""
    if token.__class__ in (int, str):
        return token
    if isinstance(token, bool) or type(token).__module__ != "numpy" or not hasattr(token, "__index__"):
        raise problem(f"allows {shown(token)}, which is no token")
    return operator.index(token)


def refusal(name, problem, history):
    """The ConfigError of a rule, with the history at which it shows."""
    return ConfigError(f"data.rule = {name!r}: {problem}, after the history {shown_history(history)}")


def shown_history(history):
    """A history for a message: the whole of it, if it is not long, else its end."""
    tokens = list(history)
    return f"{tokens}" if len(tokens) <= LONGEST else f"[..., {str(tokens[-LONGEST:])[1:]}"


def check_own_rule(data):
    """(`file:function`, digest) of a DataConfig's own rule, tried on drawn histories.

    Half the sequences follow the rule, half are any tokens. Raises ConfigError where the rule
    answers what it must not, differently the second time, or differently of a window: of the last
    few tokens alone it may only answer the same or None.
    """
    name, _, digest = load_rule(data.rule)
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
