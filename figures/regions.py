"""The map of decisions as the ground of a panel: each region in its token's colour, with its name."""

from functools import lru_cache

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch

from scratchformer.analysis.decision_map import areas_by_token, frame_regions
from scratchformer.analysis.landscape import GRID, frame, plane_grid, stream_points
from scratchformer.figures.labels import add_labels, label_widths
from scratchformer.figures.style import GREY, HALO, INK

ANSWERS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee8866", "#44aa99", "#999933",
           "#661100", "#332288", "#ddcc77")     # apart for colour-blind eyes too (after Paul Tol)
REST = ("#d9d9d9", "#e9e9e9", "#cdcdcd", "#f2f2f2")             # of tokens that are no answer
EMPTY = 240                             # cells a side in which it is asked whether any window lands
NEAR = 8                                # cells around one that count as near
PALING = 0.72                           # of white over what no window reaches
LEAST = 0.004                           # share of the map that a region needs for a label


def show_regions(ax, model, colors, strength=1.0):
    """The frame's regions, pale where no held-out window lands.

    colors: of `region_colors`; strength: how much of them, the rest is white
    """
    box, regions = frame(model), frame_regions(model)
    shades = {token: 1 - strength * (1 - np.array(color)) for token, color in colors.items()}
    ax.add_collection(PolyCollection(
        [region.corners for region in regions], facecolors=[shades[region.token] for region in regions],
        edgecolors="face", linewidths=0.4, zorder=0,
    ), autolim=False)
    shade_empty(ax, stream_points(model), box)
    ax.set(xlim=box[:2], ylim=box[2:], aspect="equal")


def region_colors(model):
    """A colour a token: what the rule allows in some held-out window stands out, the rest is grey."""
    allowed = model.run.held_out.allowed
    answers = np.flatnonzero(allowed.any(axis=(0, 1))).tolist()
    colors, rest = {}, 0
    for token in range(len(model.vocabulary)):
        if token in answers:
            colors[token] = to_rgb(ANSWERS[answers.index(token) % len(ANSWERS)])
        else:
            colors[token] = to_rgb(REST[rest % len(REST)])
            rest += 1
    return colors


def shade_empty(ax, points, box):
    """Pale the parts of the map near which neither an embedding nor any window's stream lies."""
    cells = [
        np.clip(((points[:, axis] - box[2 * axis]) / (box[1] - box[0]) * EMPTY).astype(int), 0, EMPTY - 1)
        for axis in (0, 1)
    ]
    used = np.zeros((EMPTY + 2 * NEAR, EMPTY + 2 * NEAR), bool)
    used[cells[1] + NEAR, cells[0] + NEAR] = True
    around = range(-NEAR, NEAR + 1)
    shifts = [(y, x) for y in around for x in around if x * x + y * y <= NEAR * (NEAR + 1)]
    near = np.any([np.roll(used, shift, (0, 1)) for shift in shifts], axis=0)
    near = near[NEAR:-NEAR, NEAR:-NEAR]
    veil = np.ones((EMPTY, EMPTY, 4))
    veil[..., 3] = np.where(near, 0, PALING)
    ax.imshow(veil, extent=box, origin="lower", zorder=0.5, interpolation="bilinear", aspect="auto")


def landed_entries():
    """Entries of a legend: what the two strengths of the map's colours mean."""
    color = np.array(to_rgb(GREY))
    return [
        Patch(color=color, label="strong: held-out windows land here"),
        Patch(color=1 - (1 - PALING) * (1 - color), label="pale: none does"),
    ]


def label_regions(ax, model, size):
    """The token's name where its region is widest, the largest region's first, and none that would touch
    another: the places of the names, (N, 2)."""
    places, names = name_places(model)
    widths = label_widths(names, size, bold=True)
    x, y = ax.transData.transform(places).T * 72 / ax.figure.dpi
    kept = []
    for i in range(len(names)):
        beside = np.abs(x[i] - x[kept]) >= (widths[i] + widths[kept]) / 2 + size / 3
        if (beside | (np.abs(y[i] - y[kept]) >= size)).all():
            kept.append(i)
    shown = [names[i] for i in kept]
    add_labels(ax, places[kept], shown, INK, size, bold=True, zorder=3).set_path_effects(HALO)
    return places[kept]


@lru_cache(maxsize=4)
def name_places(model):
    """(where each token's name has most room (N, 2), the names), that with the largest regions first."""
    box, regions = frame(model), frame_regions(model)
    whole = (box[1] - box[0]) * (box[3] - box[2])
    areas = areas_by_token(regions, len(model.vocabulary))
    owner = model.landscape(plane_grid(box)).argmax(axis=-1).reshape(GRID, GRID)
    places, names = [], []
    for token in np.argsort(-areas, kind="stable")[: (areas > LEAST * whole).sum()]:
        inside = np.pad(owner == token, 1)
        while inside.any():                                     # peel it until one layer is left
            core = inside
            inside = inside & np.all([np.roll(inside, s, a) for s in (1, -1) for a in (0, 1)], axis=0)
        row, column = np.argwhere(core[1:-1, 1:-1])[0]
        places.append(plane_grid(box).reshape(GRID, GRID, 2)[row, column])
        names.append(model.vocabulary[token])
    return np.reshape(places, (-1, 2)), names
