"""Attention in three sequences: what each position looks for, what it offers, and who reads from whom."""

import numpy as np
from matplotlib.lines import Line2D

from figures.labels import add_labels_beside, at_position
from figures.style import (
    GREY, INK, PALE, PROBABILITY, SIGNED, K, Q, inches, panel, plane_of, set_plane, ticks, title, write_cells,
)
from scratchformer.data import allowed_next

SIZE = (12, 10.4)
ROWS = (6.95, 3.82, 0.69)               # lower edges of the rows of panels
TALL = 2.15                             # their height
MARKS = {-1: "", 0: "✗", 1: "✓"}


def draw(fig, run, step):
    """One row a sequence: queries, keys, both on one plane, scores, attention."""
    caches = demo_caches(run, step)
    H = run.config.model.num_heads
    head = f", head 1 of {H}" if H > 1 else ""
    title(
        fig, f"Queries, keys and attention of {run.config.name} at step {step:,}{head}",
        answer_share(run, step),
    )
    grid = run.grid(step)
    background = np.concatenate([flat(grid.q[:, 0]), flat(grid.k[:, 0])])
    vectors = [part[0, 0] for cache in caches for part in (cache.q, cache.k)]
    (back, *points), names = common_plane([background, *vectors])
    limit = largest([part for cache in caches for part in (cache.q[0, 0], cache.k[0, 0])])
    scores = [causal(cache.scores[0, 0]) for cache in caches]
    high = largest(scores)
    for row, (bottom, cache) in enumerate(zip(ROWS, caches, strict=False)):
        labels, state = row_labels(run, cache), verdicts(run, cache)
        header(fig, bottom, run, cache, state)
        vector_map(panel(fig, 0.6, bottom, 0.9, TALL), cache.q[0, 0], labels, limit, "query q")
        image = vector_map(panel(fig, 1.7, bottom, 0.9, TALL), cache.k[0, 0], [], limit, "key k")
        if not row:
            bar(fig, image, "value, all rows")
        ax = panel(fig, 3.95, bottom, TALL, TALL)
        qk_panel(ax, back, points[2 * row], points[2 * row + 1], names, labels, state)
        image = square_map(
            panel(fig, 6.95, bottom, 1.6, TALL), scores[row], labels, "scores q·k/√D, masked", SIGNED,
            -high, high,
        )
        if not row:
            bar(fig, image, "score, all rows")
        image = attention_map(fig, 9.75, bottom, cache, labels)
        if not row:
            bar(fig, image, "share read, all rows")
    handles = [
        marker("o", Q, "query"), marker("s", K, "key"), marker("o", PALE, "every query and key there is"),
        Line2D([], [], linestyle="", marker="o", color=INK, markerfacecolor="none", markersize=9,
               label="query where the rule says what comes next (✓ model right, ✗ wrong)"),
    ]
    legend(fig, handles)


def demo_caches(run, step):
    """A Cache of one row for each of the run's sequences to follow."""
    return [run.forward(step, tokens[None]) for tokens in run.demos]


def verdicts(run, cache):
    """Of the first row, whether the likeliest next token follows the rule: (T,) 1, 0, or -1 if it is open."""
    allowed = allowed_next(run.rule, run.data.vocabulary, cache.tokens[:1])[0]
    right = allowed[np.arange(len(allowed)), cache.logits[0].argmax(axis=-1)]
    return np.where(allowed.any(axis=-1), right, -1)


def row_labels(run, cache):
    """Tokens of the first row as text."""
    return [run.vocabulary[token] for token in cache.tokens[0]]


def answer_share(run, step):
    """How much the constrained positions read from tokens that the rule allows next, in words."""
    windows = run.data.held_out_windows[:, :-1]
    allowed = allowed_next(run.rule, run.data.vocabulary, windows)
    chosen = allowed.any(axis=-1)
    if not chosen.any():
        return "the rule constrains no position of the held-out windows"
    attention = run.forward(step, windows).attention[:, 0]
    answers = np.take_along_axis(allowed, windows[:, None], axis=-1)        # query position by key position
    share = (attention * answers).sum(axis=-1)[chosen].mean()
    return (
        f"at constrained positions of held-out windows {share:.1%} of attention goes to tokens that "
        f"the rule allows next ({chosen.sum():,} positions)"
    )


def header(fig, bottom, run, cache, state):
    """The sequence, and what the model predicts where the rule constrains it, above a row of panels."""
    labels = row_labels(run, cache)
    where = np.flatnonzero(state >= 0)
    best = cache.logits[0].argmax(axis=-1)
    if not len(where):
        detail = "the rule constrains no position"
    elif len(where) > 6:
        detail = f"{(state == 1).sum()} of {len(where)} predictions at constrained positions right"
    else:
        detail = "predicted at constrained positions:  " + ",  ".join(
            f"{at_position(labels[t], t)} → {run.vocabulary[best[t]]} {MARKS[int(state[t])]}" for t in where
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
    """The first head's attention."""
    ax = panel(fig, left, bottom, 1.5, TALL)
    return square_map(ax, cache.attention[0, 0], labels, "attention", PROBABILITY, 0, 1)


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


def causal(scores):
    """Scores without those of keys that lie in a query's future: (T, T) masked."""
    return np.ma.masked_array(scores, np.triu(np.ones(scores.shape, bool), 1))


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


def qk_panel(ax, back, q, k, names, labels, state):
    """The sequence's queries and keys among all there are, ringed where the rule says what comes next."""
    show_plane(ax, np.concatenate([back, q, k]), names)
    backdrop(ax, back)
    ax.scatter(*q.T, s=14, marker="o", c=Q, linewidths=0, zorder=3)
    ax.scatter(*k.T, s=14, marker="s", c=K, linewidths=0, zorder=3)
    rings(ax, q[state >= 0])
    texts = [at_position(label, t) for t, label in enumerate(labels)]
    marked = [text + MARKS[int(s)] for text, s in zip(texts, state, strict=True)]
    points = np.concatenate([q, k])
    add_labels_beside(ax, points, marked + texts, [Q] * len(q) + [K] * len(k), 7.5, 4, points)
    ax.set_title("queries and keys")


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
