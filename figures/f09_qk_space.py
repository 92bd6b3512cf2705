"""Queries and keys on one plane: a query reads most from the keys that lie furthest along its direction."""

import numpy as np
from matplotlib.lines import Line2D

from figures.f08_qkv_transforms import head_shown
from figures.labels import add_labels_beside, at_position
from figures.planes import close_groups, scatter_tokens
from figures.style import FAMILIES, INK, K, Q, family, panel, plane_of, set_plane, title
from scratchformer.data import allowed_next

SIZE = (10, 10.2)
CROWD = 14               # labels that find room within 30 points of a place


def draw(fig, run, step):
    """Every query and every key, labelled with its token and position."""
    grid, vocabulary = run.grid(step), run.vocabulary
    count, H, T, _ = grid.q.shape
    windows = run.data.held_out_windows[:, :-1]
    constrained = allowed_next(run.rule, run.data.vocabulary, windows).any(axis=-1)
    shares = attention_shares(run.forward(step, windows), vocabulary, constrained)
    title(
        fig, f"Queries and keys of {run.config.name} at step {step:,}{head_shown(H)}",
        f"attention at the {constrained.sum():,} constrained positions of held-out windows:\n"
        + describe_shares(shares)
        + f"\n{at_position(vocabulary[-1], T - 1)} is token {vocabulary[-1]} at position {T - 1}; "
        "points too close to tell apart share a label, in a crowd some have none",
    )
    q, k, origin, names = qk_plane(grid)
    points = np.concatenate([q, k])
    ax = panel(fig, 0.85, 0.8, 8.9, 8.25)
    set_plane(ax, np.concatenate([points, origin]), names, margin=0.05)
    mark_origin(ax, origin)
    tokens = [token for token in vocabulary for _ in range(T)]
    for part, color in ((q, Q), (k, K)):
        scatter_tokens(ax, part, tokens, np.array([color] * len(part)), 3.5)
    colors = [Q] * len(q) + [K] * len(k)
    label_pairs(ax, points, tokens * 2, list(range(T)) * count * 2, colors, 7.5, 3.5, origin)
    legend(fig, vocabulary, {"query": Q, "key": K})


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


def describe_shares(shares):
    """Shares of attention in words."""
    return ", ".join(f"{share:.1%} to {name} keys" for name, share in shares.items()) or "none"


def label_pairs(ax, points, tokens, positions, colors, size, marker, others):
    """Label tokens at positions; those of one colour, family and position too close together share one.

    others: (M, 2) further marks to keep clear of
    """
    keys = [
        f"{color} {family(token)} {position}"
        for color, token, position in zip(colors, tokens, positions, strict=True)
    ]
    groups = close_groups(ax, points, keys)
    middles = np.array([points[group].mean(axis=0) for group in groups])
    kept = thin_out(ax.transData.transform(middles) * 72 / ax.figure.dpi)
    unlabelled = [points[group] for i, group in enumerate(groups) if len(group) > 1 or i not in kept]
    groups = [groups[i] for i in kept]
    add_labels_beside(
        ax, middles[kept],
        [at_position(",".join(tokens[i] for i in group), positions[group[0]]) for group in groups],
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
