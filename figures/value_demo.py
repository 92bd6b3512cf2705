"""One sequence on the landscapes of the next tokens: its values, where attention moves it, where it lands.

What figures 16 to 18 share: one figure a sequence, in it one column a token.
"""

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from figures.demos import follow, heading, likeliest, missing, moved, outcome, values_in_stream
from figures.f15_residuals import ARROWS
from figures.labels import add_labels_beside
from figures.landscapes import (
    add_bar, explain, halo_labels, landscapes, name_axes, show_landscape, square_box,
)
from figures.sequences import MARKS, demo_caches, legend, row_labels
from figures.style import GREY, INK, panel, title, token_colors

SIZE = (15, 8)
MOST = 12                               # columns
ENLARGED = 1.8                          # width of an answer's column, against another
TALL = 1.66                             # height of a row, in inches
ROWS = (4.4, 2.62, 0.84)                # lower edges of the rows
LEFT, RIGHT, ACROSS = 1.15, 0.95, 0.09  # margins, and the gap between columns
ANSWER = "#d6168c"                      # frames what the rule allows


def draw_demo(fig, run, step, number):
    """Draw the sequence of that number: rows are its v, embed -> resid_mid, and resid_mid."""
    name = f"Sequence {number + 1} on the output probabilities of {run.config.name} at step {step:,}"
    if number >= len(run.demos):
        title(fig, name)
        fig.text(0.5, 0.6, missing(run, number), ha="center", fontsize=12)
        return
    demo, C = follow(run, step, number), run.config.model.n_embd
    shown = shown_tokens(demo)
    title(fig, name, "\n".join([
        "sequence:  " + " ".join(row_labels(run, demo.cache)), outcome(run, demo), columns(run, shown),
    ]))
    if C != 2:
        explain(fig, C, [f"P(next = {run.vocabulary[i]}): " + ", ".join(heading(demo, i)) for i in shown])
        return
    in_stream = values_in_stream(run, step)
    box = square_box(np.concatenate([
        points for cache in demo_caches(run, step) for points in stream_points(cache, in_stream)
    ]), margin=0.1)
    probs = landscapes(run, step, box)
    name_rows(fig, in_stream)
    rows = [0, 1, 2] if in_stream else [1, 2]
    for token, left, side in places(demo, shown):
        write_heading(fig, left + side / 2, run.vocabulary[token], heading(demo, token), rows[0])
        for row in rows:
            ax = panel(fig, left, ROWS[row] + (TALL - side) / 2, side, side)
            image = show_landscape(ax, probs[:, :, token], box)
            name_axes(ax, token == shown[0], row == 2 and token == shown[0])
            ax.ticklabel_format(scilimits=(-2, 4))
            ax.spines[:].set(visible=bool(demo.allowed[:, token].any()), color=ANSWER, linewidth=2.5)
            mark_positions(ax, run, demo, row, labelled(demo, token, side))
    add_bar(fig, image)
    explain_marks(fig)


def stream_points(cache, in_stream):
    """The first row's embed and resid_mid, and v where it lies in their plane: list of (T, 2)."""
    return [cache.embed[0], cache.resid_mid[0]] + [cache.v[0, 0]] * in_stream


def shown_tokens(demo):
    """The at most MOST tokens shown, ascending: answers first, then predictions, then the most probable."""
    probs = demo.cache.probs[0]
    answers, predicted = demo.allowed.any(axis=0), set(probs[demo.where].argmax(axis=1))
    highest = probs.max(axis=0)
    order = sorted(range(len(highest)), key=lambda i: (not answers[i], i not in predicted, -highest[i]))
    return sorted(order[:MOST])


def places(demo, shown):
    """[(token, left edge, side)] of the columns in inches; up to three answers' columns are larger."""
    answers = demo.allowed[:, shown].any(axis=0)
    sides = np.where(answers & (answers.sum() <= 3), ENLARGED, 1.0)
    room = SIZE[0] - LEFT - RIGHT - (len(shown) - 1) * ACROSS
    sides *= min(room / sides.sum(), TALL / sides.max())
    start = LEFT + (room - sides.sum()) / 2
    lefts = start + np.cumsum(sides + ACROSS) - sides - ACROSS
    return list(zip(shown, lefts, sides, strict=True))


def labelled(demo, token, side):
    """Positions that a panel labels: all in a large one, else constrained ones, three at most."""
    if side > TALL / 1.4:
        return np.arange(len(demo.labels))
    return np.sort(likeliest(demo, token, 3))


def mark_positions(ax, run, demo, row, chosen):
    """The sequence in one panel, some labelled: row 0 is v, 1 arrows to resid_mid, 2 resid_mid."""
    cache, state = demo.cache, demo.state
    colors = token_colors(run.vocabulary)[cache.tokens[0]]
    points = cache.resid_mid[0] if row else cache.v[0, 0]
    if row == 1:
        arrows(ax, cache.embed[0], points, state)
        ends = np.concatenate([cache.embed[0], points])
    else:
        judged = (state >= 0) & (row == 2)
        edges = [ARROWS[int(s)] if of else "white" for s, of in zip(state, judged, strict=True)]
        ax.scatter(
            *points.T, s=17, c=colors, edgecolors=edges, linewidths=np.where(judged, 1.5, 0.5), zorder=3,
            path_effects=[withStroke(linewidth=2.2, foreground="white")],
        )
    if len(chosen):
        texts = [demo.labels[t] + (MARKS[int(state[t])] if row else "") for t in chosen]
        add_labels_beside(ax, points[chosen], texts, colors[chosen], 9, 2.6, ends if row == 1 else points)
        halo_labels(ax)


def arrows(ax, start, end, state):
    """From where each position was to where attention puts it; the colour says what comes of it."""
    order = np.argsort(state, kind="stable")                # the judged ones in front
    ax.quiver(
        *start[order].T, *(end - start)[order].T, angles="xy", scale_units="xy", scale=1,
        color=[ARROWS[int(s)] for s in state[order]], units="dots", width=1.7 * ax.figure.dpi / 72,
        headwidth=3.6, headlength=4, headaxislength=3.6, zorder=3,
        path_effects=[withStroke(linewidth=1.6, foreground="white")],
    )


def write_heading(fig, x, token, lines, row):
    """A column's token and lines, above its panel in the topmost row."""
    width, height = SIZE
    y = ROWS[row] + TALL + 0.78
    fig.text(x / width, y / height, token, ha="center", va="top", fontsize=12, fontweight="bold")
    fig.text(
        x / width, (y - 0.23) / height, "\n".join(lines), ha="center", va="top", fontsize=9, linespacing=1.2,
        color=ANSWER if lines[-1].startswith("answer") else INK,
    )


def columns(run, shown):
    """Which tokens have a column, if not all, and what lies behind the points, in words."""
    background = "background: probability of the column's token if the stream after attention lay there"
    chosen = f"{len(shown)} of {len(run.vocabulary)} tokens: answers, predictions, then the most probable"
    return "; ".join(
        [chosen] * (len(shown) < len(run.vocabulary)) + [background] * (run.config.model.n_embd == 2)
    )


def name_rows(fig, in_stream):
    """The rows' names at the left; in place of v, why it is left out."""
    names = ["values v", "embed →\nresid_mid", "resid_mid"]
    for name, bottom in list(zip(names, ROWS, strict=True))[0 if in_stream else 1 :]:
        fig.text(
            0.3 / SIZE[0], (bottom + TALL / 2) / SIZE[1], name, rotation=90, ha="center", va="center",
            fontsize=11, fontweight="bold", linespacing=1.2,
        )
    if not in_stream:
        fig.text(
            0.5, (ROWS[0] + TALL - 0.2) / SIZE[1], "The values v are left out: they have dimensions of their "
            "own in this model, and only W_o brings what is mixed of them into the stream's plane.",
            ha="center", fontsize=11,
        )


def explain_marks(fig):
    """What colours and marks mean, below the panels."""
    meanings = ((1, "✓ prediction follows the rule"), (0, "✗ breaks it"), (-1, "the rule says nothing"))
    handles = [Line2D([], [], color=ARROWS[s], linewidth=2.5, label=text) for s, text in meanings]
    legend(fig, [
        *handles,
        Line2D([], [], linestyle="", marker="o", color=GREY, markersize=5,
               label="a position, in its token's colour"),
        Line2D([], [], linestyle="", marker="s", color="none", markeredgecolor=ANSWER, markeredgewidth=2.5,
               markersize=9, label="the column's token is an answer in this sequence"),
    ])


def demo_caption(run, step, number):
    """The paragraph under the figure of that number."""
    if number >= len(run.demos):
        return missing(run, number)
    demo = follow(run, step, number)
    sequence = " ".join(row_labels(run, demo.cache))
    result = f"{outcome(run, demo)}."
    if run.config.model.n_embd != 2:
        return (
            f"The sequence `{sequence}` in the model of step {step:,}. What comes of it: {result} A "
            "landscape of probabilities needs a stream of two dimensions, so this model has none; the lines "
            "give each next token's probability where the rule says what comes next, or its highest where "
            "the rule says nothing. An answer is a token that the rule allows there; a model that follows "
            "the rule gives most of the probability to answers."
        )
    values = (
        "The top row holds the values `v`" if values_in_stream(run, step)
        else "The values `v` do not lie in this plane and are left out"
    )
    return (
        f"The sequence `{sequence}`, one column a next token; behind the points is the probability that the "
        f"model gives to that token if the stream after attention lies there. {values}; the arrows lead from "
        "`embed` to `resid_mid`, green where the prediction follows the rule, red where not, grey where the "
        "rule says nothing; the last row keeps `resid_mid`, all that feed-forward layer and LM head read. A "
        "frame marks answers: their positions should end in the bright part of it. "
        f"{moved(demo)} Result: {result}"
    )
