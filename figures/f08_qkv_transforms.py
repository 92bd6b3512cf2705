"""What attention makes of each token at each position: its query, its key and its value."""

import numpy as np
from matplotlib.colors import to_rgb

from figures.planes import group_distances
from figures.qk import describe_distances, head_shown, pair_plane
from figures.style import K, Q, V, family_legend, heatmap, panel, title, token_colors

SIZE = (10, 7.8)


def draw(fig, run, step):
    """Above the embeddings and the matrices that they meet, below what comes of them."""
    params, grid, vocabulary = run.params(step), run.grid(step), run.vocabulary
    H, T = grid.q.shape[1:3]
    spaces = spaces_of(grid)
    title(
        fig, f"Queries, keys and values of {run.config.name} at step {step:,}{head_shown(H)}",
        "\n".join([
            *describe_distances(spaces, vocabulary),
            f"a line joins the positions of a token in order; the last one, p{T - 1}, is labelled",
        ]),
    )
    draw_transforms(fig, params, spaces, vocabulary, 0.75)
    family_legend(fig, vocabulary, SIZE[0] / 2, 0.15)


def spaces_of(grid):
    """The embeddings (V, T, C) and the first head's queries, keys and values (V, T, D) by name."""
    return {"embed": grid.embed, "q": grid.q[:, 0], "k": grid.k[:, 0], "v": grid.v[:, 0]}


def draw_transforms(fig, params, spaces, vocabulary, bottom):
    """Two rows of panels, the lower edge of the lower one at `bottom` inches.

    spaces: {"embed": (V, T, C), "q": (V, T, D), "k": the same, "v": the same}
    """
    C, _, D = params.W_q.shape
    ax = panel(fig, 0.95, bottom + 3.5, 2.1, 2.3)
    pair_plane(ax, spaces["embed"], vocabulary, token_colors(vocabulary))
    ax.set_title("embed = token + position")
    rows = [f"dim {c}" for c in range(C)] if C <= 4 else [str(c) for c in range(C)]
    for name, lead, left in (("W_q", "q", 3.85), ("W_k", "k", 6.0), ("W_v", "v", 8.15)):
        columns = [f"{lead} {d}" for d in range(D)] if D <= 4 else [str(d) for d in range(D)]
        ax = panel(fig, left, bottom + 3.5, 0.98, 2.3)
        heatmap(ax, getattr(params, name)[:, 0], rows, columns, "value")
        ax.set_title(f"{name} ({C} × {D})")
    for (name, color), left in zip((("q", Q), ("k", K), ("v", V)), (0.95, 4.13, 7.31), strict=True):
        ax = panel(fig, left, bottom, 2.5, 2.6)
        pair_plane(ax, spaces[name], vocabulary, [to_rgb(color)] * len(vocabulary))
        ax.set_title(f"{name} = embed · W_{name}", color=color)


def caption(run, step):
    """What the figure shows, and which families of tokens each matrix sets apart in this run."""
    H = run.config.model.num_heads
    head = f" of head 1 of {H}" if H > 1 else ""
    return (
        f"Above, the embeddings and the three learned matrices{head}; below, what each matrix makes of every "
        "embedding: its query (blue), what a position looks for, its key (red), what it offers, and its "
        "value (green), what it passes on. Shapes tell the families of tokens, and a line joins a token's "
        "positions. A matrix can only turn, stretch and flatten the space, so what matters is which "
        f"differences it keeps. Measured in each space's own spread, {'; '.join(compare_spaces(run, step))}. "
        "Queries and keys meet in the next figure."
    )


def compare_spaces(run, step):
    """Where the families' means lie furthest apart and where closest, a clause a pair with even tokens."""
    spaces = spaces_of(run.grid(step))
    apart = {}
    for name, points in spaces.items():
        found, _ = group_distances(points.mean(axis=1), run.vocabulary)
        apart[name] = {pair: distance / spread(points) for pair, distance in found.items()}
    names = {"embed": "embeddings", "q": "queries", "k": "keys", "v": "values"}
    for pair in apart["embed"]:
        if pair[0] == "even":
            order = sorted(apart, key=lambda name: -apart[name][pair])
            first, last = order[0], order[-1]
            yield (
                f"the means of {pair[0]} and {pair[1]} tokens are furthest apart among the {names[first]} "
                f"({apart[first][pair]:.2f}) and closest among the {names[last]} ({apart[last][pair]:.2f})"
            )


def spread(points):
    """Root mean square distance of points, (..., D), from their mean."""
    flat = points.reshape(-1, points.shape[-1])
    return float(np.sqrt(((flat - flat.mean(axis=0)) ** 2).sum(axis=1).mean())) or 1.0
