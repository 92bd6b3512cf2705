"""Three sequences: their values, what attention makes of them, and what that does to the stream."""

import numpy as np
from matplotlib.lines import Line2D

from scratchformer.figures.demos import follow_all
from scratchformer.figures.f15_residuals import ARROWS, along
from scratchformer.figures.labels import add_labels_beside
from scratchformer.figures.landscapes import halo_labels
from scratchformer.figures.sequences import MARKS, ROWS, TALL, common_plane, header, legend, show_plane
from scratchformer.figures.style import GREY, panel, position_colors, title

SIZE = (11, 10.4)
LEFTS, WIDE = (0.75, 4.35, 7.95), 2.8   # left edges of the panels, and their width, in inches
RING = 95                               # area of a ring, in square points


def draw(fig, model):
    """One row a sequence: v, v -> attention @ v, embed -> resid_mid."""
    H = model.config.model.num_heads
    head = f", head 1 of {H}" if H > 1 else ""
    title(
        fig, f"Values and the stream of {model.name} at step {model.step:,}{head}",
        result(model),
    )
    demos = follow_all(model)
    values, value_names = common_plane([
        points[0, 0] for demo in demos for points in (demo.cache.v, demo.cache.mixed)
    ])
    stream, stream_names = common_plane([
        points[0] for demo in demos for points in (demo.cache.embed, demo.cache.resid_mid)
    ])
    last = "v + residual: embed → resid_mid" if model.use_residual else "embed → resid_mid, no residual"
    for row, (bottom, demo) in enumerate(zip(ROWS, demos, strict=False)):
        header(fig, bottom, model, demo.cache, demo.state)
        v, mixed = values[2 * row : 2 * row + 2]
        embed, resid_mid = stream[2 * row : 2 * row + 2]
        colors = position_colors(len(demo.state))
        for left, name, extent, names, start, end in (
            (LEFTS[0], "v original", values, value_names, None, v),
            (LEFTS[1], "v transformed: v → mixed = attention @ v", values, value_names, v, mixed),
            (LEFTS[2], last, stream, stream_names, embed, resid_mid),
        ):
            ax = panel(fig, left, bottom, WIDE, TALL)
            show_plane(ax, np.concatenate(extent), names)
            ax.ticklabel_format(scilimits=(-2, 4))
            ax.set_title(name)
            marks = [MARKS[int(s)] if start is not None else "" for s in demo.state]
            texts = [label + mark for label, mark in zip(demo.labels, marks, strict=True)]
            mark_positions(ax, start, end, texts, colors, demo.state)
    explain_marks(fig, max(len(demo.state) for demo in demos))


def mark_positions(ax, start, end, texts, colors, state):
    """Positions as points in their colours, with arrows from where they come; judged ones get a ring."""
    if start is not None:
        ax.quiver(
            *start.T, *(end - start).T, angles="xy", scale_units="xy", scale=1, color=colors, width=0.006,
            headwidth=5, headlength=6, headaxislength=5, alpha=0.8, zorder=5,
        )
    ax.scatter(*end.T, s=24 if start is None else 5, c=colors, linewidths=0, zorder=3)
    judged = state >= 0
    if judged.any() and start is not None:
        rings = [ARROWS[int(s)] for s in state[judged]]
        ax.scatter(*end[judged].T, s=RING, facecolors="none", edgecolors=rings, linewidths=1.8, zorder=4)
    others = end if start is None else along(start, end)
    add_labels_beside(ax, end, texts, colors, 9, 4.5, others)
    halo_labels(ax)


def result(model):
    """Mean lengths of the arrows where the rule says what comes next and elsewhere, in words."""
    demos = follow_all(model)
    state = np.concatenate([demo.state for demo in demos])
    mixing = np.concatenate([demo.cache.mixed[0, 0] - demo.cache.v[0, 0] for demo in demos])
    moving = np.concatenate([demo.cache.resid_mid[0] - demo.cache.embed[0] for demo in demos])
    return "mean length of the arrows v → mixed and embed → resid_mid: " + ", ".join(
        f"{length(mixing[which])} and {length(moving[which])} at {which.sum()} {name} positions"
        for name, which in (("constrained", state >= 0), ("other", state < 0)) if which.any()
    )


def length(vectors):
    """The mean length of vectors (N, C) as text."""
    return f"{np.linalg.norm(vectors, axis=-1).mean():.2f}"


def explain_marks(fig, count):
    """What colours and rings mean, at the bottom."""
    colors = position_colors(count)
    handles = [
        Line2D([], [], linestyle="", marker="o", color=colors[t], markersize=5,
               label=str(t) if t else "position 0")
        for t in range(0, count, -(-count // 8))
    ]
    for s, text in ((1, "✓ prediction follows the rule"), (0, "✗ breaks it")):
        handles.append(Line2D(
            [], [], linestyle="", marker="o", color="none", markeredgecolor=ARROWS[s], markeredgewidth=1.8,
            markersize=9, label=text,
        ))
    handles.append(Line2D([], [], color=GREY, linewidth=1.5, label="arrow: where a position comes from"))
    legend(fig, handles)


def caption(model):
    """What is to be seen, with this run's numbers."""
    demos = follow_all(model)
    count = sum(len(demo.where) for demo in demos)
    right = sum(int((demo.state == 1).sum()) for demo in demos)
    added = " plus the stream before it" if model.config.model.use_residual else ", without a residual"
    verdict = f"{right} of {count} are right" if count else "here the rule constrains none"
    return (
        "Each row follows one sequence, each position in its own colour, dark is early. The first panel "
        "shows the values `v`, what each position offers to the later ones. In the second an arrow leads "
        "from a position's own value to `mixed`, which is `attention @ v`, the mean of the values that it "
        "reads; positions that read the same token end at one point. The third shows the stream: from "
        f"`embed` to `resid_mid`, attention's output{added}. Rings are predictions at constrained positions, "
        f"green with ✓ if right, red with ✗ if wrong; {verdict}. In numbers: {result(model)}."
    )
