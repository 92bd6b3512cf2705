"""The circuits of attention's first head, products of parameters: who reads whom (QK), what that adds (OV).

Elhage et al., A Mathematical Framework for Transformer Circuits, 2021.
"""

import numpy as np

TERMS = ("token–token", "token–position", "position–token", "position–position")


def all_embeddings(params):
    """Embeddings of all tokens, then of all positions: (V + T, C). That of a token at a position is the sum
    of two rows."""
    return np.concatenate([params.W_token, params.W_pos])


def qk_circuit(params):
    """E W_q W_kᵀ Eᵀ / √D: (V + T, V + T). The score of a query (token a at position t) with a key (b at s) is
    the sum of four entries: rows a and t, columns b and s."""
    W_q, W_k, E = params.W_q[:, 0], params.W_k[:, 0], all_embeddings(params)            # (C, D)
    return E @ W_q @ W_k.T @ E.T / np.sqrt(W_q.shape[1])


def ov_circuit(params):
    """What reading a row of E adds to each logit straight through the LM head, without the feed-forward
    layer: E W_v W_o W_unembed, each row less its mean: (V + T, V)."""
    values = all_embeddings(params) @ params.W_v[:, 0]
    added = values @ params.W_o[0] if params.W_o.size else values
    logits = added @ params.W_unembed
    return logits - logits.mean(axis=1, keepdims=True)


def qk_spreads(params):
    """{term: how much it varies over the keys}: root mean square distance from the query's mean."""
    V, scores = len(params.W_token), qk_circuit(params)
    quarters = (scores[:V, :V], scores[:V, V:], scores[V:, :V], scores[V:, V:])
    return {
        term: float(np.sqrt(part.var(axis=1).mean())) for term, part in zip(TERMS, quarters, strict=True)
    }


def count_copied(params):
    """For how many tokens reading them raises their own logit above all others."""
    V = len(params.W_token)
    return int((ov_circuit(params)[:V].argmax(axis=1) == np.arange(V)).sum())


def strongest_pair(params):
    """(query token, key token) of the largest token–token score, as ids."""
    V = len(params.W_token)
    return np.unravel_index(qk_circuit(params)[:V, :V].argmax(), (V, V))
