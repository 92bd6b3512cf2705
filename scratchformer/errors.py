"""What is said of input that cannot be used."""

import difflib


class ConfigError(Exception):
    """A config cannot be used; the message has one line for each mistake."""


def close(word, options):
    """'; did you mean ...?' for the closest option, if one is close."""
    found = difflib.get_close_matches(word, options, 1)
    return f"; did you mean {found[0]!r}?" if found else ""


def nearest(word, options):
    """'; did you mean ...?' for the closest option, else what there is."""
    return close(word, options) or f"; there are {', '.join(options)}"
