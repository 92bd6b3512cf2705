"""How every figure looks: colours, colour maps, sizes, and the few panels that figures share.

Positions and sizes of axes are in inches from the figure's lower left corner.
"""

import warnings
from contextlib import contextmanager
from functools import cache

import matplotlib
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, to_rgb
from matplotlib.font_manager import findfont, get_font
from matplotlib.patheffects import withStroke

from scratchformer.analysis.families import family
from scratchformer.analysis.geometry import principal_axes
from scratchformer.figures.labels import add_labels, label_widths
from scratchformer.figures.words import dim_names, number
from scratchformer.system.errors import plain

INK, GREY, PALE = "#222222", "#8a8a8a", "#e4e4e4"
Q, K, V = "#1f6fb4", "#c8372d", "#2a8f4b"               # queries, keys, values
MIXED = "#b06ad6"
TRAIN, HELD_OUT = "#5a5a5a", "#e07b00"
CORRECT, WRONG, OPEN = "#a6dbb3", "#8b0f3a", PALE       # cells; the marks ✓ and ✗ say the same
VERDICTS = ListedColormap([OPEN, WRONG, CORRECT])       # of -1, 0, 1
MARKS = {1: "✓", 0: "✗", -1: ""}                        # of the same
LINES = {1: "#1b7f3b", 0: WRONG, -1: GREY}              # arrows, rings and marks of the same
ANSWER = "#d6168c"                                      # frames what the rule allows
BACKDROP = "#c8c8c8"                                    # points that are there for comparison only
HALO = [withStroke(linewidth=2, foreground="white")]    # makes labels readable on every background
PROBABILITY, SIGNED, POSITION = "viridis", "RdBu_r", "viridis"

MARKERS = {"even": "o", "odd": "s", "operator": "D"}    # of token families
SHADES = {
    "even": LinearSegmentedColormap.from_list("even", ["#2b2a86", "#2766b0", "#2196b5"]),
    "odd": LinearSegmentedColormap.from_list("odd", ["#742a00", "#b84c08", "#d9880a"]),
    "operator": LinearSegmentedColormap.from_list("operator", ["#000000", "#6b4a70"]),
}

SMALL_TICKS = {"length": 2, "labelsize": 7.5, "pad": 2}

RC = {
    "font.family": "DejaVu Sans", "font.size": 8.5, "text.color": INK, "text.parse_math": False,
    "axes.titlesize": 10, "axes.titlepad": 6, "axes.labelsize": 8.5, "axes.edgecolor": GREY,
    "axes.labelcolor": INK, "axes.linewidth": 0.7, "axes.spines.top": False, "axes.spines.right": False,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "xtick.color": INK, "ytick.color": INK,
    "xtick.major.width": 0.7, "ytick.major.width": 0.7, "xtick.major.size": 3, "ytick.major.size": 3,
    "legend.fontsize": 8.5, "legend.frameon": False, "figure.facecolor": "white", "svg.hashsalt": "figures",
    "svg.fonttype": "none",             # text stays text
}


@contextmanager
def own_look():
    """Matplotlib's own defaults, whole, and RC over them, whatever the user's settings are; then back.

    A sign that the font lacks is drawn as a box: see `undrawable`.
    """
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        warnings.filterwarnings("ignore", "Matplotlib currently does not support", UserWarning)
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        yield


def undrawable(texts):
    """The signs of some texts that the figures' font lacks."""
    signs = {sign for text in texts for sign in text if not sign.isascii()}
    return "".join(sorted(sign for sign in signs if ord(sign) not in font_signs())) if signs else ""


@cache
def font_signs():
    """What the figures' font has: a set of code points."""
    return frozenset(get_font(findfont(RC["font.family"])).get_charmap())


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
    text, detail = plain(text), plain(detail)
    fig.text(0.5, 1 - 0.12 / height, text, ha="center", va="top", fontsize=13, fontweight="bold")
    if detail:
        fig.text(0.5, 1 - 0.42 / height, detail, ha="center", va="top", fontsize=9.5, linespacing=1.35)


def figure_title(fig, model, finding):
    """The figure's title, what is found in it, and under it whose figure it is."""
    title(fig, finding, identity(model))


def identity(model):
    """Config, seed and step of a model, its rule error and its loss on all held-out windows, in words."""
    wrong, constrained = model.count_wrong()
    error = f"rule error {wrong / constrained:.2%}" if constrained else "the rule says nothing"
    loss = f"loss {float(model.held_out.loss):.3f}"
    return f"{model.name}, seed {model.config.training.seed}, step {model.step:,}; held out: {error}, {loss}"


def inches(ax):
    """(width, height) of axes in inches."""
    return ax.get_position().size * ax.figure.get_size_inches()


def heatmap(ax, values, rows, columns, label, row_colors=None, limit=None):
    """A signed matrix as a heat map, numbers in cells where they fit, with a colour bar to its right if that
    has a label; its colours reach to ±limit, or to the largest value."""
    limit = limit or np.abs(values).max() or 1.0
    image = show_matrix(ax, values, SIGNED, -limit, limit)
    ticks(ax.yaxis, rows, inches(ax)[1])
    ticks(ax.xaxis, columns, inches(ax)[0])
    if row_colors is not None:
        color_ticks(ax.yaxis, row_colors)
    write_cells(ax, values, image.norm.vmax)
    if label:
        color_bar(image, label)
    return image


def show_matrix(ax, values, colors, low, high, **options):
    """A matrix as an image, one cell an entry, without frame or tick marks."""
    clear_frame(ax)
    low, high = held(ax.figure, "hold_colors", low, high)
    return ax.imshow(
        values, cmap=colors, vmin=low, vmax=high, **{"aspect": "auto", "interpolation": "nearest"} | options
    )


def clear_frame(ax):
    """Axes without frame and tick marks."""
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def color_ticks(axis, colors):
    """The names along an axis in bold and in these colours, one each."""
    for tick, color in zip(axis.get_ticklabels(), colors, strict=True):
        tick.set(color=color, fontweight="bold")


def color_bar(image, label, place=(0.08, 0.08), bins=5, labelpad=2, ticks=SMALL_TICKS, **options):
    """A colour bar.

    place: (gap, width) to the right of its image or (left, bottom, width, height), in inches; bins: how many
    steps the numbers take at most, None for matplotlib's choice; ticks: their style
    """
    fig = image.axes.figure
    if len(place) == 2:
        left, bottom, width, height = image.axes.get_position().bounds
        gap, across = np.array(place) / fig.get_size_inches()[0]
        cax = fig.add_axes((left + width + gap, bottom, across, height))
    else:
        cax = panel(fig, *place)
    bar = fig.colorbar(image, cax=cax, **options)
    bar.set_label(label, labelpad=labelpad)
    bar.outline.set_visible(False)
    bar.ax.tick_params(**ticks)
    if bins:
        bar.locator.set_params(nbins=bins)
        bar.update_ticks()


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
    for decimals in (2, 1, 0):
        if size >= 6 and label_widths([f"−{limit:.{decimals}f}"], size) < 0.9 * width:
            y, x = np.divmod(np.arange(values.size), columns)
            dark = np.abs(values.ravel()) > 0.6 * limit
            texts = [number(value, f".{decimals}f") for value in np.round(values.ravel(), decimals)]
            add_labels(ax, np.column_stack([x, y]), texts, ["white" if d else INK for d in dark], size)
            return


def plane_of(points):
    """Points of any dimension on a plane: (N, C) -> (N, 2) and the two axis titles: see principal_plane."""
    project, names = principal_plane(points)
    return project(points), names


def principal_plane(points):
    """A function that puts (..., C) on the plane on which points, (N, C), are shown, and its axis titles."""
    project, shares = principal_axes(points)
    if shares is None:
        return project, (*dim_names(points.shape[1]), "")[:2]
    return project, tuple(
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
    """Lowest and highest coordinates of points, or what the figure holds to instead."""
    return held(fig, "hold_extent", points.min(axis=0), points.max(axis=0))


def held(fig, name, low, high):
    """A range that a panel asks for; in a film or beside another figure, what fig.hold_extent, or
    fig.hold_colors, gives it instead."""
    hold = getattr(fig, name, None)
    return hold(low, high) if hold else (low, high)
