"""Which solutions recur among seeds: token planes that are the same but for what a model cannot tell.

A linear map M of the residual stream changes nothing: put M into the embeddings, W_o, W_out and b_out,
and its inverse into W_q, W_k, W_v, W_in and W_unembed. (Without W_o, W_v takes both.) Nor does a vector
that is added to all tokens and taken from all positions. So a token plane means something only up to an
affine map, and each is centred and whitened first: variance 1 in every direction.

A rule in turn cannot tell some tokens apart, such as the even numbers of plus_last_even: which of them
lies where is chance. So these may trade places.
"""

from typing import NamedTuple

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import squareform

from scratchformer.analysis.attention import attention_shares
from scratchformer.analysis.families import present_families
from scratchformer.analysis.geometry import principal_axes
from scratchformer.engine.model import forward
from scratchformer.run.data import allowed_next
from scratchformer.run.own_rule import find_rule
from scratchformer.run.train import prepare

THRESHOLD = 0.05                # no two planes of a group are farther apart
TURNS, TRIED = 24, 8            # how many turns, each also mirrored, are looked at, and how many tried
WINDOWS = 1000                  # on which two tokens are tried in each other's place
READ = 400                      # on which it is looked at what positions read


class Groups(NamedTuple):
    """Planes in groups, the largest first."""

    planes: list                # whitened, of each seed: (V, 2)
    members: list               # of each group: indices of planes, the example first, then the nearest
    distances: np.ndarray       # of any two planes: (N, N)


class Solutions(NamedTuple):
    """What trained models of one config have in common."""

    groups: Groups
    classes: list               # of tokens that the rule treats alike: arrays of ids
    vocabulary: tuple           # tokens as text
    shares: list                # of each model, {family: share of what constrained positions read}


def study_solutions(config, models):
    """The Solutions of models of a config, a list of Params; what they read is the mean over the heads."""
    data, rule = prepare(config)[0], find_rule(config.data)
    windows = data.held_out_windows[:, :-1]
    classes = interchangeable(rule, data.vocabulary, windows)
    windows, vocabulary = windows[:READ], tuple(map(str, data.vocabulary))
    constrained = allowed_next(rule, data.vocabulary, windows).any(axis=-1)
    shares = []
    for params in models:
        attention = forward(params, windows, None, config.model.use_residual).attention.mean(axis=1)
        shares.append(
            attention_shares(attention, windows, vocabulary, constrained)
            or dict.fromkeys(present_families(vocabulary), 0.0)
        )
    return Solutions(find_groups([params.W_token for params in models], classes), classes, vocabulary, shares)


def find_groups(embeddings, classes):
    """The Groups of token embeddings, a list of (V, C); classes: lists of ids that may trade places.

    Groups come from complete linkage; the example of each has the least sum of distances to the others.
    """
    planes = [whiten(principal_axes(embedding)[0](embedding)) for embedding in embeddings]
    distances = np.zeros((len(planes), len(planes)))
    for i, plane in enumerate(planes):
        for j in range(i):
            distances[i, j] = distances[j, i] = align_planes(plane, planes[j], classes)[0]
    labels = np.ones(1, int)
    if len(planes) > 1:
        tree = linkage(squareform(distances), "complete")
        labels = fcluster(tree, THRESHOLD, "distance")
    members = []
    for label in np.unique(labels):
        inside = np.flatnonzero(labels == label)
        example = inside[distances[np.ix_(inside, inside)].sum(axis=1).argmin()]
        members.append(inside[np.argsort(distances[example, inside], kind="stable")])
    return Groups(planes, sorted(members, key=len, reverse=True), distances)


def whiten(points):
    """Points with mean 0 and, in each direction in which they differ at all, variance 1: (V, 2)."""
    left, sizes, _ = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    return left * (sizes > 1e-9 * max(sizes[0], 1e-300)) * np.sqrt(len(points))


def plane_distance(one, other):
    """1 - |oneᵀ other|² / V² R: the share of variance that the best affine map of one whitened plane onto
    the other leaves; the same in both directions. (V, 2) twice; R: in how many directions they differ."""
    spanned = max(one.any(axis=0).sum(), other.any(axis=0).sum(), 1)
    return max(0.0, 1 - ((one.T @ other / len(one)) ** 2).sum() / spanned)


def align_planes(one, other, classes):
    """(distance, order, turn): one[order] @ turn lies on `other` as well as it can, tokens trading places
    within their class. (V, 2) twice -> float, (V,), (2, 2)

    From several turns, in alternation: the best places for a turn, the best turn for the places.
    """
    best = (np.inf, None, None)
    for turn in likely_turns(one, other, classes):
        last = np.inf
        while True:
            order = np.arange(len(one))
            for ids in classes:
                _, places = linear_sum_assignment(-other[ids] @ (one[ids] @ turn).T)
                order[ids] = ids[places]
            apart = plane_distance(one[order], other)
            if apart >= last - 1e-12:
                break
            left, _, right = np.linalg.svd(one[order].T @ other)
            last, turn = apart, left @ right
            if apart < best[0]:
                best = apart, order, turn
    return best


def likely_turns(one, other, classes):
    """The turns that look best if every token takes the nearest place of its class: (TRIED, 2, 2)."""
    angles = np.arange(TURNS) * 2 * np.pi / TURNS
    turns = np.array([
        [[np.cos(angle), -np.sin(angle) * side], [np.sin(angle), np.cos(angle) * side]]
        for angle in angles for side in (1, -1)
    ])
    likeness = np.zeros(len(turns))
    for ids in classes:
        products = np.einsum("ac,rcd,bd->rab", one[ids], turns, other[ids])
        likeness += products.max(axis=1).sum(axis=1) + products.max(axis=2).sum(axis=1)
    return turns[np.argsort(-likeness, kind="stable")[:TRIED]]


def interchangeable(rule, vocabulary, windows):
    """Classes of tokens that the rule treats alike: arrays of ids.

    Two tokens, both numbers or both operators, are of one class if swapping them in a window swaps
    them in what the rule allows, in each of up to WINDOWS windows that hold or demand one of them.
    windows: (N, L) ids
    """
    allowed = allowed_next(rule, vocabulary, windows)
    classes = []
    for token in range(len(vocabulary)):
        for ids in classes:
            same_kind = isinstance(vocabulary[token], str) == isinstance(vocabulary[ids[0]], str)
            if same_kind and treated_alike(rule, vocabulary, windows, allowed, ids[0], token):
                ids.append(token)
                break
        else:
            classes.append([token])
    return [np.array(ids) for ids in classes]


def treated_alike(rule, vocabulary, windows, allowed, one, other):
    """Whether the rule treats two ids alike; see interchangeable. allowed: (N, L, V) bool"""
    swap = np.arange(len(vocabulary))
    swap[[one, other]] = other, one
    touched = np.isin(windows, [one, other]).any(axis=1) | allowed[..., [one, other]].any(axis=(1, 2))
    return all(
        (allowed_next(rule, vocabulary, swap[windows[n : n + 1]])[..., swap] == allowed[n]).all()
        for n in np.flatnonzero(touched)[:WINDOWS]
    )
