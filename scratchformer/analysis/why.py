"""What a logit is made of: the terms of resid_post W_unembed + b_unembed, followed back to their origin."""

from typing import NamedTuple

import numpy as np

from scratchformer.analysis.followed import at_position


class Part(NamedTuple):
    """One term of a logit."""

    route: str                          # "direct", "attention", "feed-forward" or "bias"
    what: str                           # such as value of 8₀, head 1, or unit 12
    value: float


def logit_parts(model, cache, token):
    """The Parts of a token's logit after the last position of a Cache of one row: they add up to the logit.

    direct: the last token's and position's own embeddings; attention: attention times value, one part a head
    and position read; feed-forward: one part a hidden unit that is open, and its bias; bias: of the logit
    """
    params, t = model.params, cache.tokens.shape[1] - 1
    direction = params.W_unembed[:, token]                                      # (C,)
    parts = []
    if model.use_residual:
        parts += [
            Part("direct", "token embedding", float(cache.token_embed[0, t] @ direction)),
            Part("direct", "position embedding", float(cache.pos_embed[t] @ direction)),
        ]
        H = cache.attention.shape[1]
        for h in range(H):
            W_o = params.W_o[h] if params.W_o.size else np.eye(len(direction))
            for s in range(t + 1):
                word = at_position(model.vocabulary[cache.tokens[0, s]], s)
                value = cache.attention[0, h, t, s] * (cache.v[0, h, s] @ W_o @ direction)
                head = f", head {h + 1}" if H > 1 else ""
                parts.append(Part("attention", f"value of {word}{head}", float(value)))
    for f in np.flatnonzero(cache.ffn_hidden[0, t]):
        value = cache.ffn_hidden[0, t, f] * (params.W_out[f] @ direction)
        parts.append(Part("feed-forward", f"unit {f}", float(value)))
    parts.append(Part("feed-forward", "b_out", float(params.b_out @ direction)))
    parts.append(Part("bias", "b_unembed", float(params.b_unembed[token])))
    return parts


def compare_parts(model, cache, token, other):
    """The Parts of a token's logit less those of another's."""
    pairs = zip(logit_parts(model, cache, token), logit_parts(model, cache, other), strict=True)
    return [one._replace(value=one.value - less.value) for one, less in pairs]
