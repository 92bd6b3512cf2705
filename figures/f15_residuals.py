"""The residual stream in three sequences: where a position was, what attention adds, where it lies then."""

import numpy as np

from scratchformer.analysis.answers import mean_shifts
from scratchformer.analysis.families import present_families
from scratchformer.analysis.followed import follow_all
from scratchformer.figures.labels import add_labels_beside
from scratchformer.figures.marks import along, arrows, backdrop, legend, line, marker
from scratchformer.figures.planes import scatter_tokens
from scratchformer.figures.sequences import (
    TALL, common_plane, flat, largest, marked, rows_of, show_plane, vector_map,
)
from scratchformer.figures.style import GREY, LINES, MARKERS, panel, title, token_colors
from scratchformer.figures.words import code, counted, listed

SIZE = (12, 10.4)
SIDE = 1.55                             # of a plane, in inches


def draw(fig, model):
    """One row a sequence: three matrices, then the same as points, and arrows from first to last."""
    final = "embed + attn_out" if model.use_residual else "attn_out: no residual connection"
    title(
        fig, f"The residual stream of {model.name} at step {model.step:,}: resid_mid = {final}",
        shift_lengths(model),
    )
    demos = follow_all(model)
    caches = [demo.cache for demo in demos]
    parts = [part[0] for cache in caches for part in (cache.embed, cache.attn_out, cache.resid_mid)]
    (back, *points), names = common_plane([flat(model.grid.embed), *parts])
    stream, added = equal_squares(
        np.concatenate([back, *points[0::3], *points[2::3]]), np.concatenate(points[1::3])
    )
    limit = largest(parts)
    for row, bottom, demo in rows_of(fig, model, demos):
        for i, name in enumerate(("embed", "attn_out", "resid_mid")):
            ax = panel(fig, 0.42 + 0.91 * i, bottom, 0.84, TALL)
            bar = "value, all rows" * ((row, i) == (0, 2))
            vector_map(ax, getattr(demo.cache, name)[0], [] if i else demo.words, limit, name, bar)
        colors = token_colors(model.vocabulary)[demo.cache.tokens[0]]
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
        mark(planes[0], embed, demo, colors, "embed")
        mark(planes[1], attn_out, demo, colors, "attn_out")
        draw_moves(planes[2], embed, resid_mid, demo)
        mark(planes[3], resid_mid, demo, colors, "resid_mid")
    meanings = ((1, "✓ prediction follows the rule"), (0, "✗ breaks it"), (-1, "the rule says nothing"))
    legend(fig, [
        *(marker(MARKERS[name], GREY, name) for name in present_families(model.vocabulary)),
        *(line(LINES[s], text, linewidth=2) for s, text in meanings),
    ])


def shift_lengths(model):
    """Mean length of what attention adds, where the rule says what comes next and elsewhere, in words."""
    parts = [
        f"{length:.2f} at the {counted(count, f'{name} position')}"
        for name, (length, count) in mean_shifts(model).items()
    ]
    return "mean length of attn_out in held-out windows: " + ", ".join(parts)


def equal_squares(*groups):
    """Two corners, (2, 2), of a square around each group of points, (N, 2); all squares are of one size."""
    size = max(np.ptp(group, axis=0).max() for group in groups)
    middles = [(group.min(axis=0) + group.max(axis=0)) / 2 for group in groups]
    return [np.stack([middle - size / 2, middle + size / 2]) for middle in middles]


def mark(ax, points, demo, colors, name):
    """The sequence's positions as points, labelled with token and position."""
    scatter_tokens(ax, points, demo.words, colors, 4)
    add_labels_beside(ax, points, demo.labels, colors, 8, 2.5, points)
    ax.set_title(name)


def draw_moves(ax, start, end, demo):
    """From where each position was to where attention puts it; colours and marks say what comes of it."""
    colors = [LINES[int(s)] for s in demo.state]
    arrows(ax, start, end, colors, (3.5, 4, 3.6), width=0.012, zorder=3)
    add_labels_beside(ax, end, marked(demo), colors, 8, 2.5, along(start, end))
    ax.set_title("embed → resid_mid")


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
        "its sum with the embedding, `resid_mid`" if model.use_residual
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
