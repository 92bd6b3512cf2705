"""The landscape: what the model would predict if the stream after attention lay at a point of its plane."""

import numpy as np
from matplotlib.patheffects import withStroke

from scratchformer.figures.style import PROBABILITY, extent, inches, panel

GRID = 120                      # points along each side of a landscape
WINDOWS = 200                   # held-out windows whose points are drawn, at most
HALO = [withStroke(linewidth=2, foreground="white")]
LEFT, RIGHT, TOP, BOTTOM = 0.55, 0.95, 1.3, 0.75        # margins around all panels, in inches
ACROSS, UP = 0.2, 0.5                                   # gaps between panels


def sample(windows):
    """At most `WINDOWS` of the windows, evenly spaced."""
    return windows[:: -(-len(windows) // WINDOWS)]


def stream_points(model):
    """Embeddings of every token at every position, then `resid_mid` of all held-out windows: (N, C)."""
    embed = model.grid.embed
    resid_mid = model.held_out.resid_mid
    return np.concatenate([array.reshape(-1, array.shape[-1]) for array in (embed, resid_mid)])


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


def landscapes(model, box):
    """Probability of each next token in GRID x GRID cells of the box, lowest row first: (GRID, GRID, V)."""
    return model.landscape(plane_grid(box)).reshape(GRID, GRID, -1)


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
        fontsize=min(9.5, 0.85 * 72 * height / len(titles) / 1.8), linespacing=1.5, transform=ax.transAxes,
    )


def square_box(points, margin=0.04):
    """The smallest square around the points, and a margin in its sides: (left, right, bottom, top)."""
    low, high = points.min(axis=0), points.max(axis=0)
    half = (0.5 + margin) * ((high - low).max() or 1.0)
    x, y = (low + high) / 2
    return x - half, x + half, y - half, y + half


def plane_grid(box):
    """Centres of GRID x GRID cells of the box (left, right, bottom, top), row by row: (GRID**2, 2)."""
    steps = (np.arange(GRID) + 0.5) / GRID
    x, y = box[0] + (box[1] - box[0]) * steps, box[2] + (box[3] - box[2]) * steps
    return np.column_stack([np.tile(x, GRID), np.repeat(y, GRID)])


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
    ax.set_ylabel("dim 1", fontsize=8, labelpad=0)
    ax.set_xlabel("dim 0", fontsize=8, labelpad=1)
    ax.tick_params(labelsize=7.5, length=2, pad=2)
    ax.locator_params(nbins=4)


def add_bar(fig, image):
    """The colour bar that all panels share, at the right."""
    width, height = fig.get_size_inches()
    bar = fig.colorbar(image, cax=panel(fig, width - 0.72, BOTTOM, 0.14, height - TOP - BOTTOM))
    bar.set_label("probability of the panel's token", labelpad=3)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2, labelsize=8)


def halo_labels(ax):
    """A white rim for all labels of the axes: readable on every background."""
    for artist in ax.collections:
        if hasattr(artist, "texts"):
            artist.set_path_effects(HALO)
