"""The token planes of all seeds, laid on one another, in groups that are alike."""

import numpy as np

from scratchformer.analysis.clusters import THRESHOLD, align_planes
from scratchformer.analysis.families import families_of
from scratchformer.figures.labels import add_labels_beside
from scratchformer.figures.marks import family_legend
from scratchformer.figures.planes import scatter_tokens
from scratchformer.figures.style import INK, MARKERS, PALE, SHADES, WRONG, panel, title, token_colors
from scratchformer.figures.words import counted

WIDTH, BIG, SMALL = 10.0, 2.2, 0.8      # of the figure, of the panel of a group and of a seed, in inches
GROUPS, ACROSS = 8, 4                   # how many groups have a panel, and how many lie side by side at most
SEEDS, IN_ROW = 64, 10                  # the same of seeds
COLORS = ("#1b6ca8", "#b3541e", "#2f7d4f", "#7a3f8f", "#8a6d00", "#a83267", "#3b8686", "#5d5d5d")


def size(count, groups):
    """Width and height of the figure for so many seeds and groups, in inches."""
    rows = len(split(groups)), -(-min(count, SEEDS) // IN_ROW)
    return WIDTH, 1.5 + rows[0] * (BIG + 0.75) + rows[1] * (SMALL + 0.3)


def split(groups):
    """The numbers of the groups that have a panel, in rows of about the same length."""
    shown = np.arange(min(groups, GROUPS))
    return np.array_split(shown, -(-len(shown) // ACROSS))


def draw(fig, sweep, results, solutions):
    """Above, a panel a group: its example with labels, the other members laid on it. Below, all seeds.

    results: those with a plane; solutions: the Solutions of them
    """
    groups, classes, vocabulary, shares = solutions
    count, kinds = len(results), len(groups.members)
    height = fig.get_size_inches()[1]
    title(
        fig, f"{counted(count, 'seed')} of {sweep.config.name} fall into {counted(kinds, 'group')} "
        f"at distance < {THRESHOLD}",
        "Token embeddings, stretched to equal variance in all directions and turned onto an example. "
        "Distance:\nshare of variance that the best affine map of one plane onto the other leaves; tokens "
        f"that the rule\ntreats alike may trade places: {describe_classes(classes, vocabulary)}. reads: "
        "attention of the constrained positions.",
    )
    frames = onto_first([groups.planes[ids[0]] for ids in groups.members], classes)
    bottom = height - 0.7
    for row in split(kinds):
        bottom -= BIG + 0.75
        left = (WIDTH - len(row) * (BIG + 0.2) + 0.2) / 2
        for place, g in enumerate(row):
            ids, color = groups.members[g], COLORS[g]
            ax = panel(fig, left + place * (BIG + 0.2), bottom, BIG, BIG)
            draw_group(ax, groups, ids, frames[g], classes, vocabulary)
            ax.spines[:].set(visible=True, color=color, linewidth=1.4)
            ax.set_title(
                f"group {g + 1}: {counted(len(ids), 'seed')}", color=color, fontweight="bold", fontsize=9.5
            )
            ax.set_xlabel(describe_group(results, ids, shares), fontsize=7.5, linespacing=1.3, labelpad=3)
    bottom -= 0.42
    order = [(g, i) for g, ids in enumerate(groups.members) for i in ids][:SEEDS]
    for place, (g, i) in enumerate(order):
        row, column = divmod(place, IN_ROW)
        ax = panel(fig, 0.3 + column * 0.95, bottom - (row + 1) * (SMALL + 0.3), SMALL, SMALL)
        _, _, turn = align_planes(groups.planes[i], groups.planes[groups.members[g][0]], classes)
        draw_seed(ax, groups.planes[i] @ turn @ frames[g], vocabulary)
        learned, color = results[i].learned, COLORS[g] if g < GROUPS else INK
        ax.spines[:].set(visible=True, color=color, linewidth=1)
        if not learned:
            ax.set_facecolor("#fbe9e7")
        ax.set_title(
            f"{'' if learned else '✗ '}{g + 1} · seed {results[i].seed}", color=color if learned else WRONG,
            fontsize=7.5, pad=2,
        )
    family_legend(fig, vocabulary, WIDTH / 2, 0.16)


def onto_first(planes, classes):
    """For each plane the turn that lays it onto the first: (2, 2) each."""
    return [np.eye(2), *(align_planes(plane, planes[0], classes)[2] for plane in planes[1:])]


def draw_group(ax, groups, ids, frame, classes, vocabulary):
    """The example with labels; of the other members, the token that took each place as a pale dot."""
    points = groups.planes[ids[0]] @ frame
    others = []
    for i in ids[1:]:
        _, order, turn = align_planes(groups.planes[i], groups.planes[ids[0]], classes)
        others.append(groups.planes[i][order] @ turn @ frame)
    square(ax, np.concatenate([points, *others]))
    colors = token_colors(vocabulary)
    families = families_of(vocabulary)
    for name in MARKERS:
        chosen = families == name
        for plane in others:
            ax.scatter(*plane[chosen].T, s=7, color=SHADES[name](0.5), alpha=0.2, linewidths=0)
    scatter_tokens(ax, points, vocabulary, colors, 5)
    add_labels_beside(ax, points, vocabulary, colors, 8.5, 2.5)


def draw_seed(ax, points, vocabulary):
    """One seed's tokens as marks alone."""
    square(ax, points)
    scatter_tokens(ax, points, vocabulary, token_colors(vocabulary), 3.2)


def square(ax, points):
    """Axes without ticks around points, one scale for both."""
    reach = 1.22 * max(np.abs(points).max(), 1e-9)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[])
    for line in (ax.axhline, ax.axvline):
        line(0, color=PALE, linewidth=0.6, zorder=0)


def describe_group(results, ids, shares):
    """The example, how many learned the rule, and what constrained positions attend to, in two lines."""
    learned = sum(results[i].learned for i in ids)
    names = shares[ids[0]]
    means = ", ".join(f"{name} {np.mean([shares[i][name] for i in ids]):.0%}" for name in names)
    return f"example: seed {results[ids[0]].seed}; {learned} of {len(ids)} learned it\nreads {means}"


def describe_classes(classes, vocabulary):
    """The classes of more than one token."""
    texts = ["{" + " ".join(vocabulary[i] for i in ids) + "}" for ids in classes if len(ids) > 1]
    texts = [text if len(text) < 40 else f"{text[:18].rsplit(' ', 1)[0]} ...}}" for text in texts]
    return " ".join(texts[:4]) + (" ..." if len(texts) > 4 else "") or "here none do"
