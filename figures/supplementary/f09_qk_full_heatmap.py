"""Every query against every key: one small triangle of scores for each pair of tokens."""

import matplotlib
import numpy as np

from scratchformer.analysis.scores import mean_scores, pair_scores
from scratchformer.figures.sequences import largest
from scratchformer.figures.style import (
    SIGNED, color_bar, color_ticks, panel, show_matrix, title, token_colors,
)
from scratchformer.figures.words import head_shown, number

SIZE = (10, 10.25)
BLANK = "#d2d2d2"                                       # cells that stand for no pair


def draw(fig, model):
    """Tokens of queries down, of keys across; within a block of two tokens, their positions."""
    scores, vocabulary = pair_scores(model), model.vocabulary
    V, _, T, _ = scores.shape
    title(
        fig,
        f"Scores of every query and key of {model.name} at step {model.step:,}"
        f"{head_shown(model, ': ')}",
        "\n".join([
            f"in each block the query's position runs down and the key's to the right, from 0 to {T - 1}; "
            "grey: a pair that no window has",
            *describe_means(mean_scores(scores, vocabulary)),
        ]),
    )
    ax = panel(fig, 0.8, 0.6, 8.2, 8.2)
    square = blocks(scores)
    limit = largest([square.compressed()])
    colors = matplotlib.colormaps[SIGNED].with_extremes(bad=BLANK)
    image = show_matrix(ax, square, colors, -limit, limit, aspect=None)
    edges = np.arange(1, V) * T - 0.5
    ax.hlines(edges, -0.5, V * T - 0.5, color="white", linewidth=1.6)
    ax.vlines(edges, -0.5, V * T - 0.5, color="white", linewidth=1.6)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(np.arange(V) * T + (T - 1) / 2, vocabulary, fontsize=11)
        color_ticks(axis, token_colors(vocabulary))
    ax.set(xlabel="token of the key", ylabel="token of the query")
    color_bar(image, "score: q · k / √D")


def blocks(scores):
    """Blocks of positions, (V, V, T, T), as one matrix with the pairs that no window has left out."""
    V, _, T, _ = scores.shape
    return np.ma.masked_invalid(scores.transpose(0, 2, 1, 3).reshape(V * T, V * T))


def describe_means(means):
    """A clause a family of queries."""
    for query, row in means.items():
        yield f"{query} queries score on average " + ", ".join(
            f"{number(mean, '.2f')} with {key} keys" for key, mean in row.items()
        )


def caption(model):
    """What is to be seen in it."""
    scores, vocabulary = pair_scores(model), model.vocabulary
    return (
        "Every query against every key, a block for each pair of tokens: its row is the token that asks, its "
        "column the token looked at. In a block, a cell is the score of a query position (down) with a key "
        "position (right), red above 0, blue below. Grey is no pair: keys in the query's future and, between "
        "different tokens, the diagonal, since a position holds one token. In softmax, 1 more means 2.7 "
        "times the attention. "
        f"Here {'; '.join(describe_means(mean_scores(scores, vocabulary)))}."
    )
