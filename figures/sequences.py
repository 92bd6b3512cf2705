"""What the figures that follow sequences share: rows of panels, matrices by token, planes, verdicts."""

import numpy as np
from matplotlib.lines import Line2D

from scratchformer.figures.labels import at_position
from scratchformer.figures.style import (
    GREY, INK, PALE, PROBABILITY, SIGNED, inches, panel, plane_of, set_plane, ticks, write_cells,
)
from scratchformer.run.data import allowed_next
from scratchformer.run.judge import lands_right

ROWS = (6.95, 3.82, 0.69)               # lower edges of the rows of panels
TALL = 2.15                             # their height
MARKS = {-1: "", 0: "✗", 1: "✓"}


def demo_caches(model):
    """A Cache of one row for each of the run's sequences to follow."""
    return [model.forward(tokens[None]) for tokens in model.demos]


def verdicts(model, cache):
    """Of the first row, whether the likeliest next token follows the rule: (T,) 1, 0, or -1 if it is open."""
    allowed = allowed_next(model.rule, model.data.vocabulary, cache.tokens[:1])
    return np.where(allowed.any(axis=-1), lands_right(cache.logits[:1], allowed), -1)[0]


def row_labels(model, cache):
    """Tokens of the first row as text."""
    return [model.vocabulary[token] for token in cache.tokens[0]]


def header(fig, bottom, model, cache, state):
    """The sequence, and what the model predicts where the rule constrains it, above a row of panels."""
    labels = row_labels(model, cache)
    where = np.flatnonzero(state >= 0)
    best = cache.logits[0].argmax(axis=-1)
    if not len(where):
        detail = "the rule constrains no position"
    elif len(where) > 6:
        detail = f"{(state == 1).sum()} of {len(where)} predictions at constrained positions right"
    else:
        detail = "predicted at constrained positions:  " + ",  ".join(
            f"{at_position(labels[t], t)} → {model.vocabulary[best[t]]} {MARKS[int(state[t])]}" for t in where
        )
    width, height = fig.get_size_inches()
    y = (bottom + TALL + 0.36) / height
    sequence = " ".join(labels[:24]) + (" …" if len(labels) > 24 else "")
    fig.text(0.25 / width, y, sequence, fontsize=11, fontweight="bold")
    fig.text((width - 0.25) / width, y, detail, fontsize=9.5, ha="right")


def vector_map(ax, values, labels, limit, name):
    """One vector a position as rows of cells, with their numbers where they fit."""
    image = ax.imshow(values, cmap=SIGNED, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    C = values.shape[1]
    if labels:
        ticks(ax.yaxis, labels, inches(ax)[1])
    else:
        ax.set_yticks([])
    ticks(ax.xaxis, [f"dim {c}" for c in range(C)] if C <= 2 else [str(c) for c in range(C)], inches(ax)[0])
    plain(ax, name)
    write_cells(ax, values, limit)
    return image


def square_map(ax, values, labels, name, colors, low, high):
    """Query positions down, key positions across."""
    image = ax.imshow(values, cmap=colors, vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    ticks(ax.yaxis, labels, inches(ax)[1])
    ticks(ax.xaxis, labels, inches(ax)[0])
    plain(ax, name)
    ax.set_xlabel("key: reads from", labelpad=2)
    ax.set_ylabel("query", labelpad=2)
    return image


def attention_map(fig, left, bottom, cache, labels):
    """The first head's attention; the future is blank."""
    ax = panel(fig, left, bottom, 1.5, TALL)
    return square_map(ax, causal(cache.attention[0, 0]), labels, "attention", PROBABILITY, 0, 1)


def causal(matrix):
    """A matrix of queries by keys without the keys that lie in a query's future: (T, T) masked."""
    return np.ma.masked_array(matrix, np.triu(np.ones(matrix.shape, bool), 1))


def plain(ax, name):
    """A heat map's axes: a title, no frame, no tick marks."""
    ax.set_title(name)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def bar(fig, image, label):
    """A colour bar to the right of an image."""
    left, bottom, width, height = image.axes.get_position().bounds
    gap = 0.08 / fig.get_size_inches()[0]
    colors = fig.colorbar(image, cax=fig.add_axes((left + width + gap, bottom, gap, height)))
    colors.set_label(label, labelpad=2)
    colors.outline.set_visible(False)
    colors.ax.tick_params(length=2, labelsize=7.5, pad=2)
    colors.locator.set_params(nbins=5)
    colors.update_ticks()


def largest(arrays):
    """The largest magnitude in any of the arrays; 1 where all is zero."""
    return max(float(np.abs(array).max()) for array in arrays) or 1.0


def flat(vectors):
    """(..., C) -> (N, C)."""
    return vectors.reshape(-1, vectors.shape[-1])


def common_plane(groups):
    """Groups of points, each (N, C), on one plane: [(N, 2), ...] and short axis titles."""
    points, names = plane_of(np.concatenate(groups))
    names = [name.replace("principal", "princ.").replace("of variance", "of var.") for name in names]
    return np.split(points, np.cumsum([len(group) for group in groups])[:-1]), names


def show_plane(ax, points, names):
    """Limits that show all points and leave room for labels; few ticks."""
    set_plane(ax, points, names, margin=0.13)
    ax.locator_params(axis="x", nbins=4)
    if names[1]:
        ax.locator_params(axis="y", nbins=4)


def backdrop(ax, points):
    """Points for comparison, in grey."""
    ax.scatter(*points.T, s=6, c="#c8c8c8", linewidths=0, zorder=1)


def rings(ax, points):
    """Ring points."""
    if len(points):
        ax.scatter(*points.T, s=70, facecolors="none", edgecolors=INK, linewidths=0.9, zorder=4)


def marker(shape, color, label):
    """An entry of a legend."""
    edge = GREY if color == PALE else color
    return Line2D(
        [], [], linestyle="", marker=shape, color=color, markeredgecolor=edge, markersize=6, label=label
    )


def legend(fig, handles):
    """What colours and shapes mean, below the panels."""
    fig.legend(
        handles=handles, loc="center", bbox_to_anchor=(0.5, 0.16 / fig.get_size_inches()[1]),
        ncols=len(handles), handletextpad=0.3, columnspacing=1.6,
    )
