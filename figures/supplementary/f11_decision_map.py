"""The map of decisions: which token is predicted wherever attention may take the stream, exactly."""

import numpy as np

from scratchformer.analysis.answers import single_answers
from scratchformer.analysis.decision_map import answer_landings, areas_by_token, frame_regions
from scratchformer.analysis.followed import at_position
from scratchformer.analysis.scores import focus
from scratchformer.figures.labels import add_labels_beside
from scratchformer.figures.landscapes import explain, probability_table
from scratchformer.figures.marks import legend
from scratchformer.figures.regions import label_regions, landed_entries, region_colors, show_regions
from scratchformer.figures.style import HALO, INK, figure_title, panel
from scratchformer.figures.words import code, dim_names, graded, listed

HEADING = "The map of decisions"
QUESTION = "What is predicted wherever the stream may lie?"
LOOK = "each arrow's end: it should lie in the region of its answer"
SIZE = (10, 9.4)
SIDE = 7.9                              # of the map, in inches


def draw(fig, model):
    """Regions of the top prediction, labelled; arrows from a query to where each of its answers lands."""
    found = answer_landings(model)
    figure_title(fig, model, finding(model, found))
    C = model.config.model.n_embd
    if C != 2:
        draw_table(fig, model)
        return
    ax = panel(fig, 1.05, 0.75, SIDE, SIDE)
    colors = region_colors(model)
    show_regions(ax, model, colors)
    ax.set_xlabel(dim_names(2)[0])
    ax.set_ylabel(dim_names(2)[1])
    draw_arrows(ax, model, found, colors, label_regions(ax, model, 15))
    legend(fig, landed_entries(), handletextpad=0.6)


def finding(model, found):
    """What the figure says, in a sentence."""
    if not found.constrained:
        return "Where the stream lies decides what is predicted"
    share = found.right / found.constrained
    if model.config.model.n_embd != 2:
        return f"Where the rule asks, {graded(share)} top predictions are allowed"
    return f"Attention moves the stream: {graded(share)} answers land in their own region"


def draw_table(fig, model):
    """In place of the map, where there is none: what is predicted on average where each answer is asked."""
    single = single_answers(model)
    answers = np.unique(single[single >= 0])
    if not len(answers):
        explain(fig, model)
        return
    probs = np.array([model.held_out.probs[single == answer].mean(axis=0) for answer in answers])
    probability_table(fig, model, probs, [model.vocabulary[answer] for answer in answers], "answer asked")


def draw_arrows(ax, model, found, colors, names):
    """From the query's embedding to where it lands for each answer; names: the places of the map's."""
    if not found.answers:
        return
    for answer, end in zip(found.answers, found.ends, strict=True):
        ax.annotate("", end, found.start, zorder=4, arrowprops={
            "arrowstyle": "-|>", "color": INK, "linewidth": 0.9, "shrinkA": 4, "shrinkB": 5,
            "mutation_scale": 11,
        })
        mark(ax, end, "o", "white")
    mark(ax, found.start, "D", "white")
    name = at_position(model.vocabulary[found.query], focus(model)[1])
    texts = [f"answer {model.vocabulary[answer]}" for answer in found.answers] + [f"{name} starts here"]
    points = np.vstack([found.ends, found.start])
    add_labels_beside(
        ax, points, texts, [INK] * len(texts), 9, 6, np.concatenate([points, names])
    ).set_path_effects(HALO)


def mark(ax, point, shape, color):
    """A large mark."""
    ax.plot(*point, shape, markersize=8, color=color, markeredgecolor=INK, markeredgewidth=1.2, zorder=5)


def caption(model):
    """What the figure shows, and how the answers do in this run."""
    C = model.config.model.n_embd
    if C != 2:
        return (
            "Which token is predicted depends on the stream after attention. With two dimensions that is a "
            f"map of exact polygons; this model has n_embd = {C}, and a map of two of its dimensions would "
            "not be true of the others. So it is left out, and a table says what is predicted on average "
            "where each answer is asked. What attention adds, and what the LM head makes of it, the figures "
            "of single sequences show for any number of dimensions, and the figures of causal evidence say "
            "which parts of it the answers need."
        )
    found = answer_landings(model)
    regions = frame_regions(model)
    areas = areas_by_token(regions, len(model.vocabulary))
    owners = [
        f"{code(model.vocabulary[token])} {areas[token] / areas.sum():.1%}"
        for token in np.argsort(-areas, kind="stable")[:3]
    ]
    landed = (
        f"{found.right:,} of {found.constrained:,} constrained held-out positions land where the top "
        "prediction is allowed. " if found.constrained
        else "The rule constrains no position of the held-out windows. "
    )
    return (
        "From the stream after attention on, the model is piecewise linear, so its decisions are "
        f"{len(regions):,} polygons, computed and not sampled: cut along the creases of the hidden units and "
        f"then where two logits tie. The largest shares of the area shown are {listed(owners)}. The arrows "
        f"start where {code(model.vocabulary[found.query])} is embedded and end at the mean landing for each "
        f"answer. {landed}Pale parts are where no held-out window lands: what the model would say there, "
        "training never tested. How the creases bend the plane so that straight cuts do is the business of "
        "the feed-forward layer."
    )
