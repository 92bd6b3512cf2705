"""Many short texts at data points, drawn as one collection of outlines a panel.

A `Text` artist costs about 0.2 ms to lay out and as much to draw; an outline is made once and reused.
"""

from functools import cache

import numpy as np
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import IdentityTransform, ScaledTranslation

from scratchformer.analysis.families import family
from scratchformer.analysis.followed import at_position

CROWDED = 200                                   # labels that a panel can hold
DIGIT_HEIGHT = 0.73                             # of DejaVu Sans, in units of the font size
TURNS = np.pi / 12 * np.array([0, *(s * k for k in range(1, 12) for s in (1, -1)), 12])
RADII = np.concatenate([np.arange(0, 40, 2.5), np.arange(40, 160, 8)])      # both in order of preference


def shown_positions(V, T):
    """Which of the positions of V tokens are labelled where all would be: with more than CROWDED labels, that
    nobody could read and whose places would take minutes to find, only one."""
    return range(T) if V * T <= CROWDED else [labelled_position(T)]


def labelled_position(T):
    """The position whose points are labelled where not all can be: the middle one, for the last is often an
    outlier."""
    return T // 2


def sharing(tokens, position=None, among=()):
    """The label that tokens share, at one position if it is given, such as {1,3}₇; odd₇ if these are all, and
    more than two, of a family among those tokens."""
    joined, name = ",".join(tokens), family(tokens[0])
    whole = len(tokens) > 2 and set(tokens) == {token for token in among if family(token) == name}
    if position is None:
        return name if whole else joined
    return at_position(name if whole else "{" + joined + "}" if len(tokens) > 1 else joined, position)


@cache
def outline(text, bold=False):
    """(path, width) of a text of font size 1: centred across, and up by the height of a digit."""
    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
    glyphs = TextPath((0, 0), text, size=100, prop=font)
    if not len(glyphs.vertices):
        return Path(np.zeros((1, 2))), 0.0
    left, right = glyphs.vertices[:, 0].min(), glyphs.vertices[:, 0].max()
    vertices = (glyphs.vertices - ((left + right) / 2, 100 * DIGIT_HEIGHT / 2)) / 100
    return Path(vertices, glyphs.codes), (right - left) / 100


@cache
def outline_beside(text, side):
    """Path of a text of font size 1 that starts at 0 (side 1) or ends there (-1): up by the height of a
    digit."""
    path, width = outline(text)
    return Path(path.vertices + (side * width / 2, 0), path.codes)


def label_widths(texts, size, bold=False):
    """Widths of texts in points: (N,)."""
    return np.array([size * outline(text, bold)[1] for text in texts])


def add_labels(ax, points, texts, colors, size, bold=False, zorder=5, shift=(0, 0)):
    """Write texts centred on data points: one PathCollection, font size in points at any dpi.

    points: (N, 2); colors: one for all or one each; shift: of all centres, in points
    """
    moved = ScaledTranslation(shift[0] / 72, shift[1] / 72, ax.figure.dpi_scale_trans)
    labels = PathCollection(
        [outline(text, bold)[0] for text in texts], sizes=[size**2],
        offsets=points, offset_transform=ax.transData + moved, facecolors=colors, edgecolors="face",
        linewidths=0.2, transform=IdentityTransform(), snap=False,
        zorder=zorder,
    )
    labels.texts = list(texts)
    ax.add_collection(labels, autolim=False)
    return labels


def add_labels_beside(ax, points, texts, colors, size, marker=2.5, others=None, boxes=None):
    """Write texts beside marked data points so that none covers another or a marker.

    A text that had to go far is tied to its point by a line. The axes' limits must be final.
    points: (N, 2); colors: one each; marker: half the width of a marker, in points; others: (M, 2)
    further marked points to keep clear of; boxes: (N, 4) left, bottom, right, top of the part of the axes
    in which each label has to stay
    """
    others = points[:0] if others is None else others
    to_points = ax.transData.transform(points) * 72 / ax.figure.dpi
    box = ax.bbox.extents * 72 / ax.figure.dpi
    if boxes is not None:
        box = ax.transData.transform(boxes.reshape(-1, 2)).reshape(-1, 4) * 72 / ax.figure.dpi
    widths = label_widths(texts, size)
    keep_clear = ax.transData.transform(others) * 72 / ax.figure.dpi if len(others) else others
    centres = free_places(to_points, widths, size * DIGIT_HEIGHT * 1.3, box, marker + 0.8, keep_clear)
    where = ax.transData.inverted().transform(centres * ax.figure.dpi / 72)
    half = np.column_stack([widths, np.full(len(widths), size)]) / 2
    far = (np.abs(centres - to_points) - half).max(axis=1) > marker + 3
    edges = np.clip(to_points, centres - half, centres + half) * ax.figure.dpi / 72
    lines = LineCollection(
        np.stack([points, ax.transData.inverted().transform(edges)], axis=1)[far], linewidths=0.4,
        colors=[color for color, long in zip(colors, far, strict=True) if long], alpha=0.6, zorder=1,
    )
    ax.add_collection(lines, autolim=False)
    labels = add_labels(ax, where, texts, colors, size)
    labels.leaders = lines
    return labels


def name_ends(ax, ends, texts, colors, size=8.5):
    """Names to the right of the axes, each at the height where its line ends, moved apart where they would
    cover one another."""
    low, high = ax.get_ylim()
    gap = 1.35 * size / 72 * (high - low) / (ax.get_position().height * ax.figure.get_size_inches()[1])
    order = np.argsort(ends, kind="stable")
    steps = gap * np.arange(len(ends))
    wanted = np.clip(np.array(ends, float)[order], low + steps, high - steps[::-1]) - steps
    up, down = np.maximum.accumulate(wanted), np.minimum.accumulate(wanted[::-1])[::-1]
    places = (up + down) / 2 + steps                            # both keep the gaps, and so does their mean
    beside = ax.get_yaxis_transform()                           # across: 0 to 1 is the axes; up: data
    for place, i in zip(places, order, strict=True):
        ax.text(1.03, place, texts[i], transform=beside, fontsize=size, color=colors[i], va="center")
    ax.add_collection(LineCollection(
        [[(1, ends[i]), (1.025, place)] for place, i in zip(places, order, strict=True)],
        colors=[colors[i] for i in order], linewidths=0.6, transform=beside, clip_on=False,
    ), autolim=False)


def copy_labels(labels, ax):
    """What `add_labels_beside` returned, and the lines to the points, on axes of the same size and limits."""
    lines = labels.leaders
    copied = LineCollection(
        lines.get_segments(), colors=lines.get_colors(), linewidths=lines.get_linewidths(),
        zorder=lines.get_zorder(),
    )
    ax.add_collection(copied, autolim=False)
    add_labels(ax, labels.get_offsets(), labels.texts, labels.get_facecolors(), labels.get_sizes()[0] ** 0.5)


def free_places(anchors, widths, height, box, marker, others):
    """Centres of labels, each the nearest to its anchor that is still free. All in points.

    anchors: (N, 2); widths: (N,); box: left, bottom, right, top of all or, (N, 4), of each; others: (M, 2)
    -> (N, 2). Lonely anchors choose first, and first look away from their neighbours; a label without a
    free place goes where it covers the least.
    """
    count = len(anchors)
    box = np.broadcast_to(box, (count, 4))
    markers = np.concatenate([anchors, others])
    near = np.hypot(*(anchors[:, None] - markers).T).T < 50                         # (N, N+M)
    outward = anchors - near @ markers / near.sum(axis=1, keepdims=True)
    half = np.column_stack([widths / 2 + 1, np.full(count, height / 2 + 0.5)])
    middles = np.concatenate([markers, np.zeros((count, 2))])
    halves = np.concatenate([np.full((len(markers), 2), marker), np.full((count, 2), -np.inf)])
    for i in np.argsort(near.sum(axis=1), kind="stable"):
        along = np.arctan2(*outward[i][::-1]) if np.hypot(*outward[i]) > 1 else np.pi / 2
        ring = np.column_stack([np.cos(along + TURNS), np.sin(along + TURNS)])
        least = np.inf
        for radius in RADII:
            tries = anchors[i] + (half[i] + marker + radius) * ring                 # (angles, 2)
            overlap = (halves + half[i]) - np.abs(tries[:, None] - middles)
            covered = np.maximum(overlap.min(axis=2), 0).sum(axis=1)
            outside = ((tries - half[i] < box[i, :2]) | (tries + half[i] > box[i, 2:])).any(axis=1)
            cost = covered + 1000 * outside
            best = cost.argmin()
            if cost[best] < least:
                least, middles[len(markers) + i] = cost[best], tries[best]
            if least == 0:
                break
        halves[len(markers) + i] = half[i]
    return middles[len(markers):]
