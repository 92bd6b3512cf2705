"""Landscapes as panels: what the model would predict if the stream after attention lay there."""

import matplotlib
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.patheffects import withStroke

from scratchformer.analysis.decision_map import borders
from scratchformer.analysis.landscape import MARGIN, frame_points, landscapes, square_box
from scratchformer.figures.marks import line
from scratchformer.figures.style import (
    PROBABILITY, SMALL_TICKS, color_bar, extent, inches, panel, show_matrix, ticks,
)
from scratchformer.figures.words import dim_names

WINDOWS = 200                   # held-out windows whose points are drawn, at most
LEFT, RIGHT, TOP, BOTTOM = 0.55, 0.95, 1.1, 0.75        # margins around all panels, in inches
RIM = [withStroke(linewidth=1.8, foreground="#00000080")]
ACROSS, UP = 0.2, 0.5                                   # gaps between panels


def sample(windows):
    """At most `WINDOWS` of the windows, evenly spaced."""
    return windows[:: -(-len(windows) // WINDOWS)]


def landscape_panels(fig, model, titles):
    """One panel a next token, its probability in the background, a line around where it is the likeliest:
    list of V axes. `titles` are the panels'. The model's stream has to be a plane: n_embd = 2."""
    axes = grid_of_panels(fig, len(titles))
    box = square_box(np.array(extent(fig, frame_points(model))), MARGIN)
    probs = landscapes(model, box)
    edges, owners = borders(model, box)
    for token, ax in enumerate(axes):
        image = show_landscape(ax, probs[:, :, token], box)
        show_borders(ax, edges[owners == token])
        ax.set(xlim=box[:2], ylim=box[2:])
        ax.set_title(titles[token], fontsize=min(8.5, 4.8 * inches(ax)[0]), pad=3, linespacing=1.2)
        ax.spines[:].set_visible(False)
    add_bar(fig, image)
    return axes


def show_landscape(ax, probs, box):
    """The probability of one token behind everything else: probs (GRID, GRID)."""
    return ax.imshow(
        probs, cmap=PROBABILITY, vmin=0, vmax=1, extent=box, origin="lower", zorder=-1,
        interpolation="bilinear",
    )


def show_borders(ax, edges):
    """The line around where a token is the likeliest: edges (E, 2, 2)."""
    ax.add_collection(LineCollection(
        edges, colors="white", linewidths=0.8, capstyle="round", zorder=0.5, path_effects=RIM,
    ), autolim=False)


def border_entry():
    """An entry of a legend: the line of `show_borders`."""
    return line("white", "around where the panel's token is the likeliest", linewidth=1.4,
                path_effects=[withStroke(linewidth=6, foreground=matplotlib.colormaps[PROBABILITY](0.2))])


def explain(fig, model):
    """The sentence for a model whose stream has no plane."""
    fig.text(0.5, 0.6, without_plane(model), ha="center", va="top", fontsize=11, linespacing=1.5)


def without_plane(model):
    """Why there is no landscape to draw, in a sentence."""
    return (
        "What is predicted depends on every dimension of the stream, and a plane shows two.\n"
        f"This model has n_embd = {model.config.model.n_embd}, so its probabilities are given as numbers."
    )


def probability_table(fig, model, probs, rows, name, top=TOP):
    """In place of the landscapes of a model whose stream has no plane: probabilities of the next token.

    probs: (R, V); rows: their names; name: what a row is; top: room left above, in inches
    """
    width, height = fig.get_size_inches() - (LEFT + RIGHT + 0.6, top + BOTTOM + 1.2)
    tall = min(height, max(1.2, 0.42 * len(rows)))
    ax = panel(fig, LEFT + 0.6, BOTTOM + 0.7 + height - tall, width, tall)
    image = show_matrix(ax, probs, PROBABILITY, 0, 1)
    ticks(ax.yaxis, rows, tall)
    ticks(ax.xaxis, model.vocabulary, width)
    ax.set(xlabel="next token", ylabel=name)
    color_bar(image, "probability")
    fig.text(
        0.5, (BOTTOM + 0.15 + height - tall) / fig.get_size_inches()[1], without_plane(model), ha="center",
        va="top", fontsize=9.5, linespacing=1.5,
    )
    return ax


def grid_of_panels(fig, count):
    """That many square panels, as large as fit, in reading order."""
    width, height = fig.get_size_inches() - (LEFT + RIGHT, TOP + BOTTOM)
    sides = {}
    for columns in range(1, count + 1):
        rows = -(-count // columns)
        sides[columns] = min((width + ACROSS) / columns - ACROSS, (height + UP) / rows - UP)
    columns = max(sides, key=sides.get)
    side = sides[columns]
    left = LEFT + (width - columns * (side + ACROSS) + ACROSS) / 2
    axes = []
    for i in range(count):
        row, column = divmod(i, columns)
        bottom = BOTTOM + height - side - row * (side + UP)
        axes.append(panel(fig, left + column * (side + ACROSS), bottom, side, side))
        name_axes(axes[-1], column == 0, i + columns >= count)
    return axes


def name_axes(ax, leftmost, lowest):
    """Axis title and numbers, at the left column and under the lowest panels only."""
    ax.yaxis.set_visible(leftmost)
    ax.xaxis.set_visible(lowest)
    ax.locator_params(nbins=4)
    name_plane(ax)


def name_plane(ax, **options):
    """Small axis titles and numbers of a plane whose axes are the two dimensions of the stream."""
    across, up = dim_names(2)
    ax.set_ylabel(up, fontsize=8, labelpad=0)
    ax.set_xlabel(across, fontsize=8, labelpad=1, **options)
    ax.tick_params(**SMALL_TICKS)


def add_bar(fig, image, top=TOP):
    """The colour bar that all panels share, at the right, from BOTTOM to so many inches below the top."""
    width, height = fig.get_size_inches()
    color_bar(
        image, "probability of the panel's token", (width - 0.72, BOTTOM, 0.14, height - top - BOTTOM),
        bins=None, labelpad=3, ticks={"length": 2, "labelsize": 8},
    )
