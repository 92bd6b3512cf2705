"""Interventions as text: NAME[WHERE]=VALUE, where [WHERE] and =VALUE may be left out.

    NAME    an activation of names.py except probs and loss, or the residual route around attention,
            skip_attention, or around the feed-forward layer, skip_ffn: what it adds to what lies between
            its ends
    WHERE   what all of these words, with commas between, agree on; left out: everywhere
                a token, or `token 3`; a family (even, odd or operator)      which tokens
                p0, p1, ...                                                  which position
                unit 3 (of ffn_pre, ffn_hidden), dim 1, head 2               which numbers of the activation
                *                                                            all
            Units, dims and positions count from 0, as indices do; heads from 1, as words do. scores and
            attention have a query and a key: [+ -> odd, head 2]. pos_embed has positions, but no tokens.
    VALUE   0, also if left out; another number; -inf, for scores; mean, of all windows at that position (of
            all positions for pos_embed); or a sequence as long as the window: what the activation is there
            if the model reads that

A bare number that may be a token and an index is refused. A token called like a family or * is meant as the
token.
"""

import re
from typing import NamedTuple

import numpy as np

from scratchformer.analysis.families import FAMILIES, families_of
from scratchformer.engine.names import ACTIVATION_NAMES, TABLE
from scratchformer.run.data import parse_tokens
from scratchformer.system.errors import RunError, close, nearest

ROUTES = {                              # name: (where it ends, what is added to it there, where it starts)
    "skip_attention": ("resid_mid", "attn_out", "embed"),
    "skip_ffn": ("resid_post", "ffn_out", "resid_mid"),
}
NAMES = tuple(name for name in ACTIVATION_NAMES if name not in ("probs", "loss")) + tuple(ROUTES)
FEATURES = {"F": "unit", "C": "dim", "D": "dim", "H": "head"}
EXAMPLE = "attention[+ -> odd]=mean or ffn_hidden[unit 3]"


class Intervention(NamedTuple):
    """One activation overwritten in places. A place is (V, T) bool: which tokens, at which positions."""

    text: str
    name: str
    where: np.ndarray                   # of scores and attention: the place of the query
    key: np.ndarray | None              # of scores and attention: the place of the key
    features: dict                      # {dim: index}: of H, and of F, C or D, where only one is overwritten
    value: str | float | np.ndarray     # "mean", a number, or a sequence: (T,) ids


def dims_of(name):
    """Dims of an activation, or of what a route carries."""
    return TABLE[ROUTES[name][2] if name in ROUTES else name].dims


def parse_intervention(text, model):
    """The Intervention that a text asks for. Raises RunError, one line, for any other text."""
    match = re.fullmatch(r"\s*(\w+)\s*(?:\[(.*)\])?\s*(?:=([^\]]*))?", text)
    if match is None:
        raise RunError(f"intervention {text!r}: must be NAME[WHERE]=VALUE, as in {EXAMPLE}")
    name, where, value = match.groups()
    if name not in NAMES:
        raise RunError(f"intervention {text!r}: unknown name {name!r}{nearest(name, NAMES)}")
    if name in ROUTES and not model.config.model.use_residual:
        raise RunError(f"intervention {text!r}: this model has no residual connections, so no {name}")
    try:
        value = parse_value(name, value, model)
        return Intervention(text.strip(), name, *parse_where(name, where, model), value)
    except ValueError as error:
        raise RunError(f"intervention {text!r}: {error}") from error


def parse_value(name, text, model):
    """"mean", a number, or the ids of a sequence: (T,). Raises ValueError for any other text."""
    text = "0" if text is None else text.strip()
    if text == "mean":
        return text
    T = model.config.model.block_size
    wanted = f"the value must be a number, mean or a sequence of {T} tokens"
    if len(text.split()) == 1:
        try:
            number = float(text)
        except ValueError:
            number = None
        if number is not None and (np.isfinite(number) or name == "scores" and number == -np.inf):
            return number
        if number is not None:
            raise ValueError(f"{wanted}; {text} may stand for scores alone" if number == -np.inf
                             else f"{wanted}, not {text}")
    try:
        tokens = parse_tokens(text, model.data.vocabulary, T)
    except ValueError as error:
        raise ValueError(f"{wanted}: {error}") from error
    if len(tokens) < T:
        raise ValueError(f"{wanted}; {text!r} has {len(tokens)}")
    return tokens


def parse_where(name, text, model):
    """(place, place of the key or None, features) of a name. Raises ValueError if there is no such thing."""
    pairs = dims_of(name) == "B H T T"
    sides = ["*"] * (1 + pairs) if text is None else split_pair(text, model)
    if pairs != (len(sides) == 2):
        raise ValueError(f"{name} has places like {'[even -> odd], query -> key' if pairs else '[even]'}")
    places, features = [], {}
    for side in sides:
        place = np.ones((len(model.vocabulary), model.config.model.block_size), bool)
        for word in re.split(r",\s+", side.strip()):
            read_word(word.strip(), name, model, place, features)
        places.append(place)
    if name == "pos_embed" and not (places[0] == places[0][0]).all():
        raise ValueError(f"pos_embed knows positions, not tokens: p0 to p{len(places[0][0]) - 1}, or *")
    return places[0], places[1] if pairs else None, features


def split_pair(text, model):
    """The sides of an arrow: one if there is none. A token -> is no arrow."""
    if "->" in model.vocabulary:
        return re.split(r"(?<=\S)\s+->\s+(?=\S)", text.strip())
    return text.split("->")


def read_word(word, name, model, place, features):
    """Narrow a place, or note a feature, by one word of a selector. Raises ValueError for any other word."""
    settings = model.config.model
    T, kind, _, rest = settings.block_size, *word.partition(" ")
    sizes = {
        "F": settings.ffn_mult * settings.n_embd, "C": settings.n_embd, "D": settings.head_size,
        "H": settings.num_heads,
    }
    known = {FEATURES[dim]: dim for dim in dims_of(name).split() if dim in FEATURES}
    if kind in known and rest.isdecimal():
        dim, first = known[kind], int(kind == "head")
        index = int(rest) - first
        if not 0 <= index < sizes[dim]:
            last = sizes[dim] - 1 + first
            there = f"{kind}s {first} to {last}" if last > first else f"one {kind}, {first}"
            raise ValueError(f"{word}: {name} has {there}")
        if features.setdefault(dim, index) != index:
            raise ValueError(f"{kind} {features[dim] + first} and {word}: one at a time")
        return
    token = rest.strip() if kind == "token" and rest else word
    if token in model.vocabulary:
        for what, dim in known.items():
            if token == word and word.isdecimal() and dim != "H" and int(word) < sizes[dim]:
                raise ValueError(
                    f"{word} may be a token or an index: write `token {word}` or `{what} {word}`"
                )
        place[np.arange(len(place)) != model.vocabulary.index(token)] = False
    elif word in FAMILIES:
        place[[family != word for family in families_of(model.vocabulary)]] = False
    elif re.fullmatch(r"p\d{1,9}", word) and int(word[1:]) < T:
        place[:, np.arange(T) != int(word[1:])] = False
    elif word != "*":
        allowed = [*FAMILIES, f"p0 to p{T - 1}", *(f"{kind} N" for kind in known), "*"]
        raise ValueError(
            f"unknown place {word!r}; a place is a token, {', '.join(allowed)}"
            f"{close(word, [*model.vocabulary, *FAMILIES, *(f'p{t}' for t in range(T))])}"
        )
