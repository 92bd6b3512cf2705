"""What a model's answer depends on once the length of the context and its last token are known.

The query is fixed then, and of every other position only its score and its value count:

    z = Σ_heads Σ_t e^score v W_o / Σ_t e^score,     r = [embed] + z logits = [r W_U] + (max(r W_in + b_in, 0)
    W_out + b_out) W_U + b_U          [...] with residual connections

A `Query` has these maps multiplied out, so that all is a function of z.

Rounding. Every number here is computed in float64 with unit roundoff u = 2^-53. A sum of n products differs
from the real one by at most γ(n) Σ |terms|, γ(n) = n u / (1 - n u), in whatever order it is taken (Higham
2002, section 3.1); exp is taken to be right to 4 u. `rounding` bounds, for every context of the query, how
far the computed margin, its computed bounds and the margin that `model.forward` computes can each lie from
the margin of real arithmetic, all together. So a bound beyond `rounding` is a theorem on both: on the
real-number model with the weights as stored, and on the float64 program.
"""

from math import expm1, sqrt
from typing import NamedTuple

import numpy as np

from scratchformer.analysis.bounds import U
from scratchformer.engine.attention import has_W_o


class Query(NamedTuple):
    """A length L and a last token, as functions of (head, position, token)."""

    scores: np.ndarray                  # (H, L, V): q·k / √D
    values: np.ndarray                  # (H, L, V, C): v W_o
    rise: np.ndarray                    # (F, H, L, V): v W_o W_in
    pre: np.ndarray                     # (F,): hidden units at z = 0
    W_in: np.ndarray                    # (C, F)
    through: np.ndarray                 # (F, V): W_out W_U
    around: np.ndarray                  # (C, V): W_U, or 0 without residual connections
    start: np.ndarray                   # (V,): logits at z = 0 but for the hidden units
    slack: np.ndarray                   # (F,): how much wider a hidden unit's range is than computed


def gamma(n):
    """γ(n) = n u / (1 - n u): the relative error of n roundings."""
    return n * U / (1 - n * U)


def make_query(model, length, token):
    """(Query, rounding) of contexts of `length` tokens that end in a token id; see above for both."""
    p, grid, stream = as_float64(model.params), as_float64(model.grid), float(model.use_residual)
    q = grid.q[token, :, length - 1]                                            # (H, D)
    k, v = (array[:, :, :length].transpose(1, 2, 0, 3) for array in (grid.k, grid.v))   # (H, L, V, D)
    C, H, D = p.W_q.shape
    F, L = len(p.b_in), length
    W_o = p.W_o if has_W_o(C, H, D) else np.eye(C)[None]
    scores = np.einsum("hd,hlvd->hlv", q, k) / sqrt(D)
    values = np.einsum("hlvd,hdc->hlvc", v, W_o)
    base = stream * grid.embed[token, length - 1]                               # (C,)
    through, around = p.W_out @ p.W_unembed, stream * p.W_unembed
    query = Query(
        scores, values, np.ascontiguousarray(np.einsum("hlvc,cf->fhlv", values, p.W_in)),
        base @ p.W_in + p.b_in, p.W_in, through, around,
        base @ around + p.b_out @ p.W_unembed + p.b_unembed, np.empty(F),
    )

    # errors: of scores, of weights (relative), of z by component, of hidden units, of differences of logits
    size = abs(grid.embed[:, :length]).transpose(1, 0, 2)                       # (L, V, C)
    q_size = np.einsum("c,chd->hd", size[length - 1, token], abs(p.W_q))
    k_size = np.einsum("lvc,chd->hlvd", size, abs(p.W_k))
    v_size = np.einsum("lvc,chd,hde->hlve", size, abs(p.W_v), abs(W_o))
    score_error = gamma(2 * C + D + 8) * np.einsum("hd,hlvd->hlv", q_size, k_size).max(axis=(1, 2)) / sqrt(D)
    spread = scores.max(axis=(1, 2)) - scores.min(axis=(1, 2))
    weight_error = np.array([expm1(min(2 * error + 8 * U * (1 + width), 700.0))
                             for error, width in zip(score_error, spread, strict=True)])      # (H,)
    value_error = gamma(C + D + 4) * v_size.max(axis=(1, 2))                    # (H, C)
    z_size = v_size.max(axis=(1, 2)).sum(axis=0)                                # (C,)
    reach = values.max(axis=(1, 2)) - values.min(axis=(1, 2))                   # (H, C)
    z_error = (value_error + (2 * weight_error + gamma(4 * L + 16))[:, None] * reach).sum(axis=0)
    z_error += gamma(H + 2) * z_size
    r_size = abs(base) + z_size
    hidden_size = r_size @ abs(p.W_in) + abs(p.b_in)
    hidden_error = z_error @ abs(p.W_in) + gamma(2 * C + 8) * hidden_size
    query.slack[:] = hidden_error
    into, out = abs(p.W_out) @ abs(p.W_unembed), abs(p.W_unembed)
    logit_size = stream * (r_size @ out) + hidden_size @ into + abs(p.b_out) @ out + abs(p.b_unembed)
    logit_error = stream * (z_error @ out) + hidden_error @ into + gamma(3 * C + 2 * F + 24) * logit_size
    return query, 4 * float(logit_error.max())


def as_float64(arrays):
    """A named tuple of arrays in float64: what is proved of a float32 model is proved of its weights."""
    return arrays._replace(**{
        name: np.asarray(array, np.float64) for name, array in arrays._asdict().items()
        if isinstance(array, np.ndarray) and array.dtype.kind == "f"
    })
