"""The residual stream in three sequences: where a position was, what attention adds, where it lies then."""

import numpy as np
from matplotlib.lines import Line2D

from scratchformer.figures.labels import add_labels_beside, at_position
from scratchformer.figures.planes import scatter_tokens
from scratchformer.figures.sequences import (
    MARKS, ROWS, TALL, backdrop, bar, common_plane, demo_caches, flat, header, largest, legend, marker,
    row_labels, show_plane, vector_map, verdicts,
)
from scratchformer.figures.style import FAMILIES, GREY, WRONG, family, panel, title, token_colors
from scratchformer.figures.words import code, counted, listed

SIZE = (12, 10.4)
SIDE = 1.55                             # of a plane, in inches
ARROWS = {1: "#1b7f3b", 0: WRONG, -1: GREY}


def draw(fig, model):
    """One row a sequence: three matrices, then the same as points, and arrows from first to last."""
    caches = demo_caches(model)
    final = "embed + attn_out" if model.config.model.use_residual else "attn_out: no residual connection"
    title(
        fig, f"The residual stream of {model.name} at step {model.step:,}: resid_mid = {final}",
        shift_lengths(model),
    )
    parts = [part[0] for cache in caches for part in (cache.embed, cache.attn_out, cache.resid_mid)]
    (back, *points), names = common_plane([flat(model.grid.embed), *parts])
    stream, added = equal_squares(
        np.concatenate([back, *points[0::3], *points[2::3]]), np.concatenate(points[1::3])
    )
    limit = largest(parts)
    for row, (bottom, cache) in enumerate(zip(ROWS, caches, strict=False)):
        labels, state = row_labels(model, cache), verdicts(model, cache)
        header(fig, bottom, model, cache, state)
        image = matrices(fig, bottom, cache, labels, limit)
        if not row:
            bar(fig, image, "value, all rows")
        colors = token_colors(model.vocabulary)[cache.tokens[0]]
        embed, attn_out, resid_mid = points[3 * row : 3 * row + 3]
        planes = [panel(fig, 4.35 + 2.0 * i, bottom + TALL - SIDE, SIDE, SIDE) for i in range(4)]
        for ax, corners in zip(planes, (stream, added, stream, stream), strict=True):
            show_plane(ax, corners, names)
            ax.ticklabel_format(scilimits=(-2, 4))
            ax.tick_params(labelsize=7, pad=2)
            long = len(names[0]) > 9                        # leaves room for a power of ten beside it
            ax.set_xlabel(names[0], fontsize=6.5 if long else 7.5, loc="left" if long else "center")
            ax.set_ylabel(names[1], fontsize=7.5, labelpad=0)
        backdrop(planes[0], back)
        mark(planes[0], embed, labels, colors, "embed")
        mark(planes[1], attn_out, labels, colors, "attn_out")
        arrows(planes[2], embed, resid_mid, labels, state)
        mark(planes[3], resid_mid, labels, colors, "resid_mid")
    shapes = [
        marker(shape, GREY, name) for name, shape in FAMILIES.items()
        if name in set(map(family, model.vocabulary))
    ]
    meanings = ((1, "✓ prediction follows the rule"), (0, "✗ breaks it"), (-1, "the rule says nothing"))
    legend(fig, shapes + [Line2D([], [], color=ARROWS[s], linewidth=2, label=text) for s, text in meanings])


def shift_lengths(model):
    """Mean length of what attention adds, where the rule says what comes next and elsewhere, in words."""
    parts = [
        f"{length:.2f} at the {counted(count, f'{name} position')}"
        for name, (length, count) in mean_shifts(model).items()
    ]
    return "mean length of attn_out in held-out windows: " + ", ".join(parts)


def mean_shifts(model):
    """{"constrained": (mean length of attn_out at such positions of held-out windows, how many there are),
    "unconstrained": the same}; without the kind that there is none of."""
    chosen = model.run.held_out.allowed.any(axis=-1)
    lengths = np.linalg.norm(model.held_out.attn_out, axis=-1)
    return {
        name: (float(lengths[which].mean()), int(which.sum()))
        for name, which in (("constrained", chosen), ("unconstrained", ~chosen)) if which.any()
    }


def equal_squares(*groups):
    """Two corners, (2, 2), of a square around each group of points, (N, 2); all squares are of one size."""
    size = max(np.ptp(group, axis=0).max() for group in groups)
    middles = [(group.min(axis=0) + group.max(axis=0)) / 2 for group in groups]
    return [np.stack([middle - size / 2, middle + size / 2]) for middle in middles]


def matrices(fig, bottom, cache, labels, limit):
    """embed, attn_out and resid_mid on one scale."""
    for i, name in enumerate(("embed", "attn_out", "resid_mid")):
        ax = panel(fig, 0.42 + 0.91 * i, bottom, 0.84, TALL)
        image = vector_map(ax, getattr(cache, name)[0], [] if i else labels, limit, name)
    return image


def mark(ax, points, labels, colors, name):
    """The sequence's positions as points, labelled with token and position."""
    scatter_tokens(ax, points, labels, colors, 4)
    texts = [at_position(label, t) for t, label in enumerate(labels)]
    add_labels_beside(ax, points, texts, colors, 8, 2.5, points)
    ax.set_title(name)


def arrows(ax, start, end, labels, state):
    """From where each position was to where attention puts it; colours and marks say what comes of it."""
    colors = [ARROWS[int(s)] for s in state]
    ax.quiver(
        *start.T, *(end - start).T, angles="xy", scale_units="xy", scale=1, color=colors, width=0.012,
        headwidth=3.5, headlength=4, headaxislength=3.6, zorder=3,
    )
    texts = [at_position(label, t) + MARKS[int(state[t])] for t, label in enumerate(labels)]
    add_labels_beside(ax, end, texts, colors, 8, 2.5, along(start, end))
    ax.set_title("embed → resid_mid")


def along(start, end):
    """Points along arrows, their ends included, that labels keep clear of: (N, 2) each -> (M, 2)."""
    return np.concatenate([start + share * (end - start) for share in np.linspace(0, 1, 7)])


def caption(model):
    """What the figure shows, and how far attention moves the stream in this run."""
    shifts = mean_shifts(model)
    lengths = [
        f"{length:.3g} at the {counted(count, f'{name} position')}"
        for name, (length, count) in shifts.items()
    ]
    ratio = ""
    if len(shifts) == 2:
        times = shifts["constrained"][0] / shifts["unconstrained"][0]
        ratio = f", so where the rule asks for something the stream is moved {times:.2f} times as far"
    onward = (
        "Laid over the landscapes of figure 07, these arrows show to which prediction each position is led."
        if model.config.model.n_embd == 2 else
        "To which prediction each position is led is for the feed-forward layer and the LM head to say."
    )
    added = (
        "its sum with the embedding, `resid_mid`" if model.config.model.use_residual
        else "`resid_mid`, which is the same, as this model has no residual connections"
    )
    return (
        f"Each row follows one of {counted(len(model.demos), 'sequence')}: as numbers, then as points, the "
        f"embedding of each position, what attention adds, {code('attn_out')}, and {added}. The arrows lead "
        "from where a position was to where it lies after attention; green and ✓ mark a prediction that "
        "follows the rule, red and ✗ one that breaks it, grey a position where the rule says nothing. "
        f"Over all held-out windows, the mean length of {code('attn_out')} is {listed(lengths)}{ratio}. "
        f"{onward}"
    )
