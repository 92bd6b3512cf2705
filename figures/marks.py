"""What figures mark: legends, arrows, rings, points for comparison; each looks the same in all of them."""

import numpy as np
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D

from scratchformer.analysis.families import present_families
from scratchformer.figures.style import BACKDROP, GREY, HALO, INK, MARKERS, PALE, SHADES


def marker(shape, color, label, xy=((), ()), **options):
    """An entry of a legend, or marks at points (2, N): a marker, no line."""
    options = {"markersize": 6, "markeredgecolor": GREY if str(color) == PALE else color} | options
    return Line2D(*xy, linestyle="", marker=shape, color=color, label=label, **options)


def line(color, label, **options):
    """An entry of a legend: a line."""
    return Line2D([], [], color=color, label=label, **options)


def legend(fig, handles, y=0.16, x=None, **options):
    """What colours and shapes mean, in one row, centred at (x, y) inches; x None: in the middle."""
    across, up = fig.get_size_inches()
    place = 0.5 if x is None else x / across, y / up
    defaults = {"ncols": len(handles), "handletextpad": 0.3, "columnspacing": 1.6}
    fig.legend(handles=handles, loc="center", bbox_to_anchor=place, **defaults | options)


def family_legend(fig, vocabulary, x, y, neutral=False, more=()):
    """A legend of the token families that there are, centred at (x, y) inches.

    neutral: the shapes alone tell them, since colours mean something else in some panels; more: entries
    """
    handles, names = [], []
    for name in present_families(vocabulary):
        if neutral:
            handles.append(marker(MARKERS[name], GREY, name))
            names.append(f"{name} token")
        elif name == "operator":
            handles.append(marker(MARKERS[name], SHADES[name](0.5), name))
            names.append(name)
        else:
            handles.append(tuple(marker(MARKERS[name], SHADES[name](shade), name) for shade in (0, 0.5, 1)))
            names.append(f"{name}, small to large")
    legend(fig, [*handles, *more], y, x, labels=[*names, *(entry.get_label() for entry in more)],
           handletextpad=0.7 if more else 0.4, handler_map={tuple: HandlerTuple(ndivide=None, pad=0.3)})


def backdrop(ax, points):
    """Points for comparison, in grey."""
    ax.scatter(*points.T, s=6, c=BACKDROP, linewidths=0, zorder=1)


def rings(ax, points, colors=INK, area=70, width=0.9):
    """Ring points."""
    if len(points):
        ax.scatter(*points.T, s=area, facecolors="none", edgecolors=colors, linewidths=width, zorder=4)


def arrows(ax, start, end, colors, head, **options):
    """Arrows from points to points, (N, 2) each, in data units; head: width, length, length at the shaft."""
    across, length, axis_length = head
    ax.quiver(
        *start.T, *(end - start).T, angles="xy", scale_units="xy", scale=1, color=colors, headwidth=across,
        headlength=length, headaxislength=axis_length, **options,
    )


def join(ax, points):
    """A thin line through points in their order."""
    return ax.plot(*points.T, color=GREY, linewidth=0.6, alpha=0.6, zorder=1)


def along(start, end):
    """Points along arrows, their ends included, that labels keep clear of: (N, 2) each -> (M, 2)."""
    return np.concatenate([start + share * (end - start) for share in np.linspace(0, 1, 7)])


def halo_labels(ax):
    """A white rim for all labels of the axes: readable on every background."""
    for artist in ax.collections:
        if hasattr(artist, "texts"):
            artist.set_path_effects(HALO)
