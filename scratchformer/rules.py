"""The rules. A rule is one function of the history.

`rule(history)` gets the tokens so far, oldest first (numbers as int, operators as str), and
returns the set of tokens that may come next, or None where it says nothing. The generator, the
constrained positions, the rule error and the green and red of the figures all follow from it.

A rule must say of a window nothing that the longer history contradicts: what it cannot know from
the tokens it is given, it leaves open (None).
"""


def plus_last_even(history):
    """After +, the most recent even number."""
    if history[-1] != "+":
        return None
    for token in reversed(history):
        if isinstance(token, int) and token % 2 == 0:
            return {token}
    return None


RULES = {name: rule for name, rule in globals().items() if callable(rule)}
