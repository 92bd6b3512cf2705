"""Errors that are the user's to fix, and words that help to fix them."""

import difflib


class ConfigError(Exception):
    """A config cannot be used; the message has one line for each mistake."""


class RunError(Exception):
    """A run's folder does not hold what was asked of it."""


class Diverged(Exception):
    """What is trained or measured is no longer finite."""


def shown(value):
    """A value for a message, shortened if it is long."""
    try:
        text = repr(value)
    except ValueError:                  # a whole number of thousands of digits
        return "a number too long to show"
    return text if len(text) <= 100 else f"{text[:60]}... ({len(text)} characters)"


def close(word, options):
    """'; did you mean ...?' for the closest option, if one is close."""
    found = difflib.get_close_matches(word[:100], options, 1)
    return f"; did you mean {found[0]!r}?" if found else ""


def nearest(word, options):
    """'; did you mean ...?' for the closest option, else what there is."""
    return close(word, options) or f"; there are {', '.join(options)}"
