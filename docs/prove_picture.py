"""Draws the picture of the cases in docs/prove.md:

    python docs/prove_picture.py runs/plus_last_even_robust docs/prove_cases.png
"""

import sys

import matplotlib
import numpy as np

from scratchformer.analysis.bounds import project, supremum, weigh
from scratchformer.analysis.cases import contexts_of
from scratchformer.analysis.lazy_history import as_masks, rule_cases
from scratchformer.analysis.query import make_query
from scratchformer.figures.style import GREY, INK, RC, K, panel, title, token_colors
from scratchformer.run.run import Run

LENGTH, SHOWN = 8, 14                   # of the contexts; the case that is drawn large
DIRECTIONS = 60
PLACES = 300                            # points along each side of the plane


def main(folder, path):
    """Write the picture of a run's last model: all cases of one length, and one of them large."""
    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    model = Run.open(folder).last
    cases = [case for case in rule_cases(model.rule, model.data.vocabulary, LENGTH) if case.answer]
    polygons = [corners_of(model, mask) for mask in as_masks(cases, len(model.vocabulary))]
    with matplotlib.rc_context(RC):
        fig = Figure((9.6, 5.5))
        title(
            fig, f"Each of the {len(cases)} cases lies where the model says what the rule allows",
            f"the plane of resid_mid, {LENGTH} tokens, the last of them +; "
            f"{model.name}, seed {model.config.training.seed}",
        )
        colors = token_colors(model.vocabulary)
        plane = panel(fig, 0.6, 0.5, 4.9, 3.95)
        every = np.concatenate(polygons)
        draw_regions(plane, model, every, colors)
        for corners, case in zip(polygons, cases, strict=True):
            color = colors[case.answer[0]]
            plane.plot(*corners.mean(axis=0), "o", ms=6, mfc=color, mec="white", mew=0.8, zorder=4)
        plane.set_title("a dot a case, coloured by the token allowed")
        large = panel(fig, 6.35, 0.5, 3.05, 3.95)
        draw_case(large, model, cases[SHOWN], polygons[SHOWN], colors)
        plane.annotate(
            "the case at the right", polygons[SHOWN].mean(axis=0), (0.5, 0.03), textcoords="axes fraction",
            ha="center", arrowprops={"arrowstyle": "-", "color": INK, "linewidth": 0.7}, zorder=6,
        )
        fig.savefig(path, dpi=150)


def corners_of(model, members):
    """The polygon of all that resid_mid can be over a case, from its bounds in DIRECTIONS directions."""
    query, _ = make_query(model, *members.shape[:1], int(members[-1].argmax()))
    base = model.grid.embed[members[-1].argmax(), len(members) - 1] * model.use_residual
    weights, heights = np.empty(query.scores.shape), np.empty(query.scores.shape)
    weigh(query.scores[0], members, weights[0])
    context, reach = np.zeros(len(members), np.int64), []
    for angle in np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS:
        direction = np.array([np.cos(angle), np.sin(angle)])
        project(query.values, direction, members, heights)
        most = supremum(weights[0], heights[0], members, 1.0, context)
        reach.append((direction, most + direction @ base))
    return np.array([
        np.linalg.solve([d, e], [r, s]) for (d, r), (e, s) in zip(reach, reach[1:] + reach[:1], strict=True)
    ])


def draw_regions(ax, model, points, colors):
    """Tint the plane around some points by what the model says there, and name the regions at the right."""
    low, high = points.min(axis=0), points.max(axis=0)
    low, high = low - 0.12 * (high - low), high + 0.12 * (high - low)
    x, y = np.linspace(low[0], high[0], PLACES), np.linspace(low[1], high[1], PLACES)
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    says = model.landscape(grid.reshape(-1, 2)).argmax(axis=1).reshape(PLACES, PLACES)
    box = x[0], x[-1], y[0], y[-1]
    ax.imshow(1 - 0.35 * (1 - colors[says]), extent=box, origin="lower", aspect="auto", zorder=0)
    for token in np.unique(says):
        column = (says == token)[:, int(0.8 * PLACES)].nonzero()[0]
        if len(column) > 8:
            place = x[int(0.8 * PLACES)], y[int(column.mean())]
            ax.text(*place, f"says {model.vocabulary[token]}", ha="left", va="center", fontsize=9, zorder=5)
    ax.set(xlabel="resid_mid, dim 0", ylabel="dim 1")


def draw_case(ax, model, case, corners, colors):
    """One case: every context of it as a dot, and the polygon that bounds them."""
    (members,) = as_masks([case], len(model.vocabulary))
    contexts = contexts_of(members)
    contexts = contexts[:: -(-len(contexts) // 20_000)]
    points = model.forward(contexts).resid_mid[:, -1]
    ax.scatter(*points.T, s=4, color=INK, linewidths=0, zorder=3)
    ax.fill(*corners.T, facecolor=(*colors[case.answer[0]], 0.25), edgecolor=K, linewidth=1.4, zorder=2)
    names = {1: lambda ids: model.vocabulary[ids[0]], len(model.vocabulary): lambda ids: "any"}
    sizes = [names.get(len(ids), lambda ids: "not even")(ids) for ids in case.sets]
    ax.set_title(", ".join(sizes), fontsize=7.5)
    ax.text(0.5, 0.02, f"{case_size(case):,} contexts", ha="center", color=GREY, transform=ax.transAxes)
    ax.set_xlabel("dim 0")
    ax.locator_params(nbins=4)
    ax.margins(0.12)


def case_size(case):
    """How many contexts a RuleCase holds."""
    return int(np.prod([len(ids) for ids in case.sets]))


if __name__ == "__main__":
    main(*sys.argv[1:])
