"""Interventions: what becomes of a model's answers if one of its activations is something else.

As text, an intervention is `NAME[WHERE]=VALUE`, where [WHERE] and =VALUE may be left out:

    NAME    an activation of names.py except probs and loss, or the residual route around attention,
            skip_attention, or around the feed-forward layer, skip_ffn: what it adds to what lies between
            its ends. All heads are treated alike.
    WHERE   a place: a token, a family (even, odd or operator), a position (p0, p1, ...) or * for all;
            left out: all. scores and attention have a place for the query and one for the key: [+ -> odd].
            pos_embed, which does not know the tokens, has positions only.
    VALUE   0, also if left out; mean, of all windows at that position (of all positions for pos_embed); or
            a sequence as long as the window: what the activation is there if the model reads that.

Of several, routes act first, then what overwrites their ends; of two on one name the later holds. Nothing
is made up for elsewhere: a row of attention with a zero put in no longer sums to 1. A token called like a
family or * is meant as the token. The engine's own functions compute what follows an edit (steps.py).
"""

import re
from typing import NamedTuple

import numpy as np

from scratchformer.analysis.families import FAMILIES, families_of
from scratchformer.engine.lm_head import TINY
from scratchformer.engine.model import empty_cache
from scratchformer.engine.names import ACTIVATION_NAMES, TABLE
from scratchformer.engine.steps import run_forward
from scratchformer.run.data import parse_tokens
from scratchformer.run.judge import count_wrong
from scratchformer.system.errors import RunError, close, nearest

ROUTES = {                              # name: (where it ends, what is added to it there, where it starts)
    "skip_attention": ("resid_mid", "attn_out", "embed"),
    "skip_ffn": ("resid_post", "ffn_out", "resid_mid"),
}
NAMES = tuple(name for name in ACTIVATION_NAMES if name not in ("probs", "loss")) + tuple(ROUTES)


class Intervention(NamedTuple):
    """One activation overwritten in places. A place is (V, T) bool: which tokens, at which positions."""

    text: str
    name: str
    where: np.ndarray                   # of scores and attention: the place of the query
    key: np.ndarray | None              # of scores and attention: the place of the key
    value: str | np.ndarray             # "0", "mean", or a sequence: (T,) ids


class Ablation(NamedTuple):
    """What interventions do to the answers at the constrained positions of held-out windows."""

    name: str                           # the run's
    step: int
    interventions: list
    touched: list                       # for each, (how many places are overwritten, how many there are)
    windows: int
    constrained: int
    wrong_before: int
    wrong_after: int
    changed: int                        # at how many constrained positions the likeliest token is another
    log_prob: float                     # mean change of log P(a token that is allowed), in nats

    def __repr__(self):
        return ablation_report(self)


def parse_intervention(text, model):
    """The Intervention that a text asks for. Raises RunError, one line, for any other text."""
    match = re.fullmatch(r"\s*(\w+)\s*(?:\[(.*)\])?\s*(?:=([^\]]*))?", text)
    if match is None:
        raise RunError(f"intervention {text!r}: must be NAME[WHERE]=VALUE, as in attention[+ -> odd]=mean")
    name, where, value = match.groups()
    if name not in NAMES:
        raise RunError(f"intervention {text!r}: unknown name {name!r}{nearest(name, NAMES)}")
    if name in ROUTES and not model.config.model.use_residual:
        raise RunError(f"intervention {text!r}: this model has no residual connections, so no {name}")
    try:
        value = parse_value(value, model)
        where, key = parse_where(name, where, model)
    except ValueError as error:
        raise RunError(f"intervention {text!r}: {error}") from error
    return Intervention(text.strip(), name, where, key, value)


def parse_value(text, model):
    """"0", "mean", or the ids of a sequence: (T,). Raises ValueError for any other text."""
    text = "0" if text is None else text.strip()
    if text in ("0", "mean"):
        return text
    T = model.config.model.block_size
    try:
        tokens = parse_tokens(text, model.data.vocabulary, T)
    except ValueError as error:
        raise ValueError(f"the value must be 0, mean or a sequence of {T} tokens: {error}") from error
    if len(tokens) < T:
        raise ValueError(f"the value must be 0, mean or a sequence of {T} tokens; {text!r} has {len(tokens)}")
    return tokens


def parse_where(name, text, model):
    """(place, place of the key or None) of a name. Raises ValueError if the text says no such thing."""
    pairs = TABLE[name].dims == "B H T T" if name in TABLE else False
    if text is None:
        text = "* -> *" if pairs else "*"
    places = [parse_place(word.strip(), model) for word in (text.split("->") if "->" in text else [text])]
    if pairs != (len(places) == 2):
        raise ValueError(f"{name} has places like {'[even -> odd], query -> key' if pairs else '[even]'}")
    if name == "pos_embed" and not all((place == place[0]).all() for place in places):
        raise ValueError(f"pos_embed knows positions, not tokens: p0 to p{len(places[0][0]) - 1}, or *")
    return places[0], places[1] if pairs else None


def parse_place(word, model):
    """The place that a word names: (V, T) bool. Raises ValueError for any other word."""
    T = model.config.model.block_size
    place = np.zeros((len(model.vocabulary), T), bool)
    if word in model.vocabulary:
        place[model.vocabulary.index(word)] = True
    elif word in FAMILIES:
        place[families_of(model.vocabulary) == word] = True
    elif word in (positions := [f"p{t}" for t in range(T)]):
        place[:, positions.index(word)] = True
    elif word == "*":
        place[:] = True
    else:
        raise ValueError(
            f"unknown place {word!r}; a place is a token, {', '.join(FAMILIES)}, p0 to p{T - 1} or *"
            f"{close(word, [*model.vocabulary, *FAMILIES, *positions])}"
        )
    return place


def forward_edited(params, tokens, edits, use_residual=True):
    """The forward pass with activations overwritten: -> Cache.

    tokens: (B, T) ids; edits: (name, where, values) each, name one of NAMES, where a bool array and values
    an array that broadcast to the activation (of a route: to what it adds)
    """
    done, ordered = {}, sorted(edits, key=lambda one: one[0] not in ROUTES)         # routes first

    def edit(name, array):
        done[name] = array
        for target, where, values in ordered:
            if target == name:
                np.copyto(array, values, where=where)
            elif target in ROUTES and ROUTES[target][0] == name:
                np.copyto(array, done[ROUTES[target][1]] + values, where=where)

    cache = empty_cache(params, tokens, np.full_like(tokens, -1), use_residual)
    run_forward(params, cache, edit)
    return cache


def lens(params, stream):
    """What the LM head reads off any vectors: (B, T, C) -> logits, probs: (B, T, V)."""
    cache = empty_cache(params, np.zeros(stream.shape[:2], np.int64), np.full(stream.shape[:2], -1), True)
    cache.resid_post[:] = stream
    run_forward(params, cache, after="resid_post")
    return cache.logits, cache.probs


def ablate(model, interventions, windows=None):
    """The Ablation of a saved step's model by Interventions, all at once, on the judge's held-out windows.

    windows: on how many of them; None for all. The mean is that of the same windows.
    """
    tokens = model.run.judge.held_out_windows[:windows, :-1].copy()
    allowed = model.run.judge.allowed[:windows]
    before = model.forward(tokens)
    edits = [(one.name, selected(one, tokens), replacement(one, model, before)) for one in interventions]
    after = forward_edited(model.params, tokens, edits, model.use_residual)
    chosen = allowed.any(axis=-1)
    moved = answer_log_probs(after.probs, allowed) - answer_log_probs(before.probs, allowed)
    wrong, constrained = count_wrong(before.logits, allowed)
    return Ablation(
        model.name, model.step, interventions, [touched(one, tokens) for one in interventions],
        len(tokens), constrained, wrong, count_wrong(after.logits, allowed)[0],
        int((before.logits.argmax(axis=-1) != after.logits.argmax(axis=-1))[chosen].sum()),
        float(moved.mean()) if moved.size else 0.0,
    )


def selected(one, tokens):
    """Where an Intervention overwrites: a bool array that broadcasts to its activation."""
    at = place_in(one.where, tokens)                                        # (B, T)
    if one.key is not None:
        return (at[:, :, None] & place_in(one.key, tokens)[:, None])[:, None]       # (B, 1, T, T)
    if one.name == "pos_embed":
        return at[0, :, None]                                               # (T, 1)
    return at[:, None, :, None] if "H" in dims(one.name) else at[..., None]


def place_in(place, tokens):
    """Where windows are at a place. place: (V, T); tokens: (B, T) -> (B, T)"""
    return place[tokens, np.arange(tokens.shape[1])]


def dims(name):
    """Dims of an activation, or of what a route carries."""
    return TABLE[ROUTES[name][2] if name in ROUTES else name].dims


def replacement(one, model, cache):
    """What an Intervention puts in: 0 or an array that broadcasts to its activation."""
    if isinstance(one.value, np.ndarray):
        cache = model.forward(one.value[None])
    elif one.value == "0":
        return 0.0
    array = getattr(cache, ROUTES[one.name][2] if one.name in ROUTES else one.name)
    return array if isinstance(one.value, np.ndarray) else array.mean(axis=0, keepdims=True)


def touched(one, tokens):
    """(how many places in the windows an Intervention overwrites, how many there are); keys in a query's
    future, which it does not read, count in neither."""
    mask = selected(one, tokens)
    if one.key is not None:
        past = np.tri(tokens.shape[1], dtype=bool)
        return int((mask & past).sum()), len(tokens) * int(past.sum())
    return int(mask.sum()), mask.size


def numbers_a_window(model):
    """How many numbers the model computes for one window: what a forward pass costs as plain Python."""
    cache = model.forward(np.zeros((1, model.config.model.block_size), np.int64))
    return sum(getattr(cache, name).size for name in ACTIVATION_NAMES)


def answer_log_probs(probs, allowed):
    """Log of the probability of all allowed tokens, at each constrained position: (N,), in nats."""
    right = (probs * allowed).sum(axis=-1)[allowed.any(axis=-1)]
    return np.log(np.maximum(right, TINY))


def ablation_report(result):
    """An Ablation as text for a terminal."""
    lines = [f"{result.name} at step {result.step:,} on {result.windows:,} held-out windows, with"]
    for one, (count, total) in zip(result.interventions, result.touched, strict=True):
        what = "query-key pairs" if one.key is not None else "positions"
        lines.append(f"  {one.text:<28} {count:,} of {total:,} {what} overwritten")
    n = result.constrained
    if not n:
        return "\n".join([*lines, "the rule constrains no position of these windows: no answer to judge"])
    return "\n".join([
        *lines,
        f"rule error           {result.wrong_before / n:8.2%} -> {result.wrong_after / n:.2%}"
        f"   ({result.wrong_before:,} -> {result.wrong_after:,} of {n:,} constrained positions wrong)",
        f"answers changed      {result.changed / n:8.2%}   ({result.changed:,} of {n:,})",
        f"log P(right answer)  {result.log_prob:+8.3f}   nats, mean change",
    ])
