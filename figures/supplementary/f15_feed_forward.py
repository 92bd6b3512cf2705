"""What the feed-forward layer is for: it bends the plane until the LM head's straight cuts are enough."""

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.patches import Patch

from scratchformer.analysis.decision_map import affine_stream, answer_landings, cells, frame_regions
from scratchformer.analysis.landscape import frame, square_box
from scratchformer.analysis.logits import attribute_logits
from scratchformer.figures.labels import add_labels_beside
from scratchformer.figures.landscapes import explain
from scratchformer.figures.marks import legend, line, marker
from scratchformer.figures.regions import label_regions, region_colors
from scratchformer.figures.style import GREY, HALO, INK, figure_title, panel
from scratchformer.figures.supplementary.f11_decision_map import mark
from scratchformer.figures.words import dim_names

HEADING = "The feed-forward layer"
QUESTION = "What is the feed-forward layer for?"
LOOK = "the straight borders on the right: on the left they are bent"
SIZE = (11.6, 6.7)
SIDE = 5.0
CREASE = "#555555"


def draw(fig, model):
    """Left the plane before the layer with its creases, right the same polygons where the layer puts them."""
    figure_title(fig, model, "The feed-forward layer bends the plane until straight cuts decide")
    if model.config.model.n_embd != 2:
        explain(fig, model)
        return
    params, box = model.params, frame(model)
    found = answer_landings(model)
    colors = region_colors(model)
    regions = frame_regions(model)
    shades = [colors[region.token] for region in regions]
    moved = [bend(model, region.corners) for region in regions]
    before, after = panel(fig, 0.75, 0.8, SIDE, SIDE), panel(fig, 6.4, 0.8, SIDE, SIDE)
    for ax, polygons in ((before, [region.corners for region in regions]), (after, moved)):
        ax.add_collection(PolyCollection(
            polygons, facecolors=shades, edgecolors="face", linewidths=0.4, zorder=0, alpha=0.85,
        ))
    pieces = cells(params, box)
    for ax, polygons in ((before, pieces), (after, [bend(model, piece) for piece in pieces])):
        ax.add_collection(LineCollection(
            [np.vstack([polygon, polygon[:1]]) for polygon in polygons], colors=CREASE, linewidths=0.35,
            zorder=1,
        ))
    before.set(xlim=box[:2], ylim=box[2:])
    wide = square_box(landing_points(model, found), 0.15)
    after.set(xlim=wide[:2], ylim=wide[2:])
    for ax, name in ((before, "resid_mid: what the layer reads, and its creases"),
                     (after, "resid_post: what the LM head cuts with straight lines")):
        ax.set(aspect="equal", xlabel=dim_names(2)[0], ylabel=dim_names(2)[1], title=name)
    label_regions(before, model, 13)
    legend(fig, [
        line(CREASE, "where a hidden unit turns on or off", linewidth=1),
        marker("o", "white", "where the answers land on average", markeredgecolor=INK, markersize=8),
        Patch(color=GREY, label="colours: the token predicted there (names at the left)"),
    ], 0.14, handletextpad=0.6)
    if found.answers:
        names = [model.vocabulary[answer] for answer in found.answers]
        arrived = np.concatenate([bend(model, end[None]) for end in found.ends])
        for ax, points in ((before, found.ends), (after, arrived)):
            for answer, point in zip(found.answers, points, strict=True):
                mark(ax, point, "o", colors[answer])
            add_labels_beside(ax, points, names, [INK] * len(names), 10, 5).set_path_effects(HALO)


def count_cells(model):
    """How many cells the creases make of the map."""
    return len(cells(model.params, frame(model)))


def bend(model, points):
    """Where the layer puts the points of one cell: (N, 2) -> (N, 2)."""
    W, b = affine_stream(model.params, points.mean(axis=0), model.use_residual)
    return points @ W + b


def landing_points(model, found):
    """Points that the right panel must show: where the answers and all held-out windows arrive."""
    arrived = model.held_out.resid_post.reshape(-1, 2)
    return np.concatenate([arrived, *(bend(model, end[None]) for end in found.ends)])


def spreads(model):
    """How far apart the answers' mean landings lie before and after the layer, in words."""
    found = answer_landings(model)
    if len(found.answers) < 2:
        return "fewer than two, so there is no distance between them"
    after = np.concatenate([bend(model, end[None]) for end in found.ends])
    pairs = np.triu_indices(len(found.answers), 1)
    nearest = [
        np.linalg.norm(points[:, None] - points[None], axis=-1)[pairs].min() for points in (found.ends, after)
    ]
    return f"the two nearest are {nearest[0]:.2g} apart on the left and {nearest[1]:.2g} on the right"


def caption(model):
    """What the figure shows, and how much of the right answer's logit comes from the layer."""
    C, F = model.params.W_in.shape
    parts, allowed = attribute_logits(model)
    share = (
        f"At constrained held-out positions {parts['ffn_out'].mean():.2f} of the right answer's "
        f"{parts['sum'].mean():.2f} logits (less the mean of all) come from this layer. " if len(allowed)
        else "The rule constrains no position of the held-out windows. "
    )
    if C != 2:
        return (
            f"The feed-forward layer has {F} hidden units; where one of them opens, the map from the stream "
            "before it to the stream after it has a crease. A picture of that needs a plane, and this model "
            f"has n_embd = {C}, so it is left out. {share}The LM head that reads the result is linear: all "
            "that is not linear in the decision happens in attention's softmax and in these units."
        )
    return (
        f"Each of {F} hidden units has a crease, the line where it opens; together they cut the shown part "
        f"of the plane into {count_cells(model):,} cells, and in each of them the layer is an affine map. On "
        "the left the cells lie where attention leaves the stream, on the right where the layer puts them, "
        "and there the LM head, being linear, cuts with straight lines. Dots are the mean landings of the "
        f"answers: {spreads(model)}. {share}Attention chooses the place; this layer decides how far places "
        "are apart for the LM head."
    )
