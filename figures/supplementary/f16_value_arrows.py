"""Three sequences: their values, what attention makes of them, and what that does to the stream."""

import numpy as np

from scratchformer.analysis.followed import arrow_lengths, follow_all
from scratchformer.figures.marks import along, arrows, legend, line, marker, rings
from scratchformer.figures.sequences import TALL, common_plane, label_points, marked, rows_of, show_plane
from scratchformer.figures.style import GREY, LINES, figure_title, panel, position_colors
from scratchformer.figures.words import counted, head_shown

HEADING = "Values as arrows"
QUESTION = "What does attention do to values and stream?"
LOOK = "the ringed ends of the arrows, where the rule asks"
SIZE = (11, 10.4)
LEFTS, WIDE = (0.75, 4.35, 7.95), 2.8   # left edges of the panels, and their width, in inches
RING = 95                               # area of a ring, in square points


def draw(fig, model):
    """One row a sequence: v, v -> attention @ v, embed -> resid_mid."""
    demos = follow_all(model)
    figure_title(fig, model, f"From value to mixture to stream{head_shown(model)}: {count_demos(demos)}")
    values, value_names = common_plane([
        points[0, 0] for demo in demos for points in (demo.cache.v, demo.cache.mixed)
    ])
    stream, stream_names = common_plane([
        points[0] for demo in demos for points in (demo.cache.embed, demo.cache.resid_mid)
    ])
    last = "v + residual: embed → resid_mid" if model.use_residual else "embed → resid_mid, no residual"
    for row, bottom, demo in rows_of(fig, model, demos):
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
            mark_positions(ax, start, end, demo, colors)
    explain_marks(fig, max(len(demo.state) for demo in demos))


def mark_positions(ax, start, end, demo, colors):
    """Positions as points in their colours, with arrows from where they come; judged ones get a ring."""
    ax.scatter(*end.T, s=24 if start is None else 5, c=colors, linewidths=0, zorder=3)
    if start is None:
        label_points(ax, end, demo.labels, colors, 9, 4.5)
        return
    arrows(ax, start, end, colors, (5, 6, 5), width=0.006, alpha=0.8, zorder=5)
    rings(ax, end[demo.where], [LINES[int(s)] for s in demo.state[demo.where]], RING, 1.8)
    label_points(ax, end, marked(demo), colors, 9, 4.5, along(start, end))


def count_demos(demos):
    """How many answers of the sequences are right, in words."""
    state = np.concatenate([demo.state for demo in demos])
    count = int((state >= 0).sum())
    if not count:
        return "the rule asks for nothing"
    return f"{(state == 1).sum()} of {counted(count, 'answer')} right"


def result(model):
    """Mean lengths of the arrows where the rule says what comes next and elsewhere, in words."""
    return "mean length of the arrows v → mixed and embed → resid_mid: " + ", ".join(
        f"{mixing:.2f} and {moving:.2f} at {count} {name} positions"
        for name, (mixing, moving, count) in arrow_lengths(follow_all(model)).items()
    )


def explain_marks(fig, count):
    """What colours and rings mean, at the bottom."""
    colors = position_colors(count)
    legend(fig, [
        *(marker("o", colors[t], str(t) if t else "position 0", markersize=5)
          for t in range(0, count, -(-count // 8))),
        *(marker("o", "none", text, markeredgecolor=LINES[s], markeredgewidth=1.8, markersize=9)
          for s, text in ((1, "✓ prediction follows the rule"), (0, "✗ breaks it"))),
        line(GREY, "arrow: where a position comes from", linewidth=1.5),
    ])


def caption(model):
    """What is to be seen, with this run's numbers."""
    demos = follow_all(model)
    count = sum(len(demo.where) for demo in demos)
    right = sum(int((demo.state == 1).sum()) for demo in demos)
    added = " plus the stream before it" if model.use_residual else ", without a residual"
    verdict = f"{right} of {count} are right" if count else "here the rule constrains none"
    return (
        "Each row follows one sequence, each position in its own colour, dark is early. The first panel "
        "shows the values `v`, what each position offers to the later ones. In the second an arrow leads "
        "from a position's own value to `mixed`, which is `attention @ v`, the mean of the values that it "
        "reads; positions that read the same token end at one point. The third shows the stream: from "
        f"`embed` to `resid_mid`, attention's output{added}. Rings are predictions at constrained positions, "
        f"green with ✓ if right, red with ✗ if wrong; {verdict}. In numbers: {result(model)}."
    )
