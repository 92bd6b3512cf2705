"""One sequence among all embeddings: which rows it picks, and where it starts out on the plane."""

import numpy as np
from matplotlib.collections import PatchCollection
from matplotlib.patches import Rectangle

from scratchformer.analysis.families import sequence_distances
from scratchformer.analysis.followed import follow
from scratchformer.analysis.landscape import flat
from scratchformer.figures.labels import add_labels_beside
from scratchformer.figures.marks import along, backdrop, family_legend, join
from scratchformer.figures.planes import scatter_tokens
from scratchformer.figures.sequences import common_plane, written
from scratchformer.figures.style import (
    INK, figure_title, heatmap, panel, position_colors, set_plane, token_colors,
)
from scratchformer.figures.words import code, counted, dim_names, listed, position_names

HEADING = "One sequence's embeddings"
QUESTION = "What does the model see of one sequence?"
LOOK = "the framed cells, and the path that they make on the plane"
SIZE = (12, 9.2)


def draw(fig, model):
    """Above the matrices with the sequence's cells framed, below the same as points."""
    params, grid, tokens = model.params, model.grid, model.demos[0]
    demo = follow(model, tokens)
    embed, labels = demo.cache.embed[0], demo.words
    T, C = embed.shape
    figure_title(fig, model, "Where a sequence starts, token plus position: " + written(labels[:12]))
    colors, shades = token_colors(model.vocabulary), position_colors(grid.embed.shape[1])
    places = position_names(len(shades))
    across = places if len(places) <= 9 else [name if t % 3 == 0 else "" for t, name in enumerate(places)]
    dims = dim_names(C)
    maps = (
        (0.45, 1.1, params.W_token, model.vocabulary, dims, colors, "token embeddings"),
        (2.65, 1.1, params.W_pos, places, dims, shades, "position embeddings"),
        (4.8, 3.5, grid.embed[:, :, 0], model.vocabulary, across, colors, "token + position, dim 0"),
        (9.75, 1.2, embed, demo.labels, dims, colors[tokens], "the sequence's sums"),
    )
    axes = []
    for left, width, values, rows, columns, row_colors, name in maps:
        axes.append(panel(fig, left, 5.05, width, 2.9))
        heatmap(axes[-1], values, rows, columns, "value", row_colors)
        axes[-1].set_title(name)
    frame(axes[0], [(token, 0) for token in np.unique(tokens)], C)
    frame(axes[1], [(t, 0) for t in range(T)], C)
    frame(axes[2], [(token, t) for t, token in enumerate(tokens)], 1)
    planes = [panel(fig, left, 0.8, 3.4, 3.4) for left in (0.6, 4.5, 8.4)]
    used = np.unique(tokens)
    names = [model.vocabulary[token] for token in used]
    token_panel(planes[0], params.W_token, used, names, colors[used])
    place_panel(planes[1], params.W_pos, places[:T], shades[:T])
    (back, points), axis_names = common_plane([flat(grid.embed), embed])
    set_plane(planes[2], np.concatenate([back, points]), axis_names)
    backdrop(planes[2], back)
    join(planes[2], points)
    scatter_tokens(planes[2], points, labels, colors[tokens], 6)
    add_labels_beside(planes[2], points, demo.labels, colors[tokens], 10, 3, along(points[:-1], points[1:]))
    planes[2].set_title("the sequence among all sums, joined in order")
    family_legend(fig, model.vocabulary, SIZE[0] / 2, 0.16)


def describe(embed, words, form=".2f"):
    """The mean distances in words."""
    texts = {
        "length": f"mean length of its {counted(len(words), 'embedding')}",
        "apart": "mean distance of its operators from its numbers",
        "among": "of its numbers from one another",
    }
    found = sequence_distances(embed, words).items()
    return ", ".join(f"{texts[name]} {value:{form}}" for name, value in found)


def frame(ax, cells, width):
    """Frame cells of a heat map, each from (row, column) on so many columns wide."""
    boxes = [Rectangle((column - 0.5, row - 0.5), width, 1) for row, column in cells]
    ax.add_collection(
        PatchCollection(boxes, facecolors="none", edgecolors=INK, linewidths=1.4, clip_on=False, zorder=6),
        autolim=False,
    )


def token_panel(ax, W_token, used, names, colors):
    """The sequence's tokens among all tokens."""
    (points,), axis_names = common_plane([W_token])
    set_plane(ax, points, axis_names)
    backdrop(ax, points)
    scatter_tokens(ax, points[used], names, colors, 6)
    add_labels_beside(ax, points[used], names, colors, 10, 3, points)
    ax.set_title("its tokens among all tokens")


def place_panel(ax, W_pos, names, colors):
    """The sequence's positions among all positions."""
    (points,), axis_names = common_plane([W_pos])
    set_plane(ax, points, axis_names)
    backdrop(ax, points)
    used = points[: len(names)]
    join(ax, used)
    ax.scatter(*used.T, s=36, c=colors, linewidths=0, zorder=3)
    others = np.concatenate([points, along(used[:-1], used[1:])])
    add_labels_beside(ax, used, names, colors, 10, 3, others)
    ax.set_title("positions, joined in order")


def caption(model):
    """What the figure shows, and what the rule asks of the sequence."""
    demo = follow(model, model.demos[0])
    places = [code(demo.labels[t]) for t in demo.where]
    rule = (
        "at none of its positions does the rule say what comes next" if not places
        else f"the rule says what comes next after {listed(places)}" if len(places) <= 6
        else f"the rule says what comes next at {len(places)} of its positions"
    )
    return (
        f"The sequence {code(written(demo.words))} is placed among all embeddings. Above, frames mark the "
        "rows of the token and position matrices that it picks and the cells of their sum; on the right are "
        "its sums, the numbers that attention starts from. Below, the same as points: its tokens, its "
        f"positions and its sums in colour, all others in grey. It picks {len(set(demo.words))} of "
        f"{len(model.vocabulary)} tokens, and {rule}. In numbers: "
        + describe(demo.cache.embed[0], demo.words, ".3g")
        + ". From these places attention now has to find what it needs."
    )
