"""The map of decisions: which token is predicted wherever the stream after attention may lie, exactly.

From `resid_mid` on a model of two dimensions is piecewise linear. Each hidden unit has a crease, the line
W_in[:, f] · r + b_in[f] = 0: on one side it is shut, on the other it is open. Between the creases the logits
are affine, logits = A r + c, so in each cell the predictions are cut by straight lines, ties of two logits.
All is done by cutting convex polygons with lines: no grid, no sampling.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from scratchformer.analysis.answers import landings, single_answers
from scratchformer.analysis.landscape import frame
from scratchformer.analysis.scores import focus


class Region(NamedTuple):
    """A convex polygon in which one token is predicted."""

    token: int                          # id
    corners: np.ndarray                 # (N, 2), in order


def decision_regions(params, box, use_residual=True):
    """Regions that cover a box of the plane of `resid_mid`, without gaps or overlaps: list of Region.

    params: of a model with C = 2; box: (left, right, bottom, top)
    """
    regions = []
    for corners in cells(params, box):
        A, c = affine_logits(params, corners.mean(axis=0), use_residual)
        regions += cut_by_ties(corners, A, c)
    return regions


def cells(params, box):
    """The pieces into which the creases of the hidden units cut a box: list of (N, 2) corners."""
    left, right, bottom, top = box
    pieces = [np.array([(left, bottom), (right, bottom), (right, top), (left, top)], float)]
    for normal, offset in zip(params.W_in.T, params.b_in, strict=True):
        pieces = [part for piece in pieces for part in cut_polygon(piece, piece @ normal + offset)]
    return pieces


def affine_stream(params, point, use_residual=True):
    """(W, b) with resid_post = resid_mid W + b in the cell that a point lies in: (2, 2), (2,)."""
    is_open = point @ params.W_in + params.b_in > 0                             # (F,)
    W = params.W_in[:, is_open] @ params.W_out[is_open]
    b = params.b_in[is_open] @ params.W_out[is_open] + params.b_out
    return W + np.eye(2) * use_residual, b


def affine_logits(params, point, use_residual=True):
    """(A, c) with logits = A r + c in the cell that a point lies in: (V, 2), (V,)."""
    W, b = affine_stream(params, point, use_residual)
    return (W @ params.W_unembed).T, b @ params.W_unembed + params.b_unembed


def cut_by_ties(corners, A, c):
    """The Regions of one cell: token by token, each takes what it wins from those before it.

    A token that is first in every corner is first in between; one that in no corner is ahead of some other
    is nowhere first.
    """
    logits = corners @ A.T + c                                                  # (N, V)
    leaders = np.unique(logits.argmax(axis=-1))
    if len(leaders) == 1:
        return [Region(int(leaders[0]), corners)]
    ahead = (logits[:, :, None] > logits[:, None, leaders]).any(axis=0)         # (V, L)
    ahead[leaders] = True
    first, *others = np.flatnonzero(ahead.all(axis=-1)).tolist()
    pieces = [Region(first, corners)]
    for token in others:
        after = []
        for piece in pieces:
            ahead = piece.corners @ (A[token] - A[piece.token]) + c[token] - c[piece.token]
            if (ahead <= 0).all():
                after.append(piece)
            elif (ahead > 0).all():
                after.append(Region(token, piece.corners))
            else:
                behind, won = sides(piece.corners, ahead)
                after += [Region(piece.token, behind)] if len(behind) > 2 else []
                after += [Region(token, won)] if len(won) > 2 else []
        pieces = after
    return pieces


def cut_polygon(corners, heights):
    """The parts of a convex polygon on either side of the line on which an affine function is 0: one or two.

    heights: (N,), the function at the corners
    """
    if (heights >= 0).all() or (heights <= 0).all():
        return [corners]
    return [part for part in sides(corners, heights) if len(part) > 2]


def sides(corners, heights):
    """(corners where an affine function is at most 0, where it is at least 0) of a convex polygon; both have
    the points of the edge between them."""
    parts = [], []
    for i, (corner, height) in enumerate(zip(corners, heights, strict=True)):
        other, beyond = corners[i - 1], heights[i - 1]
        if height * beyond < 0:
            point = other + (corner - other) * (beyond / (beyond - height))
            parts[0].append(point)
            parts[1].append(point)
        if height <= 0:
            parts[0].append(corner)
        if height >= 0:
            parts[1].append(corner)
    return tuple(np.array(part).reshape(-1, 2) for part in parts)


def frame_regions(model):
    """The regions of a model's frame: list of Region."""
    return regions_in(model, tuple(frame(model)))


@lru_cache(maxsize=4)
def regions_in(model, box):
    """The regions of a part of a model's plane: see decision_regions."""
    return decision_regions(model.params, box, model.use_residual)


@lru_cache(maxsize=4)
def borders(model, box):
    """Where the prediction changes in a part of a model's plane: (edges (E, 2, 2), the token that each is a
    border of (E,)).

    An edge of a region is either a tie of two logits or lies on a crease or on the box.
    """
    regions = regions_in(model, box)
    ends = np.concatenate([np.stack([r.corners, np.roll(r.corners, -1, axis=0)], axis=1) for r in regions])
    tokens = np.concatenate([np.full(len(region.corners), region.token) for region in regions])
    second, first = np.sort(model.landscape(ends.mean(axis=1)), axis=-1)[:, -2:].T
    tie = second > first * (1 - 1e-7)
    return ends[tie], tokens[tie]


def area(corners):
    """The area of a polygon: the shoelace formula."""
    x, y = (corners - corners.mean(axis=0)).T
    return 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))


def areas_by_token(regions, count):
    """The area in which each of `count` tokens is predicted: (count,)."""
    areas = np.zeros(count)
    for region in regions:
        areas[region.token] += area(region.corners)
    return areas


class Landings(NamedTuple):
    """Where the stream lies after attention at the held-out positions that have one answer, by query."""

    query: int                          # the token after which the rule most often speaks
    start: np.ndarray                   # (2,): its embedding at the position it starts from
    answers: list                       # ids of the answers that occur after it
    ends: np.ndarray                    # (A, 2): mean of resid_mid by answer
    counts: np.ndarray                  # (A,)
    right: int                          # how many constrained positions land in a region of what is allowed
    constrained: int


def answer_landings(model):
    """The Landings of a model's held-out windows."""
    cache, allowed, right = landings(model)
    query, position = focus(model)
    single = single_answers(model)
    chosen = (single >= 0) & (cache.tokens == query)
    answers = np.unique(single[chosen]).tolist()
    ends = [cache.resid_mid[chosen & (single == answer)].mean(axis=0) for answer in answers]
    return Landings(
        query, model.grid.embed[query, position], answers, np.reshape(ends, (-1, cache.resid_mid.shape[-1])),
        np.array([int((chosen & (single == answer)).sum()) for answer in answers]),
        int(right.sum()), int(allowed.any(axis=-1).sum()),
    )
