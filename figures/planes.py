"""Scatter plots of tokens, positions and tokens at positions."""

import numpy as np

from scratchformer.analysis.families import families_of, family
from scratchformer.figures.labels import add_labels_beside, labelled_position, sharing
from scratchformer.figures.marks import join
from scratchformer.figures.style import MARKERS, plane_of, position_colors, set_plane, token_colors
from scratchformer.figures.words import position_names


def scatter_tokens(ax, points, tokens, colors, size, **options):
    """Mark points by token: colours one each, marker by family; `size` is the marker's width in points."""
    options = {"linewidths": 0} | options
    families = families_of(tokens)
    for name, marker in MARKERS.items():
        chosen = families == name
        if chosen.any():
            ax.scatter(
                *points[chosen].T, s=size**2, marker=marker, c=colors[chosen], label=name, zorder=3, **options
            )


def close_groups(ax, points, keys, within=4):
    """Indices of points in groups: of one key, and within so many typographic points of the first."""
    places = ax.transData.transform(points) * 72 / ax.figure.dpi
    keys = np.asarray(keys)
    left = np.ones(len(points), bool)
    groups = []
    for i in range(len(points)):
        if left[i]:
            near = np.hypot(*(places - places[i]).T) < within
            groups.append(np.flatnonzero(left & near & (keys == keys[i])))
            left[groups[-1]] = False
    return groups


def label_tokens(ax, points, tokens, positions, colors, size, marker, others):
    """Label tokens at positions (None: without one); those of a family too close to tell apart share one.

    Returns what `add_labels_beside` does.
    """
    keys = [f"{position} {family(token)}" for token, position in zip(tokens, positions, strict=True)]
    groups = close_groups(ax, points, keys)
    joined = [sharing([tokens[i] for i in group], positions[group[0]], tokens) for group in groups]
    middles = np.array([points[group].mean(axis=0) for group in groups])
    shades = np.array([colors[group].mean(axis=0) for group in groups])
    return add_labels_beside(ax, middles, joined, shades, size, marker / 2, others)


def token_plane(ax, params, vocabulary, size=9, marker=4):
    """One labelled point a token."""
    points, names = plane_of(params.W_token)
    set_plane(ax, points, names)
    colors = token_colors(vocabulary)
    scatter_tokens(ax, points, vocabulary, colors, marker)
    label_tokens(ax, points, vocabulary, [None] * len(points), colors, size, marker, points)


def position_plane(ax, params, size=9, marker=4):
    """One labelled point a position, joined in order."""
    points, names = plane_of(params.W_pos)
    set_plane(ax, points, names)
    colors = position_colors(len(points))
    join(ax, points)
    ax.scatter(*points.T, s=marker**2, c=colors, linewidths=0, zorder=3)
    add_labels_beside(ax, points, position_names(len(points)), colors, size, marker / 2)


def sum_plane(ax, embed, vocabulary, size, marker=3, each=True):
    """One point a token and position, (V, T, C); all are labelled (8₇), or one position's only."""
    V, T, _ = embed.shape
    points, names = plane_of(embed.reshape(V * T, -1))
    set_plane(ax, points, names)
    tokens = np.repeat(vocabulary, T).tolist()
    colors = np.repeat(token_colors(vocabulary), T, axis=0)
    scatter_tokens(ax, points, tokens, colors, marker)
    chosen = slice(None) if each else slice(labelled_position(T), None, T)
    positions = list(range(T)) * V
    label_tokens(
        ax, points[chosen], tokens[chosen], positions[chosen], colors[chosen], size, marker, points
    )
