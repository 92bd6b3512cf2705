"""Landscapes as panels: what the model would predict if the stream after attention lay there."""

import numpy as np

from scratchformer.analysis.landscape import landscapes, square_box
from scratchformer.figures.style import PROBABILITY, SMALL_TICKS, color_bar, extent, inches, panel
from scratchformer.figures.words import dim_names

WINDOWS = 200                   # held-out windows whose points are drawn, at most
LEFT, RIGHT, TOP, BOTTOM = 0.55, 0.95, 1.3, 0.75        # margins around all panels, in inches
ACROSS, UP = 0.2, 0.5                                   # gaps between panels


def sample(windows):
    """At most `WINDOWS` of the windows, evenly spaced."""
    return windows[:: -(-len(windows) // WINDOWS)]


def landscape_panels(fig, model, titles, points, margin=0.04):
    """One panel a next token, its probability in the background: list of V axes.

    `titles` are the panels'. All show the same part of the plane, a square around the points, (N, C), and
    a margin in its sides. A plane needs n_embd = 2: for other models there is a sentence instead, with
    the titles under it, and no panel.
    """
    if model.config.model.n_embd != 2:
        explain(fig, model.config.model.n_embd, titles)
        return []
    axes = grid_of_panels(fig, len(titles))
    box = square_box(np.array(extent(fig, points)), margin)
    probs = landscapes(model, box)
    for token, ax in enumerate(axes):
        image = show_landscape(ax, probs[:, :, token], box)
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


def explain(fig, C, titles):
    """The sentence for a model whose stream has no plane, and what the panels' titles would say."""
    width, height = fig.get_size_inches() - (LEFT + RIGHT, TOP + BOTTOM)
    ax = panel(fig, (LEFT + RIGHT) / 2, BOTTOM, width, height)
    ax.set_axis_off()
    ax.text(
        0.5, 1, "The probabilities depend on every dimension of the stream; a plane shows them only\n"
        f"for a model with n_embd = 2. This one has n_embd = {C}, so the landscape is left out.",
        ha="center", va="top", fontsize=11, linespacing=1.5, transform=ax.transAxes,
    )
    ax.text(
        0.5, 0.88, "\n".join(text.replace("\n", ": ") for text in titles), ha="center", va="top",
        fontsize=min(9.5, 0.85 * 72 * height / max(len(titles), 1) / 1.8), linespacing=1.5,
        transform=ax.transAxes,
    )


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


def add_bar(fig, image):
    """The colour bar that all panels share, at the right."""
    width, height = fig.get_size_inches()
    color_bar(
        image, "probability of the panel's token", (width - 0.72, BOTTOM, 0.14, height - TOP - BOTTOM),
        bins=None, labelpad=3, ticks={"length": 2, "labelsize": 8},
    )
