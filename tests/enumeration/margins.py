"""How sure a model is after every context at once: margins of millions of contexts.

The margin of a context is its top allowed logit minus its best logit not allowed. The q, k and v of a
token at a position do not depend on the other tokens, and the answer is read at the last position alone.
Attention there is a quotient of sums over positions, Σ exp(score) v over Σ exp(score). The sums over the
older half of a context and over the newer half are taken once for each half; a context then costs one
addition, and from there on the model's own functions go on. Summed in this order, the last bits differ
from `model.forward`; it decides the contexts too close to call (`exact_margins`).
"""

from math import inf, log, nan, sqrt
from typing import NamedTuple

import numpy as np

from scratchformer.engine.attention import attn_out_forward
from scratchformer.engine.feed_forward import ffn_hidden_forward
from scratchformer.engine.jit import jit
from scratchformer.engine.linear import linear_forward, residual_forward
from scratchformer.engine.model import empty_cache, forward


class Sums(NamedTuple):
    """A table's contexts in two halves: entry i*J + j is newer half i and older half j."""

    newer: np.ndarray                   # (I, H, D + 1): Σ exp(score) v, then Σ exp(score)
    older: np.ndarray                   # (J, H, D + 1)
    embed: np.ndarray                   # (C,) of the last token


def half_sums(grid, length, suffix):
    """The Sums of all contexts of `length` tokens that end in the ids `suffix`; grid: from `Model.grid`."""
    V, _, _, D = grid.q.shape
    known = length - len(suffix)
    older = older_positions(V, known)
    q = grid.q[suffix[-1], :, length - 1]                                               # (H, D)
    k, v = (array[:, :, :length].transpose(2, 0, 1, 3) for array in (grid.k, grid.v))   # (L, V, H, D)
    scores = (q * k).sum(axis=-1, keepdims=True) / sqrt(D)                              # (L, V, H, 1)
    for s, token in enumerate(suffix, known):
        scores[s, np.arange(V) != token] = -inf
    weights = np.exp(scores - scores.max(axis=(0, 1)))
    terms = np.concatenate([weights * v, weights], axis=-1)                             # (L, V, H, D + 1)
    ends = terms[known:].sum(axis=(0, 1))
    return Sums(
        ends + strings(terms[older:known]), strings(terms[:older]), grid.embed[suffix[-1], length - 1],
    )


def older_positions(V, known):
    """How many of the positions make the older half: one, or as many as have at most 256 strings."""
    return min(known, max(1, int(log(256, V))))


def strings(terms):
    """Sums over every string of tokens, its newest varying slowest: (S, V, H, N) -> (V**S, H, N)."""
    sums = np.zeros((1, *terms.shape[2:]), terms.dtype)
    for term in terms[::-1]:
        sums = (sums[:, None] + term).reshape(-1, *terms.shape[2:])
    return sums


@jit
def margins_forward(params, cache, newer, older, answers, allowed, least, tolerance, margins):
    """margins[i*J+j] = top allowed logit - best logit not allowed, after newer half i and older half j.

    inf where the rule allows any token; nan where it is too close to call: within `tolerance` of 0, or
    with a sum of weights below `least`, so small that digits are lost.

    cache: of (1, J) tokens, its embed filled; newer: (I, H, D + 1); older: (J, H, D + 1);
    answers: (I*J,); allowed: (A, V) bool -> margins: (I*J,)
    """
    J, H, N = older.shape
    D = N - 1
    for i in range(len(newer)):
        if not answers[i * J : (i + 1) * J].any():
            margins[i * J : (i + 1) * J] = inf
            continue
        for j in range(J):
            for h in range(H):
                total = newer[i, h, D] + older[j, h, D]
                if total < least:
                    total = nan
                for d in range(D):
                    cache.mixed[0, h, j, d] = (newer[i, h, d] + older[j, h, d]) / total
        attn_out_forward(cache.mixed, params.W_o, cache.attn_out)
        residual_forward(cache.embed, cache.attn_out, cache.use_residual, cache.resid_mid)
        linear_forward(cache.resid_mid, params.W_in, params.b_in, cache.ffn_pre)
        ffn_hidden_forward(cache.ffn_pre, cache.ffn_hidden)
        linear_forward(cache.ffn_hidden, params.W_out, params.b_out, cache.ffn_out)
        residual_forward(cache.resid_mid, cache.ffn_out, cache.use_residual, cache.resid_post)
        linear_forward(cache.resid_post, params.W_unembed, params.b_unembed, cache.logits)
        for j in range(J):
            right, other = -inf, -inf
            for token in range(allowed.shape[1]):
                logit = cache.logits[0, j, token]
                if allowed[answers[i * J + j], token]:
                    right = max(right, logit)
                else:
                    other = max(other, logit)
            margin = right - other
            if answers[i * J + j] == 0:
                margin = inf
            elif not abs(margin) > tolerance * (1 + abs(right)):
                margin = nan
            margins[i * J + j] = margin


def fast_margins(params, sums, use_residual, answers, allowed):
    """The margins of a table's contexts, by `margins_forward`: answers (I*J,) -> (I*J,) float64."""
    J, dtype = len(sums.older), np.finfo(sums.older.dtype)
    tokens = np.zeros((1, J), np.int64)
    cache = empty_cache(params, tokens, tokens, use_residual)
    cache.embed[:] = sums.embed
    margins = np.empty(len(answers))
    least, tolerance = float(dtype.tiny / dtype.eps), sqrt(dtype.eps) / 10
    margins_forward(params, cache, sums.newer, sums.older, answers, allowed, least, tolerance, margins)
    return margins


def exact_margins(params, ids, use_residual, allowed):
    """(margins, top predictions) by `model.forward`: ids (N, L), allowed (N, V) bool -> (N,) twice."""
    margins, predicted = np.empty(len(ids)), np.empty(len(ids), np.int64)
    for first in range(0, len(ids), 4096):
        part = slice(first, first + 4096)
        logits = forward(params, ids[part], None, use_residual).logits[:, -1]
        right = np.where(allowed[part], logits, -inf).max(axis=1)
        margins[part] = right - np.where(allowed[part], -inf, logits).max(axis=1)
        predicted[part] = logits.argmax(axis=1)
    return margins, predicted
