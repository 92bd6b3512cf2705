"""Figure 08, and below it each dimension of the queries, keys and values by token and position."""

import numpy as np

from scratchformer.analysis.families import token_shares
from scratchformer.figures.f08_qkv_transforms import draw_transforms, spaces_of
from scratchformer.figures.marks import family_legend
from scratchformer.figures.style import K, Q, V, figure_title, heatmap, panel, token_colors
from scratchformer.figures.words import head_shown, position_names, sentence, span

HEADING = "Queries, keys and values by dimension"
QUESTION = "Does a dimension follow the token or the position?"
LOOK = "rows of one colour follow the token, drifts along a row the position"
SIZE = (10, 15.1)
MOST = 4                                                # dimensions that have room
ROOM, GAP, LOW = 6.3, 0.5, 0.75                         # the heat maps' height, gap and lower edge


def draw(fig, model):
    """Two rows as in figure 08, then a row of heat maps a dimension."""
    params, grid, vocabulary = model.params, model.grid, model.vocabulary
    _, _, T, D = grid.q.shape
    spaces = spaces_of(grid)
    shares = {name: token_shares(spaces[name]) for name in "qkv"}
    title = f"of what queries, keys and values vary{head_shown(model)}, the token makes"
    figure_title(fig, model, f"{sentence(title)[:-1]} {span(np.concatenate([*shares.values()]))}")
    draw_transforms(fig, params, spaces, vocabulary, LOW + ROOM + 1.0)
    shown = min(D, MOST)
    height = min(2.9, (ROOM + GAP) / shown - GAP)
    for (name, color), left in zip((("q", Q), ("k", K), ("v", V)), (0.35, 3.55, 6.75), strict=True):
        for d in range(shown):
            ax = panel(fig, left, LOW + ROOM - height - d * (height + GAP), 2.36, height)
            heatmap(
                ax, spaces[name][..., d], vocabulary, position_names(T), "value", token_colors(vocabulary),
            )
            ax.set_title(f"{name} {d}: {shares[name][d]:.0%} token", color=color)
            ax.yaxis.set_visible(name == "q")
            ax.xaxis.set_visible(d == shown - 1)
    family_legend(fig, vocabulary, SIZE[0] / 2, 0.2, neutral=True)


def caption(model):
    """What is to be seen in it."""
    grid = model.grid
    _, _, T, D = grid.q.shape
    shares = {name: token_shares(getattr(grid, name)[:, 0])[:MOST] for name in "qkv"}
    return (
        "The upper two rows are figure 08: the embedding of every token at every position, the three "
        "matrices, and the queries, keys and values that they make of it. The heat maps below show the same "
        f"vectors one dimension at a time: a row is a token, a column a position up to {T - 1}, red above 0, "
        "blue below. A row of one colour means that the token alone decides, a drift along it that the "
        "position counts. An embedding is token plus position and the matrices are linear, so the two shares "
        "of the variance add up to 100%. The token's share here: " + "; ".join(
            f"{name} " + ", ".join(f"{share:.0%}" for share in each) for name, each in shares.items()
        ) + f" (dim 0 to {min(D, MOST) - 1})."
    )
