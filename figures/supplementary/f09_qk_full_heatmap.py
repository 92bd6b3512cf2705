"""Every query against every key: one small triangle of scores for each pair of tokens."""

import matplotlib
import numpy as np
from matplotlib.patches import Patch, Rectangle

from scratchformer.analysis.followed import at_position
from scratchformer.analysis.scores import focus, looked_for, mean_scores, pair_scores
from scratchformer.figures.marks import legend
from scratchformer.figures.sequences import largest
from scratchformer.figures.style import (
    INK, SIGNED, color_bar, color_ticks, figure_title, panel, show_matrix, token_colors,
)
from scratchformer.figures.words import head_shown, number

HEADING = "All scores"
QUESTION = "Which token scores which, at all positions?"
LOOK = "the row of the token after which the rule asks: its red blocks are what it reads"
SIZE = (10, 10.0)
BLANK = "#d2d2d2"                                       # cells that stand for no pair


def draw(fig, model):
    """Tokens of queries down, of keys across; within a block of two tokens, their positions."""
    scores, vocabulary = pair_scores(model), model.vocabulary
    V, _, T, _ = scores.shape
    figure_title(fig, model, f"Who scores whom{head_shown(model)}: {describe_preference(model)}")
    ax = panel(fig, 0.8, 0.85, 8.2, 8.2)
    square = blocks(scores)
    limit = largest([square.compressed()])
    colors = matplotlib.colormaps[SIGNED].with_extremes(bad=BLANK)
    image = show_matrix(ax, square, colors, -limit, limit, aspect=None)
    edges = np.arange(1, V) * T - 0.5
    ax.hlines(edges, -0.5, V * T - 0.5, color="white", linewidth=1.6)
    ax.vlines(edges, -0.5, V * T - 0.5, color="white", linewidth=1.6)
    top = focus(model)[0] * T - 0.5
    ax.add_patch(Rectangle((-0.5, top), V * T, T, fill=False, edgecolor=INK, linewidth=2, clip_on=False,
                           zorder=3))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(np.arange(V) * T + (T - 1) / 2, vocabulary, fontsize=11)
        color_ticks(axis, token_colors(vocabulary))
    ax.set(xlabel="token of the key", ylabel="token of the query")
    color_bar(image, "score: q · k / √D")
    legend(fig, [
        Patch(color=BLANK, label="no pair: keys after the query, or two tokens at one position"),
        Patch(fill=False, edgecolor=INK, linewidth=2, label="the token after which the rule asks most often"),
    ], handletextpad=0.6)


def blocks(scores):
    """Blocks of positions, (V, V, T, T), as one matrix with the pairs that no window has left out."""
    V, _, T, _ = scores.shape
    return np.ma.masked_invalid(scores.transpose(0, 2, 1, 3).reshape(V * T, V * T))


def describe_preference(model):
    """What the query after which the rule most often speaks scores highest, in words."""
    token, position = focus(model)
    return f"{at_position(model.vocabulary[token], position)} prefers {looked_for(model)[0]}"


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
