"""Which components the answers need: each knocked out in turn, and what comes of the rule error."""

import numpy as np

from scratchformer.analysis.knock_outs import VALUES, ablated_error, knock_outs
from scratchformer.engine.names import TABLE
from scratchformer.figures.marks import legend
from scratchformer.figures.style import GREY, HELD_OUT, INK, figure_title, panel
from scratchformer.figures.words import code, counted, minus, sentence

HEADING = "Knocked out"
QUESTION = "Which components do the answers need?"
LOOK = "the dark bars on the left, beside the dashed line"
SIZE = (11, 6)
MEANINGS = {
    "pos_embed": "where the token is (mean: of all positions)",
    "skip_attention": "the residual route around attention",
    "skip_ffn": "the residual route around the feed-forward layer",
}
BARS = {"0": (INK, "set to zero"), "mean": (GREY, "set to its mean over the windows, at each position")}
BAR = 0.36


def draw(fig, model):
    """One row a component: two bars of rule errors, and two of what the right answers lose."""
    results = knock_outs(model)
    figure_title(fig, model, finding(results))
    if not any_result(results).constrained:
        return
    names = list(dict.fromkeys(name for name, _ in results))
    left = panel(fig, 3.75, 0.75, 3.3, 4.1)
    right = panel(fig, 7.45, 0.75, 3.3, 4.1)
    for i, value in enumerate(VALUES):
        chosen = [results[name, value] for name in names]
        y = np.arange(len(names)) + (i - 0.5) * BAR
        bars(left, y, [ablated_error(result) for result in chosen], value, "{:.1%}")
        bars(right, y, [result.log_prob for result in chosen], value, "{:+.2f}")
    before = ablated_error(any_result(results), before=True)
    left.axvline(before, color=HELD_OUT, linestyle="--", linewidth=1.2, zorder=4)
    left.set(title=f"rule error (dashed: nothing knocked out, {before:.1%})", xlim=(0, 1.22))
    left.set_xticks(np.linspace(0, 1, 5), [f"{share:.0%}" for share in np.linspace(0, 1, 5)])
    left.set_yticks(range(len(names)), [f"{name}\n{meaning(name)}" for name in names], linespacing=1.3)
    low = min(0.0, *(result.log_prob for result in results.values()))
    high = max(0.0, *(result.log_prob for result in results.values()))
    room = 0.22 * (high - low or 1)
    limits = (low - room * (low < 0), high + room * (high > 0 or low == 0))
    right.set(title="mean change of log P(right answer), nats", xlim=limits, yticks=[])
    for ax in (left, right):
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.axvline(0, color=GREY, linewidth=0.7)
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
    legend(fig, left.containers, 0.2, handletextpad=None, columnspacing=None)


def bars(ax, y, lengths, value, form):
    """One bar a component, its number at the end."""
    color, label = BARS[value]
    ax.barh(y, lengths, BAR, color=color, label=label)
    for place, length in zip(y, lengths, strict=True):
        ax.annotate(
            minus(form.format(length)), (length, place), (3 if length >= 0 else -3, 0),
            textcoords="offset points", ha="left" if length >= 0 else "right", va="center", fontsize=7.5,
            zorder=5, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )


def any_result(results):
    """One Ablation: what it says of the untouched model, all say."""
    return next(iter(results.values()))


def meaning(name):
    """What a component is."""
    return MEANINGS[name] if name in MEANINGS else TABLE[name].meaning.partition(";")[0]


def finding(results):
    """The most and the least needed component, in words."""
    first = any_result(results)
    if not first.constrained:
        return "No answer to judge: the rule constrains nothing here"
    errors = {name: ablated_error(result) for (name, value), result in results.items() if value == "0"}
    most, least = max(errors, key=errors.get), min(errors, key=errors.get)
    if errors[most] == errors[least]:
        return f"Without any one component, {errors[most]:.1%} of answers are wrong"
    return f"Without {most}, {errors[most]:.1%} of answers are wrong; without {least}, {errors[least]:.1%}"


def detail(model, results):
    """What was measured, in words."""
    first = any_result(results)
    if not first.constrained:
        return f"the rule constrains no position of the {counted(first.windows, 'held-out window')} tried"
    routes = "" if model.use_residual else "; no residual connections, so no routes around"
    return (
        f"each component overwritten in turn, everywhere in {counted(first.windows, 'held-out window')} "
        f"with {counted(first.constrained, 'constrained position')}{routes}"
    )


def caption(model):
    """What the figure shows, and what this run's answers need."""
    results = knock_outs(model)
    first = any_result(results)
    if not first.constrained:
        return (
            f"{sentence(detail(model, results))} So there is no answer that a component could be needed for."
        )
    errors = {key: ablated_error(result) for key, result in results.items()}
    gap, name = max((errors[name, "0"] - errors[name, "mean"], name) for name, _ in errors)
    milder = (
        f"The two differ most for {code(name)}: {errors[name, '0']:.1%} wrong with zero, "
        f"{errors[name, 'mean']:.1%} with the mean. " if gap > 0 else ""
    )
    return (
        f"{sentence(detail(model, results))} "
        "Each row is a component: on the left the rule error that is left, "
        "on the right what the right answers lose in log probability. Dark bars put in zero, pale ones the "
        "mean over the windows at each position, which keeps the component's size and takes away what it "
        f"says of the window. A bar no longer than the dashed line marks what the answers do not need. "
        f"Untouched, the model gets {first.wrong_before:,} of {first.constrained:,} answers wrong. "
        f"{finding(results)}. {milder}"
        "How the answer travels through these components is figure 02's question."
    )
