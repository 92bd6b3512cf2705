"""What attention makes of each token at each position: its query, its key and its value."""

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb

from figures.planes import group_distances, label_tokens, scatter_tokens
from figures.style import K, Q, V, family_legend, heatmap, panel, plane_of, set_plane, title, token_colors

SIZE = (10, 7.8)


def draw(fig, run, step):
    """Above the embeddings and the matrices that they meet, below what comes of them."""
    params, grid, vocabulary = run.params(step), run.grid(step), run.vocabulary
    C, H, D = params.W_q.shape
    T = grid.tokens.shape[1]
    spaces = {"embed": grid.embed, "q": grid.q[:, 0], "k": grid.k[:, 0], "v": grid.v[:, 0]}
    title(
        fig, f"Queries, keys and values of {run.config.name} at step {step:,}{head_shown(H)}",
        "\n".join([
            *describe_distances(spaces, vocabulary),
            f"a line joins the positions of a token in order; the last one, p{T - 1}, is labelled",
        ]),
    )
    ax = panel(fig, 0.95, 4.25, 2.1, 2.3)
    pair_plane(ax, grid.embed, vocabulary, token_colors(vocabulary))
    ax.set_title("embed = token + position")
    rows = [f"dim {c}" for c in range(C)] if C <= 4 else [str(c) for c in range(C)]
    for name, lead, left in (("W_q", "q", 3.85), ("W_k", "k", 6.0), ("W_v", "v", 8.15)):
        columns = [f"{lead} {d}" for d in range(D)] if D <= 4 else [str(d) for d in range(D)]
        ax = panel(fig, left, 4.25, 0.98, 2.3)
        heatmap(ax, getattr(params, name)[:, 0], rows, columns, "value")
        ax.set_title(f"{name} ({C} × {D})")
    for (name, color), left in zip((("q", Q), ("k", K), ("v", V)), (0.95, 4.13, 7.31), strict=True):
        ax = panel(fig, left, 0.75, 2.5, 2.6)
        pair_plane(ax, spaces[name], vocabulary, [to_rgb(color)] * len(vocabulary))
        ax.set_title(f"{name} = embed · W_{name}", color=color)
    family_legend(fig, vocabulary, SIZE[0] / 2, 0.15)


def head_shown(H):
    """Which head a figure shows, where there are several: for the end of its title."""
    return f": head 1 of {H}" if H > 1 else ""


def describe_distances(spaces, vocabulary):
    """How far apart the families' means lie in each space, a line a pair that has even tokens."""
    apart = {
        name: group_distances(points.mean(axis=1), vocabulary)[0] for name, points in spaces.items()
    }
    for pair in apart["embed"]:
        if pair[0] == "even":
            yield f"distance of means, {'–'.join(pair)}: " + ", ".join(
                f"{name} {distances[pair]:.2f}" for name, distances in apart.items()
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
