"""Families of tokens, even numbers, odd numbers and operators: how far apart their vectors lie."""

from itertools import combinations

import numpy as np

FAMILIES = ("even", "odd", "operator")


def family(token):
    """'even', 'odd' or 'operator' for a token's text."""
    if not token.isdecimal():
        return "operator"
    return "odd" if int(token) % 2 else "even"


def families_of(tokens):
    """The family of each of the tokens' texts: (N,)."""
    return np.array([family(token) for token in tokens])


def present_families(vocabulary):
    """The families that the vocabulary has, in the order of FAMILIES: list."""
    found = set(map(family, vocabulary))
    return [name for name in FAMILIES if name in found]


def group_distances(W_token, vocabulary):
    """({(a, b): distance of the families' means}, {family: root mean square distance from its mean})."""
    families = families_of(vocabulary)
    groups = {name: W_token[families == name] for name in present_families(vocabulary)}
    apart = {
        (a, b): float(np.linalg.norm(groups[a].mean(axis=0) - groups[b].mean(axis=0)))
        for a, b in combinations(groups, 2)
    }
    return apart, {name: rms_spread(rows) for name, rows in groups.items() if len(rows) > 1}


def rms_spread(points):
    """Root mean square distance of points, (..., C), from their mean."""
    flat = points.reshape(-1, points.shape[-1])
    return float(np.sqrt(((flat - flat.mean(axis=0)) ** 2).sum(axis=1).mean()))


def family_gaps(model):
    """{(a, b): (distance of the families' mean token embeddings, their spreads taken together)}."""
    apart, spread = group_distances(model.params.W_token, model.vocabulary)
    return {(a, b): (gap, spread.get(a, 0) + spread.get(b, 0)) for (a, b), gap in apart.items()}


def family_distances(spaces, vocabulary):
    """How far apart the means of even tokens and of another family lie in each space, in units of its
    spread (1 if all its points are the same): {other family: {space: distance}}.

    spaces: {name: (V, T, D)}
    """
    apart = {}
    for name, points in spaces.items():
        for (a, b), distance in group_distances(points.mean(axis=1), vocabulary)[0].items():
            if a == "even":
                apart.setdefault(b, {})[name] = distance / (rms_spread(points) or 1.0)
    return apart


def token_shares(vectors):
    """Share of each dimension's variance that the token makes; the position makes the rest. (V, T, D) -> (D,)

    The embedding is a sum of the two and the projections are linear, so nothing else remains.
    """
    total = vectors.var(axis=(0, 1))
    return vectors.mean(axis=1).var(axis=0) / np.where(total > 0, total, 1)


def sequence_distances(embed, words):
    """Mean distances in one sequence's embeddings, (T, C): "apart", of its operators from its numbers, and
    "among", of its numbers from one another if there are several; {"length": mean length} if it has only
    operators or none. words: its tokens' texts
    """
    operator = families_of(words) == "operator"
    if not operator.any() or operator.all():
        return {"length": float(np.linalg.norm(embed, axis=-1).mean())}
    numbers = embed[~operator]
    found = {"apart": float(np.linalg.norm(embed[operator][:, None] - numbers, axis=-1).mean())}
    count = len(numbers)
    if count > 1:
        total = np.linalg.norm(numbers[:, None] - numbers, axis=-1).sum()
        found["among"] = float(total / (count * (count - 1)))
    return found
