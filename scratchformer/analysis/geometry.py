"""Points of any dimension: the plane that shows them best, their extremes, what groups explain of them."""

import numpy as np


def principal_axes(points):
    """The plane on which points, (N, C), are shown: (function that puts (..., C) on it, shares of variance).

    Two dimensions stay as they are, one is set against zero, and the shares are None; of more, the two
    leading principal axes of the points are taken, and the shares are theirs: (2,).
    """
    C = points.shape[1]
    if C == 1:
        return lambda vectors: np.concatenate([vectors, np.zeros_like(vectors)], axis=-1), None
    if C == 2:
        return lambda vectors: vectors, None
    middle = points.mean(axis=0)
    _, sizes, axes = np.linalg.svd(points - middle, full_matrices=len(points) < C)
    sizes = np.pad(sizes, (0, max(0, 2 - len(sizes))))
    axes = axes[:2]
    axes = axes * np.where(axes[np.arange(2), np.abs(axes).argmax(axis=1)] < 0, -1, 1)[:, None]
    return lambda vectors: (vectors - middle) @ axes.T, sizes[:2] ** 2 / ((sizes**2).sum() or 1)


def closest_and_farthest(points):
    """(indices of the closest two, of the farthest two, their distances): points (N, C), N >= 2."""
    one, other = np.triu_indices(len(points), 1)
    distances = np.linalg.norm(points[one] - points[other], axis=1)
    near, far = distances.argmin(), distances.argmax()
    return (one[near], other[near]), (one[far], other[far]), distances[near], distances[far]


def straightness(points):
    """(share of the variance that lies along one direction, how often the path of the points turns back
    along it): points (N, C), N >= 3."""
    centred = points - points.mean(axis=0)
    _, sizes, axes = np.linalg.svd(centred)
    turns = np.diff(np.sign(np.diff(centred @ axes[0]))).astype(bool).sum()
    return sizes[0] ** 2 / (sizes**2).sum(), int(turns)


def between_groups(points, groups):
    """Share of the points' variance that lies between the means of their groups: (N, C), (N,)."""
    middle = points.mean(axis=0)
    apart = sum(
        (groups == group).sum() * ((points[groups == group].mean(axis=0) - middle) ** 2).sum()
        for group in np.unique(groups)
    )
    return float(apart / (((points - middle) ** 2).sum() or 1))
