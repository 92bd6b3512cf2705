"""What the figures that follow sequences share: a sequence a row, its matrices by position, its planes."""

import numpy as np
from matplotlib.collections import PolyCollection

from scratchformer.figures.labels import add_labels_beside
from scratchformer.figures.marks import along, arrows, halo_labels, marker
from scratchformer.figures.style import (
    ANSWER, INK, LINES, MARKS, PROBABILITY, SIGNED, color_bar, inches, panel, plane_of, set_plane,
    show_matrix, ticks, write_cells,
)
from scratchformer.figures.words import dim_names, number

ROWS = (6.95, 3.82, 0.69)               # lower edges of the rows of panels
TALL = 2.15                             # their height


def rows_of(fig, model, demos, bottoms=ROWS):
    """For each row of panels, (row, lower edge, Followed of demos); its header is drawn."""
    for row, (bottom, demo) in enumerate(zip(bottoms, demos, strict=False)):
        header(fig, bottom, model, demo)
        yield row, bottom, demo


def header(fig, bottom, model, demo):
    """The sequence, and what the model predicts where the rule constrains it, above a row of panels."""
    best = demo.cache.logits[0].argmax(axis=-1)
    if not len(demo.where):
        detail = "the rule constrains no position"
    elif len(demo.where) > 6:
        detail = f"{(demo.state == 1).sum()} of {len(demo.where)} predictions at constrained positions right"
    else:
        detail = "predicted at constrained positions:  " + ",  ".join(
            f"{demo.labels[t]} → {model.vocabulary[best[t]]} {MARKS[int(demo.state[t])]}"
            + asked(model, demo, t) for t in demo.where
        )
    width, height = fig.get_size_inches()
    y = (bottom + TALL + 0.36) / height
    fig.text(0.25 / width, y, written(demo.words), fontsize=11, fontweight="bold")
    fig.text((width - 0.25) / width, y, detail, fontsize=9.5, ha="right")


def asked(model, demo, t):
    """What the rule asks for at a position where the model is wrong, if that is one token."""
    answers = np.flatnonzero(demo.allowed[t])
    return f" (asked: {model.vocabulary[answers[0]]})" if demo.state[t] == 0 and len(answers) == 1 else ""


def written(words):
    """A sequence in a line, its end left out if it is long."""
    return " ".join(words[:24]) + (" …" if len(words) > 24 else "")


def marked(demo):
    """The labels of a Followed, with ✓ or ✗ where the rule says what comes next."""
    return [label + MARKS[int(s)] for label, s in zip(demo.labels, demo.state, strict=True)]


def vector_map(ax, values, labels, limit, name, bar=""):
    """One vector a position as rows of cells, with numbers where they fit; bar: its colour bar's label."""
    image = show_matrix(ax, values, SIGNED, -limit, limit)
    ax.set_title(name)
    if labels:
        ticks(ax.yaxis, labels, inches(ax)[1])
    else:
        ax.set_yticks([])
    ticks(ax.xaxis, dim_names(values.shape[1]), inches(ax)[0])
    write_cells(ax, values, limit)
    if bar:
        color_bar(image, bar)
    return image


def square_map(ax, values, labels, name, colors, low, high, bar=""):
    """Query positions down, key positions across; the future is left out: values (T, T)."""
    image = show_matrix(ax, causal(values), colors, low, high)
    ax.set_title(name)
    ticks(ax.yaxis, labels, inches(ax)[1])
    ticks(ax.xaxis, labels, inches(ax)[0])
    ax.set_xlabel("key: reads from", labelpad=2)
    ax.set_ylabel("query", labelpad=2)
    if bar:
        color_bar(image, bar, (0.38, 0.08))
    return image


def attention_map(fig, left, bottom, demo, bar):
    """The first head's attention."""
    ax = panel(fig, left, bottom, 1.5, TALL)
    attention = demo.cache.attention[0, 0]
    square_map(ax, attention, demo.words, "attention", PROBABILITY, 0, 1, bar)
    mark_rows(ax, demo, attention)


def mark_rows(ax, demo, values=None, form=".0%"):
    """Frame the rows where the rule speaks and veil the others; values (T, T): beside each row what falls to
    the keys that hold an answer, the sum of shares or the highest score, and nothing where no key does.

    Nothing is marked where the rule says nothing at all.
    """
    where, T = demo.where, len(demo.words)
    if not len(where):
        return
    rows = []
    for t in range(T):
        end = ax.get_xlim()[1] if values is None else t + 0.5
        rows.append([(-0.5, t - 0.5), (end, t - 0.5), (end, t + 0.5), (-0.5, t + 0.5)])
    veils = [row for t, row in enumerate(rows) if t not in where]
    ax.add_collection(PolyCollection(veils, facecolors="white", alpha=0.5, linewidths=0, zorder=2.5))
    ax.add_collection(PolyCollection(
        [rows[t] for t in where], facecolors="none", edgecolors=INK, linewidths=1.3, zorder=4, clip_on=False,
    ))
    for t in where if values is not None and 72 * inches(ax)[1] / T > 8 else ():
        answers = demo.allowed[t, demo.cache.tokens[0, : t + 1]]
        if answers.any():
            found = values[t, : t + 1][answers]
            ax.annotate(
                number(found.sum() if form.endswith("%") else found.max(), form), (t + 0.5, t), (3, 0),
                textcoords="offset points", va="center", fontsize=8, fontweight="bold",
            )


def framed_row(beside):
    """An entry of a legend: what `mark_rows` marks, and what stands beside it."""
    text = f"framed row: so too, others pale; beside it, {beside}"
    return marker("s", "none", text, markeredgecolor=INK, markersize=8)


def named(demo):
    """Which positions are labelled on the map: the constrained ones, or all if there are none."""
    return demo.where if len(demo.where) else np.arange(len(demo.labels))


def draw_moves(ax, start, end, demo, names_at):
    """From where each position was to where attention puts it; colours and marks say what comes of it.

    names_at: where the regions' names stand
    """
    colors, order = [LINES[int(s)] for s in demo.state], np.argsort(demo.state, kind="stable")
    arrows(
        ax, start[order], end[order], [colors[t] for t in order], (3.5, 4, 3.6), units="dots",
        width=1.4 * ax.figure.dpi / 72, zorder=3,
    )
    clear = np.concatenate([along(start, end), names_at])
    beside(ax, end, demo, marked(demo), colors, clear)


def beside(ax, points, demo, texts, colors, clear):
    """Labels of the positions that the map names, on white rims, clear of points, (N, 2)."""
    chosen = named(demo)
    add_labels_beside(
        ax, points[chosen], [texts[t] for t in chosen], [colors[t] for t in chosen], 8, 2.5, clear
    )
    halo_labels(ax)


def mark_tokens(ax, demo):
    """Frame the tokens that the rule allows next, and put a dot on the likeliest."""
    allowed = np.argwhere(demo.allowed)
    corners = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
    frames = allowed[:, None, ::-1] + corners                                   # (N, 4, 2)
    ax.add_collection(PolyCollection(frames, facecolors="none", edgecolors=ANSWER, linewidths=2, zorder=3))
    best = demo.cache.logits[0].argmax(axis=-1)
    ax.scatter(best, np.arange(len(best)), s=20, c="white", edgecolors=INK, linewidths=1, zorder=4)


def causal(matrix):
    """A matrix of queries by keys without the keys that lie in a query's future: (T, T) masked."""
    return np.ma.masked_array(matrix, np.triu(np.ones(matrix.shape, bool), 1))


def largest(arrays):
    """The largest magnitude in any of the arrays; 1 where all is zero."""
    return max(float(np.abs(array).max()) for array in arrays) or 1.0


def common_plane(groups):
    """Groups of points, each (N, C), on one plane: [(N, 2), ...] and short axis titles."""
    points, names = plane_of(np.concatenate(groups))
    names = [name.replace("principal", "princ.").replace("of variance", "of var.") for name in names]
    return np.split(points, np.cumsum([len(group) for group in groups])[:-1]), names


def show_plane(ax, points, names, margin=0.13):
    """Limits that show all points and leave room for labels, a margin in the panel's sides; few ticks."""
    set_plane(ax, points, names, margin)
    ax.locator_params(axis="x", nbins=4)
    if names[1]:
        ax.locator_params(axis="y", nbins=4)


def label_points(ax, points, texts, colors, size, marker, others=None, boxes=None):
    """Labels with a white rim beside points, (N, 2), clear of them or of others: see add_labels_beside."""
    add_labels_beside(ax, points, texts, colors, size, marker, points if others is None else others, boxes)
    halo_labels(ax)
