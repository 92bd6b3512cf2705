"""Enlargements of crowds of points, drawn where the plane is empty."""

import numpy as np
from matplotlib.collections import LineCollection

from scratchformer.figures.style import GREY, panel

LINK = 20                                               # typographic points between members of one crowd
CROWD = 12                                              # points that make one
MARGIN = np.array([9, 6])                               # around a crowd, before it is enlarged
CLEAR = np.array([26, 14])                              # from an enlargement to any point
ZOOMS = np.arange(6, 1.7, -0.25)
STEP = 9                                                # between the places that are tried


def enlarge(ax, points, clear=np.empty((0, 2))):
    """Enlarge the crowds of points, (N, 2), for which there is room: [(axes, indices of the points in it)].

    The new axes have limits, no marks. The axes' limits must be final.
    clear: (M, 2) further places that must stay visible
    """
    size = ax.bbox.size * 72 / ax.figure.dpi
    places, clear = (
        (ax.transData.transform(each) - ax.bbox.min) * 72 / ax.figure.dpi for each in (points, clear)
    )
    sources = [
        np.concatenate([places[crowd].min(axis=0) - MARGIN, places[crowd].max(axis=0) + MARGIN])
        for crowd in crowds(places)
    ]
    taken = np.concatenate([                                            # (left, bottom, right, top) each
        np.column_stack([places - CLEAR, places + CLEAR]), np.column_stack([clear - 6, clear + 6]),
        np.reshape(sources, (-1, 4)),
    ])
    found = []
    for source in sources:
        place = free_rectangle(source, taken, size)
        if place is not None:
            taken = np.concatenate([taken, [place + (-12, -12, 12, 24)]])
            inside = ((places > source[:2]) & (places < source[2:])).all(axis=1)
            found.append((inset(ax, source, place), np.flatnonzero(inside)))
    return found


def crowds(places):
    """Indices of the points of each crowd, the densest first: places (N, 2) in typographic points."""
    near = np.hypot(*(places[:, None] - places).T) < LINK
    group = np.arange(len(places))
    while True:
        lowest = np.where(near, group, len(places)).min(axis=1)
        if (lowest == group).all():
            break
        group = lowest
    members = [np.flatnonzero(group == first) for first in np.unique(group)]
    members = [crowd for crowd in members if len(crowd) >= CROWD]
    return sorted(members, key=lambda crowd: -len(crowd) / (np.ptp(places[crowd], axis=0) + MARGIN).prod())


def free_rectangle(source, taken, size):
    """Where a rectangle fits, enlarged as much as possible, and as near as possible: (left, bottom, right,
    top), or None. taken: (M, 4) rectangles to keep clear of; size: of the whole plane
    """
    for zoom in ZOOMS:
        extent = (source[2:] - source[:2]) * zoom
        room = size - extent - (6, 20)
        if (extent > 0.75 * size).any() or (extent > 280).all() or (room < 6).any():
            continue
        x, y = np.meshgrid(*(np.arange(6, end, STEP) for end in room))
        low = np.column_stack([x.ravel(), y.ravel()])
        high = low + extent
        free = ~((low[:, None] < taken[:, 2:]) & (high[:, None] > taken[:, :2])).all(axis=2).any(axis=1)
        if free.any():
            away = np.hypot(*(low + extent / 2 - (source[:2] + source[2:]) / 2).T)
            nearest = np.where(free, away, np.inf).argmin()
            return np.concatenate([low[nearest], high[nearest]])
    return None


def inset(ax, source, place):
    """Axes at `place` that show the part `source` of ax, both (left, bottom, right, top) in points from its
    corner; a frame around the part and a line between the two."""
    corner = ax.bbox.min * 72 / ax.figure.dpi
    left, bottom = (corner + place[:2]) / 72
    new = panel(ax.figure, left, bottom, *(place[2:] - place[:2]) / 72)
    to_data = ax.transData.inverted()
    low, high = (to_data.transform((end + corner) * ax.figure.dpi / 72) for end in (source[:2], source[2:]))
    new.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[], aspect="equal")
    new.spines[:].set(visible=True, color=GREY)
    zoom = (place[2] - place[0]) / (source[2] - source[0])
    new.set_title(f"enlarged {zoom:.3g} times", fontsize=8, pad=3)
    middle = (source[:2] + source[2:]) / 2
    end = np.clip(middle, place[:2], place[2:])
    start = np.clip(end, source[:2], source[2:])
    line = to_data.transform((np.stack([start, end]) + corner) * ax.figure.dpi / 72)
    frame = np.array([low, (high[0], low[1]), high, (low[0], high[1]), low])
    ax.add_collection(LineCollection([frame, line], colors=GREY, linewidths=0.7, zorder=1), autolim=False)
    return new


def border(ax, insets, apart=9):
    """Points along the frames of insets, in the data of ax, for labels to keep clear of: (M, 2)."""
    found = [np.empty((0, 2))]
    for new, _ in insets:
        (left, bottom), (right, top) = new.bbox.min, new.bbox.max + (0, 14 * ax.figure.dpi / 72)
        x = np.arange(left, right + 1, apart * ax.figure.dpi / 72)
        y = np.arange(bottom, top + 1, apart * ax.figure.dpi / 72)
        found += [np.column_stack([x, np.full(len(x), level)]) for level in (bottom, top)]
        found += [np.column_stack([np.full(len(y), level), y]) for level in (left, right)]
    return ax.transData.inverted().transform(np.concatenate(found))


def covered(ax, insets, apart=9):
    """Points all over insets, in the data of ax, which hide what is drawn there: (M, 2)."""
    found = [np.empty((0, 2))]
    for new, _ in insets:
        (left, bottom), (right, top) = new.bbox.min, new.bbox.max + (0, 14 * ax.figure.dpi / 72)
        step = apart * ax.figure.dpi / 72
        x, y = np.meshgrid(np.arange(left, right + step, step), np.arange(bottom, top + step, step))
        found.append(np.column_stack([x.ravel(), y.ravel()]))
    return ax.transData.inverted().transform(np.concatenate(found))
