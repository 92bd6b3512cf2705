"""Pieces of the captions' sentences."""


def listed(items):
    """Items in a row: a, b and c."""
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last


def counted(count, noun):
    """A count and its noun: 1 token, 2,000 tokens."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def code(text):
    """A token or a name, set off from the sentence."""
    return f"`{text}`"


def sentence(text):
    """A clause as a sentence: with a capital and a full stop."""
    return f"{text[0].upper()}{text[1:]}."
