"""Pieces of titles, captions and labels: names of dims, positions and heads, numbers with a proper minus."""

import re

from scratchformer.system.errors import plain


def listed(items):
    """Items in a row: a, b and c."""
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last


def counted(count, noun):
    """A count and its noun: 1 token, 2,000 tokens."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def code(text):
    """A token or a name, set off from the sentence; one with backticks in it is fenced by more of them."""
    text = str(text)
    runs = [len(run) for run in re.findall("`+", text)]
    fence = "`" * (max(runs, default=0) + 1)
    space = " " if runs else ""
    return f"{fence}{space}{text}{space}{fence}"


def harmless(text):
    """A text of whatever origin in Markdown: HTML, links and code are shown as the signs they are."""
    return re.sub(r"([\\`*\[\]])|_(?=\W|$)|(?<!\w)_", lambda match: f"\\{match[0]}",
                  plain(text)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def sentence(text):
    """A clause as a sentence: with a capital and a full stop."""
    return f"{text[0].upper()}{text[1:]}."


def graded(share):
    """How much a share is, in words."""
    levels = ((1, "all"), (0.98, "nearly all"), (0.5, "most"), (0.2, "some"), (0, "little"))
    return next(word for least, word in levels if share >= least)


def span(shares):
    """The smallest and the largest of some shares, in words: "93% to 100%", or the one they all round to."""
    low, high = f"{min(shares):.0%}", f"{max(shares):.0%}"
    return low if low == high else f"{low} to {high}"


def minus(text):
    """A number's text with a minus sign instead of a hyphen."""
    return text.replace("-", "−")


def number(value, form):
    """A number in a format such as .2f, with a minus sign and no negative zero."""
    text = format(value, form)
    return minus(text if text.strip("-0.") else format(abs(value), form))


def dim_names(count, most=2, lead="dim"):
    """Names of the dimensions: "dim 0", "dim 1", ...; of more than `most`, numbers alone."""
    return [f"{lead} {c}" if count <= most else str(c) for c in range(count)]


def position_names(count):
    """p0, p1, ..."""
    return [f"p{t}" for t in range(count)]


def head_shown(model, lead=", "):
    """Which head a figure shows, where there are several, after a lead: ", head 1 of 2"; else nothing."""
    H = model.config.model.num_heads
    return f"{lead}head {model.head} of {H}" if H > 1 else ""
