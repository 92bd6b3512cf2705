"""The circuits of attention, from the parameters alone: who reads whom (QK) and what reading says (OV)."""

import numpy as np

from scratchformer.figures.style import heatmap, panel, title
from scratchformer.figures.words import code

SIZE = (11, 6.6)
TERMS = ("token–token", "token–position", "position–token", "position–position")


def draw(fig, model):
    """QK: queries down, keys across, tokens before positions. OV: what is read down, next token across."""
    params, names = model.params, rows(model)
    V, H = len(model.vocabulary), model.config.model.num_heads
    head = f", head 1 of {H}" if H > 1 else ""
    title(
        fig, f"The circuits of attention in {model.name} at step {model.step:,}{head}",
        f"{qk_headline(model, params)}\n{ov_headline(model, params)}",
    )
    ax = panel(fig, 0.75, 0.75, 4.6, 4.6)
    heatmap(ax, qk(params), names, names, "score of query with key, in parts")
    for line in (ax.axhline, ax.axvline):
        line(V - 0.5, color="black", linewidth=1)
    ax.set(title="QK: score = sum of four parts", xlabel="key: token, then position", ylabel="query")
    if model.config.model.use_residual:
        ax = panel(fig, 7.0, 0.75, 3.1, 4.6)
        heatmap(ax, ov(params), names, model.vocabulary, "logit less the mean of all logits")
        ax.axhline(V - 0.5, color="black", linewidth=1)
        ax.set(title="OV: straight to the logits", xlabel="next token", ylabel="read: token, then position")


def rows(model):
    """The rows of both circuits: tokens, then positions."""
    return [*model.vocabulary, *(f"p{t}" for t in range(model.config.model.block_size))]


def embeddings(params):
    """Embeddings of all tokens, then of all positions: (V + T, C). That of a token at a position is the sum
    of two rows."""
    return np.concatenate([params.W_token, params.W_pos])


def qk(params):
    """E W_q W_kᵀ Eᵀ / √D of the first head: (V + T, V + T). The score of a query (token a at position t)
    with a key (b at s) is the sum of four entries: rows a and t, columns b and s."""
    W_q, W_k, E = params.W_q[:, 0], params.W_k[:, 0], embeddings(params)            # (C, D)
    return E @ W_q @ W_k.T @ E.T / np.sqrt(W_q.shape[1])


def ov(params):
    """What reading a row of E adds to each logit straight through the LM head, without the feed-forward
    layer, in the first head: E W_v W_o W_unembed, each row less its mean: (V + T, V)."""
    values = embeddings(params) @ params.W_v[:, 0]
    added = values @ params.W_o[0] if params.W_o.size else values
    logits = added @ params.W_unembed
    return logits - logits.mean(axis=1, keepdims=True)


def spreads(model, params):
    """{term: how much it varies over the keys}: root mean square distance from the query's mean."""
    V, scores = len(model.vocabulary), qk(params)
    quarters = (scores[:V, :V], scores[:V, V:], scores[V:, :V], scores[V:, V:])
    return {
        term: float(np.sqrt(part.var(axis=1).mean())) for term, part in zip(TERMS, quarters, strict=True)
    }


def qk_headline(model, params):
    """How much each part of the score varies over the keys, in words."""
    terms = [f"{term} {s:.3g}" for term, s in spreads(model, params).items()]
    return "QK: spread over keys " + ", ".join(terms)


def own(model, params):
    """For how many tokens reading them raises their own logit above all others."""
    V = len(model.vocabulary)
    return int((ov(params)[:V].argmax(axis=1) == np.arange(V)).sum())


def ov_headline(model, params):
    """How many tokens speak for themselves, in words."""
    if not model.config.model.use_residual:
        return "OV: left out, as without residual connections nothing goes straight to the LM head"
    return (
        f"OV: read, {own(model, params)} of {len(model.vocabulary)} tokens raise their own logit most "
        "(direct effect, feed-forward layer ignored)"
    )


def strongest(model, params):
    """(query token, key token) of the largest token–token score."""
    V = len(model.vocabulary)
    query, key = np.unravel_index(qk(params)[:V, :V].argmax(), (V, V))
    return model.vocabulary[query], model.vocabulary[key]


def caption(model):
    """What the figure shows, and what this run's first head looks for and says."""
    params = model.params
    query, key = strongest(model, params)
    size = spreads(model, params)
    widest = max(size, key=size.get)
    H = model.config.model.num_heads
    head = f" of head 1 of {H}" if H > 1 else ""
    told = (
        "The right panel is the OV circuit: what reading a token or position adds to each logit straight "
        f"through the LM head. It ignores the feed-forward layer, which changes much of it. "
        f"{own(model, params)} of {len(model.vocabulary)} tokens raise their own logit most."
        if model.config.model.use_residual else
        "An OV table straight to the logits is left out, as without residual connections all goes through "
        "the feed-forward layer."
    )
    return (
        f"Both circuits{head} are products of parameters, no sequence is run. An embedding is a token's plus "
        "a position's, so the score of a query with a key is a sum of four parts, the quarters of the left "
        "panel: add the entries of the query's token and position rows in the key's token and position "
        f"columns. The part that varies most over the keys is {widest} ({size[widest]:.3g}); the largest "
        f"token–token score is that of query {code(query)} with key {code(key)}. Softmax only sees "
        f"differences within a row. {told}"
    )
