"""The residual stream in three sequences: where a position was, what attention adds, where it lies then."""

import numpy as np

from scratchformer.analysis.answers import landings, right_without_attention
from scratchformer.analysis.families import present_families
from scratchformer.analysis.followed import follow_all
from scratchformer.analysis.landscape import flat, frame
from scratchformer.figures.labels import add_labels_beside
from scratchformer.figures.marks import backdrop, legend, line, marker
from scratchformer.figures.planes import scatter_tokens
from scratchformer.figures.regions import label_regions, landed_entries, region_colors, show_regions
from scratchformer.figures.sequences import (
    TALL, beside, common_plane, draw_moves, largest, rows_of, show_plane, vector_map,
)
from scratchformer.figures.style import GREY, LINES, MARKERS, figure_title, panel, token_colors
from scratchformer.figures.words import code, counted, graded

HEADING = "The residual stream"
QUESTION = "How does attention change what the next layer reads?"
LOOK = "the coloured arrows over the map of decisions: they should end in the answer's region"
SIZE = (12, 10.4)
SIDE = 1.55                             # of a plane, in inches


def draw(fig, model):
    """One row a sequence: three matrices, then the same as points, and arrows from first to last."""
    figure_title(fig, model, finding(model))
    demos = follow_all(model)
    caches = [demo.cache for demo in demos]
    parts = [part[0] for cache in caches for part in (cache.embed, cache.attn_out, cache.resid_mid)]
    (back, *points), names = common_plane([flat(model.grid.embed), *parts])
    plane = model.config.model.n_embd == 2
    reached = np.concatenate([back, *points[0::3], *points[2::3]])
    if plane:
        reached = np.reshape(frame(model), (2, 2)).T
    stream, added = equal_squares(reached, np.concatenate(points[1::3]))
    shades = region_colors(model)
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
            show_plane(ax, corners, names, 0 if plane else 0.13)
            ax.ticklabel_format(scilimits=(-2, 4))
            ax.tick_params(labelsize=7.8, pad=2)
            long = len(names[0]) > 9                        # leaves room for a power of ten beside it
            ax.set_xlabel(names[0], fontsize=7.8, loc="left" if long else "center")
            ax.set_ylabel(names[1], fontsize=7.8, labelpad=0)
        names_at = points[0][:0]
        for ax in planes[2:] if plane else ():
            show_regions(ax, model, shades, 0.5)
            names_at = label_regions(ax, model, 8)
        backdrop(planes[0], back)
        mark(planes[0], embed, demo, colors, "embed")
        mark(planes[1], attn_out, demo, colors, "attn_out")
        draw_moves(planes[2], embed, resid_mid, demo, names_at)
        planes[2].set_title("embed → resid_mid")
        mark_ends(planes[3], resid_mid, demo, colors, names_at)
    meanings = ((1, "✓ follows the rule"), (0, "✗ breaks it"), (-1, "no rule there"))
    legend(fig, [
        *(marker(MARKERS[name], GREY, name) for name in present_families(model.vocabulary)),
        *(line(LINES[s], text, linewidth=2) for s, text in meanings),
        *(landed_entries() if plane else ()),
    ])


def finding(model):
    """What attention does for the answers, in words."""
    cache, allowed, right = landings(model)
    total = allowed.any(axis=-1).sum()
    if not total:
        return "Attention moves the stream, and the rule asks for nothing"
    if right.sum() <= right_without_attention(model, cache.embed, allowed):
        return "No need for attention: as many answers are right where it moves nothing"
    of_all = f"{graded(right.sum() / total)} answers"
    return f"Attention moves the stream: {of_all} end in a region of what the rule allows"


def describe_moves(model):
    """How many answers attention brings home, in words."""
    cache, allowed, right = landings(model)
    if not allowed.any():
        return "Attention moves the stream, and the rule asks for nothing"
    still = right_without_attention(model, cache.embed, allowed) / allowed.any(axis=-1).sum()
    moved = right.sum() / allowed.any(axis=-1).sum()
    numbers = f"{moved:.2%} of answers right with it, {still:.2%} without"
    return f"Attention moves the stream: {numbers}" if moved > still else f"No need for attention: {numbers}"


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


def mark_ends(ax, points, demo, colors, names_at):
    """Where attention has put the positions."""
    scatter_tokens(ax, points, demo.words, colors, 4)
    beside(ax, points, demo, demo.labels, colors, np.concatenate([points, names_at]))
    ax.set_title("resid_mid")


def caption(model):
    """What the figure shows, and how far attention moves the stream in this run."""
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
        f"Over all held-out windows: {describe_moves(model)}. {onward}"
    )
