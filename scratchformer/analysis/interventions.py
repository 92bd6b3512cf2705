"""Interventions: what becomes of a model's answers if one of its activations is something else.

What may be overwritten, where, and by what: selectors.py. Of several interventions, routes act first, then
what overwrites their ends; of two on one name the later holds. Nothing is made up for elsewhere: a row of
attention with a zero put in no longer sums to 1. The engine's own functions compute what follows an edit
(steps.py). All tools judge on the same windows: the held-out ones of the evaluations.
"""

from typing import NamedTuple

import numpy as np

from scratchformer.analysis.selectors import ROUTES, dims_of
from scratchformer.engine.lm_head import TINY
from scratchformer.engine.model import empty_cache
from scratchformer.engine.names import ACTIVATION_NAMES
from scratchformer.engine.steps import run_forward
from scratchformer.run.judge import count_wrong


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
    metric: tuple | None = None         # (name, before, after) of one of the user's own

    def __repr__(self):
        return ablation_report(self)


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


def ablate(model, interventions, metric=None):
    """The Ablation of a model by Interventions, all at once, on the held-out windows of the evaluations: the
    mean is of the same windows. metric: a Metric that is to be measured as well"""
    windows, allowed = model.run.judge.held_out_windows, model.run.judge.allowed
    tokens = windows[:, :-1].copy()
    before = model.forward(tokens)
    edits = [(one.name, selected(one, before), replacement(one, model, before)) for one in interventions]
    after = forward_edited(model.params, tokens, edits, model.use_residual)
    chosen = allowed.any(axis=-1)
    moved = answer_log_probs(after.probs, allowed) - answer_log_probs(before.probs, allowed)
    wrong, constrained = count_wrong(before.logits, allowed)
    return Ablation(
        model.name, model.step, interventions, [touched(one, before) for one in interventions],
        len(tokens), constrained, wrong, count_wrong(after.logits, allowed)[0],
        int((before.logits.argmax(axis=-1) != after.logits.argmax(axis=-1))[chosen].sum()),
        float(moved.mean()) if moved.size else 0.0,
        metric and (metric.name, *(
            metric.measure(cache._replace(targets=windows[:, 1:]), allowed) for cache in (before, after)
        )),
    )


def overwritten(one, cache):
    """The activation of a Cache that an Intervention overwrites, or what its route carries."""
    return getattr(cache, ROUTES[one.name][2] if one.name in ROUTES else one.name)


def selected(one, cache):
    """Where an Intervention overwrites: a bool array that broadcasts to its activation."""
    tokens, dims = cache.tokens, dims_of(one.name).split()
    at = place_in(one.where, tokens)                                        # (B, T)
    if one.key is not None:
        mask = (at[:, :, None] & place_in(one.key, tokens)[:, None])[:, None]       # (B, 1, T, T)
    elif one.name == "pos_embed":
        mask = at[0, :, None]                                               # (T, 1)
    else:
        mask = at[:, None, :, None] if "H" in dims else at[..., None]
    for dim, index in one.features.items():
        axis = dims.index(dim)
        shape = [1] * len(dims)
        shape[axis] = overwritten(one, cache).shape[axis]
        mask = mask & (np.arange(shape[axis]) == index).reshape(shape)
    return mask


def place_in(place, tokens):
    """Where windows are at a place. place: (V, T); tokens: (B, T) -> (B, T)"""
    return place[tokens, np.arange(tokens.shape[1])]


def replacement(one, model, cache):
    """What an Intervention puts in: a number, or an array that broadcasts to its activation."""
    if isinstance(one.value, float):
        return one.value
    if isinstance(one.value, np.ndarray):
        return overwritten(one, model.forward(one.value[None]))
    return overwritten(one, cache).mean(axis=0, keepdims=True)


def touched(one, cache):
    """(how many places in the windows an Intervention overwrites, how many there are); keys in a query's
    future, which it does not read, count in neither."""
    mask = selected(one, cache)
    if one.key is not None:
        past = np.tri(cache.tokens.shape[1], dtype=bool)
        return int((mask & past).sum()), len(mask) * mask.shape[1] * int(past.sum())
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
        what = "query-key pairs" if one.key is not None else "entries" if one.features else "positions"
        none = "" if count else ": no such place in these windows"
        lines.append(f"  {one.text:<28} {count:,} of {total:,} {what} overwritten{none}")
    if result.metric:
        name, before, after = result.metric
        lines.append(f"metric {name:<13} {before:8.4g} -> {after:.4g}")
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
