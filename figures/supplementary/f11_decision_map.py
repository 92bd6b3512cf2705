"""The map of decisions: which token is predicted wherever attention may take the stream, exactly."""

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb

from scratchformer.analysis.decision_map import answer_landings, areas_by_token, decision_regions
from scratchformer.analysis.followed import at_position
from scratchformer.analysis.landscape import GRID, plane_grid, square_box, stream_points
from scratchformer.analysis.scores import focus
from scratchformer.figures.labels import add_labels, add_labels_beside
from scratchformer.figures.landscapes import explain
from scratchformer.figures.style import HALO, INK, panel, title
from scratchformer.figures.words import code, dim_names, listed

SIZE = (10, 9.2)
SIDE = 7.9                              # of the map, in inches
ANSWERS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee8866", "#44aa99", "#999933",
           "#882255", "#332288", "#ddcc77")     # apart for colour-blind eyes too (after Paul Tol)
REST = ("#d9d9d9", "#e9e9e9", "#cdcdcd", "#f2f2f2")             # of tokens that are no answer
EMPTY = 60                              # cells a side in which it is asked whether any window lands
NEAR = 2                                # cells around one that count as near
LEAST = 0.004                           # share of the map that a region needs for a label


def draw(fig, model):
    """Regions of the top prediction, labelled; arrows from a query to where each of its answers lands."""
    found = answer_landings(model)
    title(fig, headline(model, found), detail(model))
    C = model.config.model.n_embd
    if C != 2:
        explain(fig, C, [])
        return
    points = stream_points(model)
    box = square_box(points, 0.05)
    regions = decision_regions(model.params, box, model.use_residual)
    ax = panel(fig, 1.05, 0.55, SIDE, SIDE)
    colors = region_colors(model, found.answers)
    ax.add_collection(PolyCollection(
        [region.corners for region in regions], facecolors=[colors[region.token] for region in regions],
        edgecolors="face", linewidths=0.4, zorder=0,
    ))
    shade_empty(ax, points, box)
    ax.set(xlim=box[:2], ylim=box[2:], aspect="equal")
    ax.set_xlabel(dim_names(2)[0])
    ax.set_ylabel(dim_names(2)[1])
    label_regions(ax, model, regions, box)
    draw_arrows(ax, model, found, colors)


def headline(model, found):
    """What the figure says, in a sentence."""
    if not found.constrained:
        return f"Where the stream lies decides what {model.name} predicts"
    share = found.right / found.constrained
    what = "every answer lands in its own region" if share == 1 else (
        f"{share:.2%} of answers land in their own region"
    )
    return f"{model.name}: attention moves the stream, and {what}"


def detail(model):
    """How to read it."""
    return (f"step {model.step:,}; colour: the top prediction if the stream after attention (resid_mid) "
            "lay there; pale: no held-out window lands there")


def region_colors(model, answers):
    """A colour a token: the answers stand out, the rest is grey."""
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
    shifts = range(-NEAR, NEAR + 1)
    near = np.any([np.roll(used, (y, x), (0, 1)) for y in shifts for x in shifts], axis=0)
    near = near[NEAR:-NEAR, NEAR:-NEAR]
    veil = np.ones((EMPTY, EMPTY, 4))
    veil[..., 3] = np.where(near, 0, 0.72)
    ax.imshow(veil, extent=box, origin="lower", zorder=0.5, interpolation="bilinear", aspect="auto")


def label_regions(ax, model, regions, box):
    """The token's name where its region is widest."""
    whole = (box[1] - box[0]) * (box[3] - box[2])
    areas = areas_by_token(regions, len(model.vocabulary))
    owner = model.landscape(plane_grid(box)).argmax(axis=-1).reshape(GRID, GRID)
    places, names = [], []
    for token in np.flatnonzero(areas > LEAST * whole):
        inside = np.pad(owner == token, 1)
        while inside.any():                                     # peel it until one layer is left
            core = inside
            inside = inside & np.all([np.roll(inside, s, a) for s in (1, -1) for a in (0, 1)], axis=0)
        row, column = np.argwhere(core[1:-1, 1:-1])[0]
        place = plane_grid(box).reshape(GRID, GRID, 2)[row, column]
        places.append(place)
        names.append(model.vocabulary[token])
    if names:
        add_labels(ax, np.array(places), names, INK, 15, bold=True, zorder=3).set_path_effects(HALO)


def draw_arrows(ax, model, found, colors):
    """From the query's embedding to where it lands for each answer."""
    if not found.answers:
        return
    for answer, end in zip(found.answers, found.ends, strict=True):
        ax.annotate("", end, found.start, zorder=4, arrowprops={
            "arrowstyle": "-|>", "color": INK, "linewidth": 0.9, "shrinkA": 4, "shrinkB": 5,
            "mutation_scale": 11,
        })
        mark(ax, end, "o", colors[answer])
    mark(ax, found.start, "D", "white")
    name = at_position(model.vocabulary[found.query], focus(model)[1])
    texts = [f"answer {model.vocabulary[answer]}" for answer in found.answers] + [f"{name} starts here"]
    points = np.vstack([found.ends, found.start])
    add_labels_beside(ax, points, texts, [INK] * len(texts), 9, 5).set_path_effects(HALO)


def mark(ax, point, shape, color):
    """A large mark."""
    ax.plot(*point, shape, markersize=8, color=color, markeredgecolor=INK, markeredgewidth=1.2, zorder=5)


def caption(model):
    """What the figure shows, and how the answers do in this run."""
    C = model.config.model.n_embd
    if C != 2:
        return (
            "Which token is predicted depends on the stream after attention. With two dimensions that is a "
            f"map of exact polygons; this model has n_embd = {C}, and a map of two of its dimensions would "
            "not be true of the others, so it is left out. What attention adds, and what the LM head makes "
            "of it, the figures of single sequences show for any number of dimensions, and the figures of "
            "causal evidence say which parts of it the answers need."
        )
    found = answer_landings(model)
    regions = decision_regions(model.params, square_box(stream_points(model), 0.05), model.use_residual)
    areas = areas_by_token(regions, len(model.vocabulary))
    owners = [
        f"{code(model.vocabulary[token])} {areas[token] / areas.sum():.1%}"
        for token in np.argsort(-areas, kind="stable")[:3]
    ]
    landed = (
        f"{found.right:,} of {found.constrained:,} constrained held-out positions land where the top "
        "prediction is allowed. " if found.constrained
        else "The rule constrains no position of the held-out windows. "
    )
    return (
        "From the stream after attention on, the model is piecewise linear, so its decisions are "
        f"{len(regions):,} polygons, computed and not sampled: cut along the creases of the hidden units and "
        f"then where two logits tie. The largest shares of the area shown are {listed(owners)}. The arrows "
        f"start where {code(model.vocabulary[found.query])} is embedded and end at the mean landing for each "
        f"answer. {landed}Pale parts are where no held-out window lands: what the model would say there, "
        "training never tested. How the creases bend the plane so that straight cuts do is the business of "
        "the feed-forward layer."
    )
