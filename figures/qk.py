"""What the figures of queries, keys and values share: their planes, labels, and shares of attention."""

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from scratchformer.engine.model import forward
from scratchformer.figures.labels import add_labels_beside, sharing
from scratchformer.figures.planes import close_groups, group_distances, label_tokens, scatter_tokens
from scratchformer.figures.style import FAMILIES, INK, family, plane_of, set_plane

CROWD = 14               # labels that find room within 30 points of a place


def head_shown(H):
    """Which head a figure shows, where there are several: for the end of its title."""
    return f": head 1 of {H}" if H > 1 else ""


def family_distances(spaces, vocabulary):
    """How far apart the means of even tokens and of another family lie in each space, in units of its
    spread: {other family: {space: distance}}. spaces: {name: (V, T, D)}
    """
    apart = {}
    for name, points in spaces.items():
        for (a, b), distance in group_distances(points.mean(axis=1), vocabulary)[0].items():
            if a == "even":
                apart.setdefault(b, {})[name] = distance / spread(points)
    return apart


def spread(points):
    """Root mean square distance of points, (..., D), from their mean; 1 if they are all the same."""
    flat = points.reshape(-1, points.shape[-1])
    return float(np.sqrt(((flat - flat.mean(axis=0)) ** 2).sum(axis=1).mean())) or 1.0


def describe_distances(spaces, vocabulary):
    """The distances of the families' means in words, a line a pair."""
    for other, distances in family_distances(spaces, vocabulary).items():
        yield f"means of even and {other} tokens, distance in units of each panel's spread: " + ", ".join(
            f"{name} {distance:.2f}" for name, distance in distances.items()
        )


def pair_plane(ax, vectors, vocabulary, colors):
    """One point a token and position, (V, T, D), a token's joined in order and its last one labelled.

    colors: one a token
    """
    count, T, _ = vectors.shape
    points, names = plane_of(vectors.reshape(count * T, -1))
    set_plane(ax, points, names)
    ax.locator_params(nbins=4)
    each = np.repeat(np.array(colors), T, axis=0)
    ax.add_collection(
        LineCollection(points.reshape(count, T, 2), colors=colors, linewidths=0.5, alpha=0.4, zorder=1),
        autolim=False,
    )
    scatter_tokens(ax, points, [token for token in vocabulary for _ in range(T)], each, 3)
    last = slice(T - 1, None, T)
    label_tokens(ax, points[last], vocabulary, [None] * count, each[last], 8, 3, points)


def qk_plane(grid):
    """Queries, keys (V*T, 2; position fastest) and the origin (1, 2) on one plane, and its axis titles."""
    D = grid.q.shape[-1]
    q, k = grid.q[:, 0].reshape(-1, D), grid.k[:, 0].reshape(-1, D)
    points, names = plane_of(np.concatenate([q, k, np.zeros((1, D), q.dtype)]))
    return points[: len(q)], points[len(q) : -1], points[-1:], names


def attention_shares(cache, vocabulary, chosen):
    """Of the first head's attention at the chosen positions, (B, T) bool, the share by family of key."""
    if not chosen.any():
        return {}
    names = [name for name in FAMILIES if name in set(map(family, vocabulary))]
    keys = np.array([family(token) for token in vocabulary])[cache.tokens]
    return {
        name: float((cache.attention[:, 0] * (keys == name)[:, None]).sum(axis=-1)[chosen].mean())
        for name in names
    }


def evenly(T):
    """Attention that reads all keys in reach alike: (T, T)."""
    return np.tri(T) / np.arange(1, T + 1)[:, None]


def describe_shares(shares):
    """Shares of attention in words."""
    return ", ".join(f"{share:.1%} to {name} keys" for name, share in shares.items()) or "none"


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
        [sharing([tokens[i] for i in group], positions[group[0]]) for group in groups],
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
    ax.scatter(*origin.T, s=144, marker="o", facecolors="none", edgecolors=INK, linewidths=1.1, zorder=4)


def legend(fig, vocabulary, colors):
    """What the colours mean, by name, then what the shapes mean; below the figure's panels."""
    styles = [(name, "o", color) for name, color in colors.items()]
    present = set(map(family, vocabulary))
    styles += [(f"{name} token", marker, INK) for name, marker in FAMILIES.items() if name in present]
    handles = [
        Line2D([], [], linestyle="", marker=marker, color=color, markersize=6, label=name)
        for name, marker, color in styles
    ]
    handles.append(Line2D(
        [], [], linestyle="", marker="o", color=INK, markerfacecolor="none", markersize=9, label="origin"
    ))
    fig.legend(
        handles=handles, loc="center", bbox_to_anchor=(0.5, 0.18 / fig.get_size_inches()[1]),
        ncols=len(handles), handletextpad=0.2, columnspacing=1.6,
    )


def pair_scores(model):
    """Scores of the first head for every query and every earlier key: (V, V, T, T), [a, b, t, s] with token
    a at query position t and b at key position s. NaN where s > t, and for a ≠ b where s = t.

    A score depends on these two alone, so a few windows a pair (a, b) show them all: window j has a
    where bit j of the position is set and b elsewhere. It shows t and s if j is the highest bit in
    which they differ. One a at a time goes through the model: V²·J windows at once would fill the memory.
    """
    V, T, params = len(model.vocabulary), model.config.model.block_size, model.params
    positions = np.arange(T)
    bits = positions >> np.arange(max(1, (T - 1).bit_length()))[:, None] & 1              # (J, T)
    scores = np.full((V, V, T, T), np.nan)
    for a in range(V):
        windows = np.where(bits, a, np.arange(V)[:, None, None])                        # (V, J, T)
        cache = forward(params, windows.reshape(-1, T), None, model.config.model.use_residual)
        seen = cache.scores[:, 0].reshape(*windows.shape, T)
        for j in range(len(bits)):
            shown = (positions[:, None] ^ positions) >> j == 1                          # highest bit is j
            shown &= positions[:, None] > positions
            scores[a][:, shown] = seen[:, j, shown]
        scores[a, a, positions, positions] = seen[a, 0].diagonal()
    return scores
