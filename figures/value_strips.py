"""Panels of several next tokens in a strip: one sequence on the landscape of each."""

import numpy as np
from matplotlib.collections import PatchCollection
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from scratchformer.analysis.decision_map import borders
from scratchformer.analysis.followed import likeliest_at
from scratchformer.figures.landscapes import show_borders, show_landscape
from scratchformer.figures.marks import arrows
from scratchformer.figures.sequences import label_points
from scratchformer.figures.style import ANSWER, LINES, MARKS, inches, token_colors

GAP = 0.08                              # between panels, in inches


def labelled(demo, token):
    """Positions that a panel labels: all if its token is an answer, else constrained ones, three at most."""
    if demo.allowed[:, token].any() and len(demo.labels) <= 12:
        return np.arange(len(demo.labels))
    return np.sort(likeliest_at(demo, token, 3))


def draw_strip(ax, model, demo, row, tokens, probs, box):
    """Panels of several next tokens side by side in one axes: the image of the last.

    The plane of each panel is shifted to the right by a panel and a gap. row: 0 is v, 1 arrows to
    resid_mid, 2 resid_mid
    """
    width = box[1] - box[0]
    pitch = width * (1 + GAP / inches(ax)[1])
    shifts = np.column_stack([np.arange(len(tokens)) * pitch, np.zeros(len(tokens))])
    edges, owners = borders(model, box)
    for shift, token in zip(shifts, tokens, strict=True):
        image = show_landscape(ax, probs[:, :, token], (box[0] + shift[0], box[1] + shift[0], *box[2:]))
        show_borders(ax, edges[owners == token] + shift)
    ax.set(xlim=(box[0], box[1] + shifts[-1, 0]), ylim=box[2:])
    ax.spines[:].set_visible(False)
    ax.add_collection(PatchCollection(
        [
            Rectangle((box[0] + x, box[2]), width, width)
            for (x, _), token in zip(shifts, tokens, strict=True) if demo.allowed[:, token].any()
        ],
        facecolors="none", edgecolors=ANSWER, linewidths=2.5, clip_on=False, zorder=2,
    ), autolim=False)
    mark_positions(ax, model, demo, row, tokens, shifts, box)
    return image


def mark_positions(ax, model, demo, row, tokens, shifts, box):
    """The sequence in each of a strip's panels, some of it labelled."""
    cache, state = demo.cache, demo.state
    colors = token_colors(model.vocabulary)[cache.tokens[0]]
    points = cache.resid_mid[0] if row else cache.v[0, 0]
    everywhere = repeat(points, shifts)
    if row == 1:
        starts = repeat(cache.embed[0], shifts)
        moves(ax, starts, everywhere, np.tile(state, len(tokens)))
        keep_clear = np.concatenate([starts, everywhere])
    else:
        judged = (state >= 0) & (row == 2)
        edges = [LINES[int(s)] if of else "white" for s, of in zip(state, judged, strict=True)]
        ax.scatter(
            *everywhere.T, s=20, c=np.tile(colors, (len(tokens), 1)), edgecolors=edges * len(tokens),
            linewidths=np.tile(np.where(judged, 1.7, 0.5), len(tokens)), zorder=3,
            path_effects=[withStroke(linewidth=2.4, foreground="white")],
        )
        keep_clear = everywhere
    chosen = [(i, t) for i, token in enumerate(tokens) for t in labelled(demo, token)]
    if chosen:
        panels, positions = np.array(chosen).T
        texts = [demo.labels[t] + (mark(demo, t, tokens[i]) if row else "") for i, t in chosen]
        pink = [demo.allowed[t, tokens[i]] for i, t in chosen]
        boxes = np.array([(box[0], box[2], box[1], box[3])]) + np.tile(shifts, 2)[panels]
        label_points(
            ax, points[positions] + shifts[panels], texts,
            [ANSWER if of else color for of, color in zip(pink, colors[positions], strict=True)],
            9, 2.6, keep_clear, boxes,
        )


def repeat(points, shifts):
    """The same points in each panel of a strip: (T, 2) and (N, 2) -> (N * T, 2)."""
    return (shifts[:, None] + points).reshape(-1, 2)


def mark(demo, position, token):
    """✓ or ✗ in the column of the token predicted where the rule says what comes next; else nothing."""
    predicted = demo.cache.logits[0, position].argmax()
    return MARKS[int(demo.state[position])] if token == predicted else ""


def moves(ax, start, end, state):
    """From where each position was to where attention puts it; the colour says what comes of it."""
    order = np.argsort(state, kind="stable")                # the judged ones in front
    colors, rim = [LINES[int(s)] for s in state[order]], withStroke(linewidth=1.6, foreground="white")
    arrows(
        ax, start[order], end[order], colors, (3.6, 4, 3.6), units="dots", width=1.7 * ax.figure.dpi / 72,
        zorder=3, path_effects=[rim],
    )
