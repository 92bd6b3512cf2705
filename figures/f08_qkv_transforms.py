"""What attention makes of each token at each position: its query, its key and its value."""

import numpy as np
from matplotlib.colors import to_rgb

from scratchformer.analysis.families import family_distances
from scratchformer.figures.marks import family_legend
from scratchformer.figures.qk import describe_ranks, pair_plane
from scratchformer.figures.style import K, Q, V, figure_title, heatmap, panel, token_colors
from scratchformer.figures.words import dim_names, head_shown

HEADING = "Queries, keys and values"
QUESTION = "Which differences between tokens do the three matrices keep?"
LOOK = "how narrow the clouds of queries and keys are beside that of the embeddings"
SIZE = (10, 7.55)


def draw(fig, model):
    """Above the embeddings and the matrices that they meet, below what comes of them."""
    params, grid, vocabulary = model.params, model.grid, model.vocabulary
    spaces = spaces_of(grid)
    figure_title(fig, model, describe_ranks(params, head_shown(model, " of ")))
    draw_transforms(fig, params, spaces, vocabulary, 0.75)
    family_legend(fig, vocabulary, SIZE[0] / 2, 0.15, neutral=True)


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
    rows, names = dim_names(C, 4), ("W_q", "W_k", "W_v")
    limit = max(float(np.abs(getattr(params, name)[:, 0]).max()) for name in names)
    for name, lead, left in (("W_q", "q", 3.85), ("W_k", "k", 6.0), ("W_v", "v", 8.15)):
        ax = panel(fig, left, bottom + 3.5, 0.98, 2.3)
        heatmap(ax, getattr(params, name)[:, 0], rows, dim_names(D, 4, lead),
                "value, all three" * (name == names[-1]), limit=limit)
        ax.set_title(f"{name} ({C} × {D})")
    for (name, color), left in zip((("q", Q), ("k", K), ("v", V)), (0.95, 4.13, 7.31), strict=True):
        ax = panel(fig, left, bottom, 2.5, 2.6)
        pair_plane(ax, spaces[name], vocabulary, [to_rgb(color)] * len(vocabulary), name)
        ax.set_title(f"{name} = embed · W_{name}", color=color)


def caption(model):
    """What the figure shows, and which families of tokens each matrix sets apart in this run."""
    return (
        f"Above, the embeddings and the three learned matrices{head_shown(model, ' of ')}; below, what each "
        "matrix makes of every embedding: its query (blue), what a position looks for, its key (red), what "
        "it offers, and its value (green), what it passes on. Shapes tell the families of tokens, and a "
        "line joins a token's positions. A matrix can only turn, mirror, stretch and flatten the space, so "
        "what matters is which differences it keeps. In units of each panel's spread, "
        f"{'; '.join(compare_spaces(model))}. Queries and keys meet in the next figure."
    )


def compare_spaces(model):
    """Where the families' means lie furthest apart and where closest, a clause a pair with even tokens."""
    names = {"embed": "embeddings", "q": "queries", "k": "keys", "v": "values"}
    for other, apart in family_distances(spaces_of(model.grid), model.vocabulary).items():
        first, last = max(apart, key=apart.get), min(apart, key=apart.get)
        yield (
            f"the means of even and {other} tokens are furthest apart among the {names[first]} "
            f"({apart[first]:.2f}) and closest among the {names[last]} ({apart[last]:.2f})"
        )
