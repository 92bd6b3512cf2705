"""What the films' scenes are made of: planes whose limits hold over training, points that move on them.

The limits of a plane hold 99% of all points of all snapshots along each axis, and every point of the
last snapshot; so a few early outliers do not shrink the rest, and may leave the picture for a while.
"""

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.transforms import Transform

from scratchformer.analysis.families import families_of
from scratchformer.figures.labels import add_labels, label_widths, labelled_position, outline_beside
from scratchformer.figures.planes import close_groups
from scratchformer.figures.style import (
    HALO, HELD_OUT, INK, MARKERS, WRONG, panel, principal_plane, set_plane, title,
)

STRIP = 1.1                             # height of the learning curve under a film, in inches
STAYS = "axes stay as they are: they hold 99% of all points over training, and all of the last snapshot"


def over_training(*arrays):
    """Vectors of all snapshots on the plane that the last snapshot's define.

    arrays: each (S, ..., C) -> [(S, N, 2), ...], axis titles
    """
    C = arrays[0].shape[-1]
    flat = [array.reshape(len(array), -1, C) for array in arrays]
    project, names = principal_plane(np.concatenate([vectors[-1] for vectors in flat]))
    return [project(vectors) for vectors in flat], names


def held_box(*groups):
    """The corners (2, 2) of the box that films hold to: see above. groups: each (S, N, 2)"""
    points = np.concatenate([group.reshape(-1, 2) for group in groups])
    last = np.concatenate([group[-1] for group in groups])
    low, high = np.percentile(points, (0.5, 99.5), axis=0)
    return np.array([np.minimum(low, last.min(axis=0)), np.maximum(high, last.max(axis=0))])


def hold_plane(ax, names, *groups):
    """Limits of axes for groups of points over training."""
    set_plane(ax, held_box(*groups), names, margin=0.05)


class WholePixels(Transform):
    """Rounds to every other pixel: what moves by less stays as it was, which films need not store."""

    input_dims = output_dims = 2

    def transform_non_affine(self, values):
        return 2 * np.round(values / 2)


def steady(artist):
    """The artist, its offsets drawn at whole pixels."""
    artist.set_offset_transform(artist.get_offset_transform() + WholePixels())
    return artist


class Points:
    """Points of a plane that move: a marker each, by family, and labels beside some.

    ax: the plane; tokens: (N,) texts that give the markers; colors: (N, 3); labels: {index of a point: text},
    to the right of it or, with side -1, to the left.
    Labels of a family whose points meet become one, such as 1,3,5.
    """

    def __init__(self, ax, tokens, colors, labels, marker=3.5, size=9, side=1):
        self.ax, self.colors, self.labels, self.side, self.size = ax, colors, labels, side, size
        self.families = families_of(tokens)
        self.markers = []
        for name, shape in MARKERS.items():
            chosen = np.flatnonzero(self.families == name)
            if len(chosen):
                self.markers.append((chosen, steady(ax.scatter(
                    chosen, chosen, s=marker**2, marker=shape, c=colors[chosen], linewidths=0, zorder=3
                ))))
        self.labelled = np.array(list(labels))
        self.texts = steady(add_labels(
            ax, np.zeros((len(labels), 2)), labels.values(), colors[self.labelled], size,
            shift=(0.7 * side * marker, 0.3 * size + marker / 2),
        ))
        self.texts.set_path_effects(HALO)
        self.artists = [*(artist for _, artist in self.markers), self.texts]

    def move(self, points):
        """Put the points, (N, 2), in their places."""
        for chosen, artist in self.markers:
            artist.set_offsets(points[chosen])
        across = points[self.labelled, 0]
        groups = close_groups(self.ax, points[self.labelled], self.families[self.labelled], within=6)
        texts = [shorten([self.labels[i] for i in self.labelled[group]]) for group in groups]
        firsts = self.labelled[[group[(self.side * across[group]).argmax()] for group in groups]]
        sides = self.sides(points[firsts], texts)
        kept = self.apart(points[firsts], texts, sides)
        texts, sides, firsts = [texts[i] for i in kept], [sides[i] for i in kept], firsts[kept]
        self.texts.texts = texts
        self.texts.set_paths([outline_beside(*pair) for pair in zip(texts, sides, strict=True)])
        self.texts.set_offsets(points[firsts])
        self.texts.set_facecolors(self.colors[firsts])

    def sides(self, points, texts):
        """Where each text goes: to its usual side unless it would leave the axes there."""
        room = 72 / self.ax.figure.dpi
        x = self.ax.transData.transform(points)[:, 0] * room
        widths = self.side * (label_widths(texts, self.size) + 4)
        inside = (x + widths > self.ax.bbox.x0 * room) & (x + widths < self.ax.bbox.x1 * room)
        return np.where(inside, self.side, -self.side).tolist()

    def apart(self, points, texts, sides):
        """Indices of the labels that are shown: each that covers none before it."""
        x, y = self.ax.transData.transform(points).T * 72 / self.ax.figure.dpi
        widths = np.array(label_widths(texts, self.size))
        middles = x + np.array(sides) * (widths / 2 + 3)
        kept = []
        for i in range(len(texts)):
            beside = np.abs(middles[i] - middles[kept]) >= (widths[i] + widths[kept]) / 2
            if (beside | (np.abs(y[i] - y[kept]) >= self.size)).all():
                kept.append(i)
        return kept


def shorten(names):
    """Names in a row: all up to six, else the first two and the last."""
    return ",".join(names if len(names) <= 6 else [*names[:2], "…", names[-1]])


class Threads:
    """A line through the positions of each token, in order. colors: one a token"""

    def __init__(self, ax, count, colors):
        self.lines = LineCollection([], colors=colors, linewidths=0.6, alpha=0.5, zorder=1)
        ax.add_collection(self.lines, autolim=False)
        self.count = count
        self.artists = [self.lines]

    def move(self, points):
        """points: (V*T, 2), position fastest"""
        self.lines.set_segments(points.reshape(self.count, -1, 2))


def pairs(ax, vocabulary, T, color, side=1):
    """What moves for every token at every position in one colour: threads, and points, each token's last
    labelled."""
    count = len(vocabulary)
    colors = np.tile(to_rgb(color), (count * T, 1))
    marks = Points(ax, np.repeat(vocabulary, T), colors, one_position(vocabulary, T), side=side)
    return Threads(ax, count, [color]), marks


def moving(pairs):
    """A scene of what only moves, (artists, update): pairs of a thing and its points over training."""
    def update(i):
        for thing, points in pairs:
            thing.move(points[i])

    return [artist for thing, _ in pairs for artist in thing.artists], update


def one_position(vocabulary, T):
    """Labels of every token at the labelled position, by index among all tokens at all positions."""
    return {i * T + labelled_position(T): token for i, token in enumerate(vocabulary)}


def learning_strip(fig, snapshots):
    """A scene: loss and rule error over training, with markers at the snapshot, and its numbers."""
    width, _ = fig.get_size_inches()
    steps = np.array(snapshots.steps)
    ax = panel(fig, 3.1, 0.36, width - 4.1, STRIP - 0.48)
    errors = ax.twinx()
    curves = (
        (ax, snapshots.loss, HELD_OUT, "-", "o", "loss"),
        (errors, 100 * snapshots.rule_error, WRONG, "--", "s", "rule error"),
    )
    dots = []
    for axes, values, color, dashes, shape, name in curves:
        axes.plot(steps, values, color=color, linestyle=dashes, linewidth=1)
        dots += axes.plot([], [], linestyle="", marker=shape, color=color, markersize=6, zorder=5)
        low, high = values.min(), values.max()
        edge = 0.12 * ((high - low) or 1)
        axes.set_ylim(low - edge, high + edge)
        axes.locator_params(axis="y", nbins=3)
        axes.tick_params(labelsize=7.5, colors=color, length=2)
    errors.yaxis.set_major_formatter("{x:.0f}%")
    errors.spines["right"].set_visible(True)
    ax.set_xlim(steps[0] - 0.01 * max(steps[-1], 1), steps[-1] + 0.01 * max(steps[-1], 1))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.tick_params(axis="x", labelsize=7.5, length=2, colors=INK)
    even = len(set(np.diff(steps).tolist())) <= 1
    ax.text(0.6, 0.72, "" if even else "more frames where more changes", transform=ax.transAxes, fontsize=8)
    ax.text(-0.012, -0.32, "step", transform=ax.transAxes, fontsize=8, ha="right")
    y = STRIP - 0.3
    texts = []
    for row, (color, size) in enumerate(((INK, 12), (HELD_OUT, 9.5), (WRONG, 9.5))):
        texts.append(fig.text(0.25 / width, (y - 0.29 * row) / STRIP, "", fontsize=size, color=color))
    fig.add_artist(Line2D([0.02, 0.98], [0.995, 0.995], color="#dddddd", linewidth=0.8))

    def update(i):
        for dot, (_, values, *_) in zip(dots, curves, strict=True):
            dot.set_data([steps[i]], [values[i]])
        texts[0].set_text(f"step {steps[i]:,}")
        texts[1].set_text(f"● held-out loss {snapshots.loss[i]:.3f}")
        texts[2].set_text(f"■ rule error {snapshots.rule_error[i]:.1%}")

    return [*dots, *texts], update


def title_film(fig, snapshots, text, detail):
    """The film's title, the same over all frames."""
    title(fig, f"{text} of {snapshots.run.config.name} in training", f"{detail}\n{STAYS}")
