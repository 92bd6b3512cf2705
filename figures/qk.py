"""What the figures of queries, keys and values share: their planes and labels."""

import re

import numpy as np
from matplotlib.collections import LineCollection

from scratchformer.analysis.families import family, present_families
from scratchformer.figures.labels import add_labels_beside, labelled_position, sharing
from scratchformer.figures.marks import legend, marker, rings
from scratchformer.figures.planes import close_groups, label_tokens, scatter_tokens
from scratchformer.figures.style import INK, MARKERS, plane_of, set_plane
from scratchformer.figures.words import listed

NEARLY = 0.15            # width over length of what a matrix makes of a circle: nearly a line
CROWD = 14               # labels that find room within 30 points of a place


def describe_ranks(params, head):
    """Whether W_q or W_k, (C, H, D), flatten the plane of the first head to a line, in words."""
    ratios = {name: flatness(getattr(params, name)[:, 0]) for name in ("W_q", "W_k", "W_v")}
    flat = [name for name, ratio in ratios.items() if ratio < NEARLY]
    if min(params.W_q[:, 0].shape) < 2:
        return f"Queries, keys and values{head} have one dimension"
    if flat:
        return f"{listed(flat)}{head} nearly flatten{'s' * (len(flat) == 1)} the embeddings to a line"
    name = min(ratios, key=ratios.get)
    return f"No matrix{head} flattens the embeddings: {name} most, to {ratios[name]:.0%} of its width"


def flatness(matrix):
    """The second singular value of a matrix over its first: 0 for rank one."""
    values = np.linalg.svd(matrix, compute_uv=False)
    return float(values[1] / values[0]) if len(values) > 1 and values[0] else 0.0


def pair_plane(ax, vectors, vocabulary, colors, lead="dim"):
    """One point a token and position, (V, T, D), a token's joined in order and one of them labelled.

    colors: one a token; lead: what the axes' dimensions are called
    """
    count, T, _ = vectors.shape
    points, names = plane_of(vectors.reshape(count * T, -1))
    set_plane(ax, points, [re.sub("^dim ", f"{lead} ", name) for name in names])
    ax.locator_params(nbins=4)
    each = np.repeat(np.array(colors), T, axis=0)
    ax.add_collection(
        LineCollection(points.reshape(count, T, 2), colors=colors, linewidths=0.5, alpha=0.4, zorder=1),
        autolim=False,
    )
    scatter_tokens(ax, points, [token for token in vocabulary for _ in range(T)], each, 3)
    one = slice(labelled_position(T), None, T)
    label_tokens(ax, points[one], vocabulary, [None] * count, each[one], 8, 3, points)


def qk_plane(grid):
    """Queries, keys (V*T, 2; position fastest) and the origin (1, 2) on one plane, and its axis titles."""
    D = grid.q.shape[-1]
    q, k = grid.q[:, 0].reshape(-1, D), grid.k[:, 0].reshape(-1, D)
    points, names = plane_of(np.concatenate([q, k, np.zeros((1, D), q.dtype)]))
    return points[: len(q)], points[len(q) : -1], points[-1:], names


def label_pairs(ax, points, tokens, positions, colors, size, marker, others, alone=()):
    """Label tokens at positions; those of one colour, family and position too close together share one.

    others: (M, 2) further marks to keep clear of; alone: indices of points that share with none
    """
    if not len(points):
        return
    keys = [
        f"{color} {family(token)} {position} {i if i in alone else ''}"
        for i, (color, token, position) in enumerate(zip(colors, tokens, positions, strict=True))
    ]
    groups = sorted(close_groups(ax, points, keys), key=lambda group: group[0] not in alone)
    middles = np.array([points[group].mean(axis=0) for group in groups])
    kept = thin_out(ax.transData.transform(middles) * 72 / ax.figure.dpi)
    unlabelled = [points[group] for i, group in enumerate(groups) if len(group) > 1 or i not in kept]
    groups = [groups[i] for i in kept]
    add_labels_beside(
        ax, middles[kept],
        [sharing([tokens[i] for i in group], positions[group[0]], tokens) for group in groups],
        [colors[group[0]] for group in groups], size, marker / 2,
        np.concatenate([others, *unlabelled]),
    )


def thin_out(places, within=30, most=CROWD):
    """Indices of the places, in points, that get a label: at most so many so close to one another."""
    apart = np.hypot(*(places[:, None] - places).T)
    kept = []
    for i in range(len(places)):
        if (apart[i, kept] < within).sum() < most:
            kept.append(i)
    return kept


def mark_origin(ax, origin):
    """A ring where a vector is zero."""
    rings(ax, origin, area=144, width=1.1)


def pair_legend(fig, vocabulary, colors, y=0.18):
    """What the colours mean, by name, then what the shapes mean; at so many inches from below."""
    legend(fig, [
        *(marker("o", color, name) for name, color in colors.items()),
        *(marker(MARKERS[name], INK, f"{name} token") for name in present_families(vocabulary)),
        marker("o", INK, "origin", markerfacecolor="none", markersize=9),
    ], y, handletextpad=0.2)
