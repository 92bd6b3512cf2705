"""How every figure looks: colours, colour maps, sizes, and the few panels that figures share.

Positions and sizes of axes are in inches from the figure's lower left corner.
"""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, to_rgb
from matplotlib.lines import Line2D

from scratchformer.figures.labels import add_labels, label_widths

INK, GREY, PALE = "#222222", "#8a8a8a", "#e4e4e4"
Q, K, V = "#1f6fb4", "#c8372d", "#2a8f4b"               # queries, keys, values
TRAIN, HELD_OUT = "#1f6fb4", "#e07b00"
CORRECT, WRONG, OPEN = "#a6dbb3", "#b5261e", PALE       # cells; the marks ✓ and ✗ say the same
VERDICTS = ListedColormap([OPEN, WRONG, CORRECT])       # of -1, 0, 1
PROBABILITY, SIGNED, POSITION = "viridis", "RdBu_r", "viridis"

FAMILIES = {"even": "o", "odd": "s", "operator": "D"}   # and their markers
SHADES = {
    "even": LinearSegmentedColormap.from_list("even", ["#2b2a86", "#2766b0", "#2196b5"]),
    "odd": LinearSegmentedColormap.from_list("odd", ["#742a00", "#b84c08", "#d9880a"]),
    "operator": LinearSegmentedColormap.from_list("operator", ["#000000", "#6b4a70"]),
}

RC = {
    "font.family": "DejaVu Sans", "font.size": 8.5, "text.color": INK, "text.parse_math": False,
    "axes.titlesize": 10, "axes.titlepad": 6, "axes.labelsize": 8.5, "axes.edgecolor": GREY,
    "axes.labelcolor": INK, "axes.linewidth": 0.7, "axes.spines.top": False, "axes.spines.right": False,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "xtick.color": INK, "ytick.color": INK,
    "xtick.major.width": 0.7, "ytick.major.width": 0.7, "xtick.major.size": 3, "ytick.major.size": 3,
    "legend.fontsize": 8.5, "legend.frameon": False, "figure.facecolor": "white", "svg.hashsalt": "figures",
}


def family(token):
    """'even', 'odd' or 'operator' for a token's text."""
    if not token.isdecimal():
        return "operator"
    return "odd" if int(token) % 2 else "even"


def token_colors(vocabulary):
    """One colour a token, (V, 3): the family gives the hue, the place in the family the shade."""
    families = [family(token) for token in vocabulary]
    colors = np.empty((len(vocabulary), 3))
    for name, shades in SHADES.items():
        members = [i for i, entry in enumerate(families) if entry == name]
        for place, i in enumerate(members):
            colors[i] = to_rgb(shades(place / max(len(members) - 1, 1)))
    return colors


def position_colors(count):
    """One colour a position, (T, 3): dark is early."""
    shades = LinearSegmentedColormap.from_list("position", ["#3b0f70", "#21808c", "#86a800"])
    return np.array([to_rgb(shades(t / max(count - 1, 1))) for t in range(count)])


def panel(fig, left, bottom, width, height):
    """Axes of that place and size in inches."""
    across, up = fig.get_size_inches()
    return fig.add_axes((left / across, bottom / up, width / across, height / up))


def title(fig, text, detail=""):
    """The figure's title and, under it, a line of detail."""
    height = fig.get_size_inches()[1]
    fig.text(0.5, 1 - 0.12 / height, text, ha="center", va="top", fontsize=13, fontweight="bold")
    if detail:
        fig.text(0.5, 1 - 0.42 / height, detail, ha="center", va="top", fontsize=9.5, linespacing=1.35)


def inches(ax):
    """(width, height) of axes in inches."""
    return ax.get_position().size * ax.figure.get_size_inches()


def heatmap(ax, values, rows, columns, label, row_colors=None):
    """A signed matrix as a heat map with a colour bar to its right, numbers in cells where they fit."""
    limit = np.abs(values).max() or 1.0
    image = ax.imshow(values, cmap=SIGNED, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    ticks(ax.yaxis, rows, inches(ax)[1])
    ticks(ax.xaxis, columns, inches(ax)[0])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    if row_colors is not None:
        for tick, color in zip(ax.get_yticklabels(), row_colors, strict=True):
            tick.set(color=color, fontweight="bold")
    write_cells(ax, values, limit)
    left, bottom, width, height = ax.get_position().bounds
    gap = 0.08 / ax.figure.get_size_inches()[0]
    bar = ax.figure.colorbar(image, cax=ax.figure.add_axes((left + width + gap, bottom, gap, height)))
    bar.set_label(label, labelpad=2)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2, labelsize=7.5, pad=2)
    bar.locator.set_params(nbins=5)
    bar.update_ticks()
    return image


def ticks(axis, names, room):
    """Name the cells 0, 1, ... along an axis, all of them: the font shrinks to the room, in inches."""
    axis.set_ticks(range(len(names)), names)
    axis.set_tick_params(labelsize=min(8.5, 0.85 * 72 * room / len(names)))


def write_cells(ax, values, limit):
    """Write the numbers of a matrix into its cells, none beyond ±limit, with as many decimals as fit; none
    if none do."""
    rows, columns = values.shape
    width, height = inches(ax) * 72 / (columns, rows)
    size = min(8.0, 0.7 * height)
    for decimals in (2, 1):
        rounded = np.round(values.ravel(), decimals) + 0.0                  # + 0.0: no negative zero
        texts = [f"{value:.{decimals}f}".replace("-", "−") for value in rounded]
        if size >= 6 and label_widths([f"−{limit:.{decimals}f}"], size) < 0.9 * width:
            y, x = np.divmod(np.arange(values.size), columns)
            dark = np.abs(values.ravel()) > 0.6 * limit
            add_labels(ax, np.column_stack([x, y]), texts, ["white" if d else INK for d in dark], size)
            return


def plane_of(points):
    """Points of any dimension on a plane: (N, C) -> (N, 2) and the two axis titles: see principal_plane."""
    project, names = principal_plane(points)
    return project(points), names


def principal_plane(points):
    """The plane on which points, (N, C), are shown: a function that puts (..., C) on it, and its axis titles.

    Two dimensions stay as they are; of more, the two leading principal axes of the points are
    taken; one is set against zero.
    """
    C = points.shape[1]
    if C == 1:
        return lambda vectors: np.concatenate([vectors, np.zeros_like(vectors)], axis=-1), ("dim 0", "")
    if C == 2:
        return lambda vectors: vectors, ("dim 0", "dim 1")
    middle = points.mean(axis=0)
    _, sizes, axes = np.linalg.svd(points - middle, full_matrices=len(points) < C)
    sizes = np.pad(sizes, (0, max(0, 2 - len(sizes))))
    axes = axes[:2]
    axes = axes * np.where(axes[np.arange(2), np.abs(axes).argmax(axis=1)] < 0, -1, 1)[:, None]
    shares = sizes[:2] ** 2 / ((sizes**2).sum() or 1)
    return lambda vectors: (vectors - middle) @ axes.T, tuple(
        f"principal axis {i + 1} ({share:.0%} of variance)" for i, share in enumerate(shares)
    )


def set_plane(ax, points, names, margin=0.09):
    """Limits that show all points with one scale for both axes and fill the axes' box."""
    box = inches(ax)
    low, high = extent(ax.figure, points)
    scale = ((high - low) / box).max() or 1.0               # data units an inch
    half = scale * box / 2 / (1 - 2 * margin)
    middle = (low + high) / 2
    ax.set(xlim=(middle[0] - half[0], middle[0] + half[0]), ylim=(middle[1] - half[1], middle[1] + half[1]))
    ax.set_aspect("equal", adjustable="box")
    ax.set(xlabel=names[0], ylabel=names[1])
    for draw in (ax.axhline, ax.axvline):
        draw(0, color=PALE, linewidth=0.8, zorder=0)
    if not names[1]:
        ax.set_yticks([])


def extent(fig, points):
    """Lowest and highest coordinates of points; in a film, what it holds to instead (`fig.hold_extent`)."""
    low, high = points.min(axis=0), points.max(axis=0)
    hold = getattr(fig, "hold_extent", None)
    return hold(low, high) if hold else (low, high)


def family_legend(fig, vocabulary, x, y, neutral=False):
    """A legend of the token families that there are, centred at (x, y) inches.

    neutral: the shapes alone tell them, since colours mean something else in some panels
    """
    present = [name for name in FAMILIES if name in set(map(family, vocabulary))]
    handles = [
        Line2D(
            [], [], linestyle="", marker=FAMILIES[name], color=GREY if neutral else SHADES[name](0.5),
            markersize=6, label=f"{name} token" if neutral else name,
        )
        for name in present
    ]
    if not neutral:
        handles.append(Line2D([], [], linestyle="", label="shade: the number"))
    across, up = fig.get_size_inches()
    fig.legend(
        handles=handles, loc="center", bbox_to_anchor=(x / across, y / up), ncols=len(handles),
        handletextpad=0.2, columnspacing=1.6,
    )
