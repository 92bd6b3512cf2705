"""When the answer is there: the prediction read off the residual stream at three stages."""

import numpy as np

from scratchformer.analysis.logits import STAGES, lens_errors, lens_predictions
from scratchformer.figures.cells import verdict_cells
from scratchformer.figures.labels import add_labels
from scratchformer.figures.style import CORRECT, INK, MARKS, WRONG, figure_title, panel
from scratchformer.figures.words import counted, listed

HEADING = "Logit lens"
QUESTION = "When is the answer there?"
LOOK = "between which two bars the rule error falls"
SIZE = (11, 4.8)


def draw(fig, model):
    """Rule error and probability of the right answer by stage, and the top tokens of one sequence."""
    errors, rights, constrained = lens_errors(model)
    figure_title(fig, model, finding(errors, constrained))
    if constrained:
        ax = panel(fig, 0.8, 0.75, 2.5, 2.8)
        ax.bar(range(3), errors, 0.6, color=WRONG, alpha=0.8)
        for x, error in enumerate(errors):
            ax.annotate(f"{error:.1%}", (x, error), (0, 2), textcoords="offset points", ha="center")
        ax.set(title="rule error", ylim=(0, 1.1), ylabel="share of constrained positions")
        other = panel(fig, 4.1, 0.75, 2.5, 2.8)
        low, high = np.quantile(rights, [0.05, 0.95], axis=1)
        other.bar(range(3), high - low, 0.3, low, color=CORRECT)
        other.plot(range(3), [right.mean() for right in rights], color=INK, marker="o", markersize=4)
        other.set(title="P(right answer), 5–95%", ylim=(-0.05, 1.1), xlim=(-0.6, 2.6))
        ax.set_xticks(range(3), STAGES)
        means = [f"{name}\n{right.mean():.1%}" for name, right in zip(STAGES, rights, strict=True)]
        other.set_xticks(range(3), means)
        for axes in (ax, other):
            axes.tick_params(axis="x", length=0)
    table(fig, model)


def table(fig, model):
    """The likeliest token of the first sequence to follow, at each position and stage."""
    top, state, labels = lens_predictions(model)
    T = len(labels)
    ax = panel(fig, 7.6, 0.75, 3.1, 2.8)
    verdict_cells(ax, state)
    ax.set_title("likeliest next token in one sequence")
    size = min(9.0, 0.6 * 72 * 2.8 / T)
    texts = [
        f"{model.vocabulary[top[t, i]]} {MARKS[int(state[t, i])]}".rstrip()
        for t in range(T) for i in range(3)
    ]
    points = np.array([(i + 0.5, t + 0.5) for t in range(T) for i in range(3)])
    colors = ["white" if verdict == 0 else INK for verdict in state.ravel()]
    add_labels(ax, points, texts, colors, size)
    ax.set_yticks(np.arange(T) + 0.5, labels, fontsize=size)
    ax.set_xticks(np.arange(3) + 0.5, STAGES)
    ax.set_ylabel("after")


def finding(errors, constrained):
    """Between which stages most of the rule error goes, in words."""
    if not constrained:
        return "The rule constrains no position, so there is no answer to come about"
    before, after = max(((0, 1), (1, 2)), key=lambda pair: errors[pair[0]] - errors[pair[1]])
    return (
        f"Logit lens: {errors[before]:.1%} wrong read off {STAGES[before]}, {errors[after]:.1%} off "
        f"{STAGES[after]}"
    )


def caption(model):
    """What the figure shows, and at which stage this run's answers come about."""
    errors, rights, constrained = lens_errors(model)
    told = (
        "The LM head reads the stream before attention, after it and after the feed-forward layer, as if "
        "each were the last stage. The table shows the likeliest token after each position of one sequence: "
        "✓ where the rule allows it, ✗ where not. "
    )
    if not constrained:
        return f"{told}In the held-out windows there is no answer to judge."
    gains = [errors[0] - errors[1], errors[1] - errors[2]]
    step_name = ("attention", "the feed-forward layer")[int(np.argmax(gains))]
    change = (
        f"The larger part of the error, {max(gains):.1%}, goes with {step_name}. " if max(gains) > 0
        else "No stage lowers the error. "
    )
    means = listed([f"{right.mean():.1%}" for right in rights])
    return (
        f"{told}Over the {counted(constrained, 'constrained position')} of all held-out windows, the left "
        "panel has the rule error, the middle one the probability of the right answer: its mean as a line, "
        f"5% to 95% of positions as a bar. Here the error is {listed([f'{error:.1%}' for error in errors])} "
        f"from stage to stage, the mean probability {means}. {change}A stage that reads badly may still hold "
        "the answer, in a form that only what follows can read."
    )
