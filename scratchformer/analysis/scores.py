"""Scores of every query with every key, and one query among the keys that it can meet."""

import numpy as np

from scratchformer.analysis.attention import attention_shares
from scratchformer.analysis.families import FAMILIES, families_of, present_families


def pair_scores(model):
    """Scores of the first head for every query and every earlier key: (V, V, T, T), [a, b, t, s] with token
    a at query position t and b at key position s. NaN where s > t, and for a ≠ b where s = t.

    A score depends on these two alone, so a few windows a pair (a, b) show them all: window j has a
    where bit j of the position is set and b elsewhere. It shows t and s if j is the highest bit in
    which they differ. One a at a time goes through the model: V²·J windows at once would fill the memory.
    """
    V, T = len(model.vocabulary), model.config.model.block_size
    positions = np.arange(T)
    bits = positions >> np.arange(max(1, (T - 1).bit_length()))[:, None] & 1              # (J, T)
    scores = np.full((V, V, T, T), np.nan)
    for a in range(V):
        windows = np.where(bits, a, np.arange(V)[:, None, None])                        # (V, J, T)
        seen = model.forward(windows.reshape(-1, T)).scores[:, 0].reshape(*windows.shape, T)
        for j in range(len(bits)):
            shown = (positions[:, None] ^ positions) >> j == 1                          # highest bit is j
            shown &= positions[:, None] > positions
            scores[a][:, shown] = seen[:, j, shown]
        scores[a, a, positions, positions] = seen[a, 0].diagonal()
    return scores


def mean_scores(scores, vocabulary):
    """Mean of the scores there are, (V, V, T, T), by families of query and key: {query: {key: mean}}."""
    families = families_of(vocabulary)
    means = {}
    for query in FAMILIES:
        for key in FAMILIES:
            block = scores[np.ix_(families == query, families == key)]
            block = block[np.isfinite(block)]
            if len(block):
                means.setdefault(query, {})[key] = float(block.mean())
    return means


def focus(model):
    """(token id, position) of the query that figures pick out: the token after which the rule most often says
    what comes next in held-out windows, the last of equals."""
    V, T = len(model.vocabulary), model.config.model.block_size
    counts = np.bincount(model.run.held_out.tokens[model.run.held_out.allowed.any(axis=-1)], minlength=V)
    return V - 1 - int(counts[::-1].argmax()), min(5, T - 1)


def focus_shares(model):
    """Of the attention of the query picked out, (the share by family of key, in how many held-out windows,
    whether these are only those whose next token the rule says).

    Windows without an answer do not count unless there are no others.
    """
    token, position = focus(model)
    cache = model.held_out
    with_query = cache.tokens[:, position] == token
    asked = with_query & model.run.held_out.allowed[:, position].any(axis=-1)
    windows = asked if asked.any() else with_query
    chosen = windows[:, None] & (np.arange(cache.tokens.shape[1]) == position)
    shares = attention_shares(cache.attention[:, 0], cache.tokens, model.vocabulary, chosen)
    return shares, int(windows.sum()), bool(asked.any())


def in_reach(count, T, token, position):
    """Which keys can occur where a query can read them, (V, T) bool: all earlier ones, and its own."""
    seen = np.tile(np.arange(T) < position, (count, 1))
    seen[token, position] = True
    return seen


def key_scores(grid, token, position):
    """Scores of every key with the query of a token at a position: (V, T)."""
    query = grid.q[token, 0, position]
    return grid.k[:, 0] @ query / np.sqrt(len(query))


def rank_keys(grid, token, position):
    """Places of the keys in reach in a flat (V, T), the highest score first."""
    count, _, T, _ = grid.k.shape
    places = np.flatnonzero(in_reach(count, T, token, position))
    return places[np.argsort(-key_scores(grid, token, position).ravel()[places], kind="stable")].tolist()


def looked_for(model):
    """What the query picked out scores highest, in words, and whether keys of it score more the later they
    stand (1), the earlier (-1) or neither (0).

    Either a position, where the score follows the position more than the token; or all tokens of a family,
    where none of another scores as much on average; or one token.
    """
    token, position = focus(model)
    vocabulary = model.vocabulary
    if position == 0:
        return vocabulary[token], 0
    scores = key_scores(model.grid, token, position)[:, :position]                  # (V, earlier positions)
    by_token, by_place = scores.mean(axis=1), scores.mean(axis=0)
    if by_place.var() > by_token.var():
        best = int(by_place.argmax())
        return f"position {best}" + (", the one before it" if best == position - 1 else ""), 0
    order, families = np.argsort(-by_token, kind="stable"), families_of(vocabulary)
    whole = {name: int((families == name).sum()) for name in present_families(vocabulary)}
    first = families[order[0]]
    alike = order[: whole[first]]
    if whole[first] == 1 or set(families[alike]) != {first}:
        alike = order[:1]
    steps = np.diff(scores[alike].mean(axis=0))
    rising = int((steps > 0).all()) - int((steps < 0).all()) if len(steps) else 0
    return f"{first} tokens" if len(alike) > 1 else vocabulary[order[0]], rising
