"""Errors that are the user's to fix, and words that help to fix them."""

import difflib


class ConfigError(Exception):
    """A config cannot be used; the message has one line for each mistake."""


class Untrusted(ConfigError):
    """A file of others would have to be run, and the user has not said so."""


class RunError(Exception):
    """A run's folder does not hold what was asked of it."""


class Diverged(Exception):
    """What is trained or measured is no longer finite."""


class WorkerLost(Exception):
    """A process of our own was killed, with what it was doing."""


def shown(value, quote=True, most=100):
    """A value for a message, shortened if it is long, whatever object it may be."""
    try:
        text = repr(value) if quote else str(value)
    except ValueError:                  # a whole number of thousands of digits
        return "a number too long to show"
    except Exception:
        return f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= most else f"{text[:60]}... ({len(text)} characters)"


def plain(text):
    """A text of whatever origin for a terminal: what would steer it is shown as the signs it is made of."""
    return "".join(
        sign if sign.isprintable() or sign == "\n" else sign.encode("unicode_escape", "replace").decode()
        for sign in str(text)
    )


def close(word, options):
    """'; did you mean ...?' for the closest option, if one is close."""
    found = difflib.get_close_matches(word[:100], options, 1)
    return f"; did you mean {found[0]!r}?" if found else ""


def nearest(word, options):
    """'; did you mean ...?' for the closest option, else what there is."""
    return close(word, options) or f"; there are {', '.join(options)}"
