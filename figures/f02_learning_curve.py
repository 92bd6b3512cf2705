"""Losses and rule errors over training: whether the model learned the rule, and when."""

import numpy as np

from scratchformer.figures.labels import name_ends
from scratchformer.figures.style import GREY, HELD_OUT, INK, TRAIN, WRONG, figure_title, panel
from scratchformer.figures.words import counted, listed, number

HEADING = "Learning curve"
QUESTION = "Is the rule learned, and when?"
LOOK = "the lower panel, where the red line falls; above, how close the loss comes to the lower dashed line"
SIZE = (10, 6.6)
GENERATED, METRIC = "#00868b", "#7a5c00"
LEFT, WIDTH = 0.75, 6.9                 # of the panels; the curves' names stand to their right
END_NAMES = {                           # what is measured on which sample, where a line ends
    "training loss": "training sample", "held-out loss": "held-out sample",
    "rule error": "in held-out text", "generated rule error": "in its own text",
}
LEVELS = (0.1, 0.01)                    # rule errors whose first crossing is marked


def draw(fig, model):
    """Losses above, rule errors below; the curves named at their ends."""
    run, history = model.run, model.run.history
    steps = history["step"]
    figure_title(fig, model, finding(model))
    metric = run.metric
    loss_ax = panel(fig, LEFT, 3.45, WIDTH, 2.2)
    error_ax = panel(fig, LEFT, 0.6, WIDTH, 2.2)
    curve(loss_ax, steps, history["train_loss"], TRAIN, "training loss", linewidth=2.4)
    curve(loss_ax, steps, history["held_out_loss"], HELD_OUT, "held-out loss", linewidth=1.1)
    levels = {"guessing evenly": np.log(len(model.vocabulary))}
    if not model.config.data.text:
        levels["knowing rule and odds"] = lowest_loss(model)
    for label, level in levels.items():
        loss_ax.axhline(level, color=GREY, linewidth=1, linestyle=(0, (6, 3)), label=label)
    losses = np.concatenate([history["train_loss"], history["held_out_loss"], [*levels.values()]])
    pad = 0.06 * (np.ptp(losses) or 1)
    loss_ax.set(ylabel="loss, nats a token", ylim=(losses.min() - pad, losses.max() + pad))
    curve(error_ax, steps, history["rule_error"], WRONG, "rule error", linestyle="--")
    curve(error_ax, steps, history["generated_rule_error"], GENERATED, "generated rule error", linestyle=":")
    error_ax.set(ylabel="rule error", xlabel="training step", ylim=(-0.03, 1.03))
    error_ax.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    if metric is not None:
        above = error_ax.twinx()
        curve(above, *run.metric_history, METRIC, metric.name)
        above.set_axis_off()
    for ax in (loss_ax, error_ax):
        ax.set_xlim(0, max(steps[-1], 1))
        ax.xaxis.set_major_formatter("{x:,.0f}")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(axis="y", color="#eeeeee")
        mark_phases(ax, history)
        if model.step != run.steps[-1]:
            ax.axvline(model.step, color=INK, linewidth=1.8, clip_on=False, zorder=6)
    name_lines(loss_ax, ".3f")
    name_lines(error_ax, ".1%")
    if metric is not None:
        (line,) = above.lines
        error_ax.text(1.02, 1.04, f"{metric.name} {number(line.get_ydata()[-1], '.4g')} (own scale)",
                      transform=error_ax.transAxes, color=METRIC, fontsize=8.5, va="bottom")
    if model.step != run.steps[-1]:
        loss_ax.text(
            model.step, 1.01, f" step {model.step:,}", transform=loss_ax.get_xaxis_transform()
        )


def curve(ax, steps, values, color, label, **options):
    """One quantity over training; few measurements are marked."""
    ax.plot(steps, values, color=color, label=label, marker="" if len(steps) > 30 else ".", **options)


def name_lines(ax, form):
    """The name of each line and its last value to the right of its end."""
    named = [line for line in ax.lines if line.get_label()[0] != "_"]
    ends = [float(line.get_ydata()[-1]) for line in named]
    texts = [
        f"{END_NAMES.get(line.get_label(), line.get_label())} {format(end, form)}"
        for line, end in zip(named, ends, strict=True)
    ]
    name_ends(ax, ends, texts, [line.get_color() for line in named])


def crossings(history):
    """(level, first step at which the rule error is below it) of the LEVELS it comes below, the first look
    left out."""
    errors = history["rule_error"]
    return [
        (level, int(history["step"][(errors < level).argmax()]))
        for level in LEVELS if (errors < level).any() and errors[0] >= level
    ]


def mark_phases(ax, history):
    """Where the rule error first falls below each level."""
    for _, step in crossings(history):
        ax.axvline(step, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)
    if ax.get_xlabel():
        for row, (level, step) in enumerate(crossings(history)):
            ax.text(step, 0.93 - 0.11 * row, f" below {level:.0%} at {step:,}", fontsize=8, color=WRONG,
                    transform=ax.get_xaxis_transform())


def finding(model):
    """When the rule was learned, in words."""
    history = model.run.history
    if not model.run.judge.allowed.any():
        return "The loss falls; the rule constrains nothing that is measured"
    found = crossings(history)
    if found and found[-1][0] == LEVELS[-1]:
        return f"The rule is learned: in held-out text its error is first below 1% at step {found[-1][1]:,}"
    if history["rule_error"][0] < LEVELS[-1]:
        return "The rule is followed from the start"
    return f"The rule is not learned: in held-out text its error ends at {history['rule_error'][-1]:.1%}"


def lowest_loss(model):
    """Loss on the held-out sample of a model that knows the rule and the odds of each draw, and no more than
    the window."""
    judge, data = model.run.judge, model.config.data
    operators = len(data.operators)
    odds = np.full(len(model.vocabulary), 1 / data.numbers)
    if operators:
        odds[:] = (1 - data.operator_probability) / data.numbers
        odds[data.numbers:] = data.operator_probability / operators
    allowed = judge.allowed
    count = allowed.sum(axis=-1, keepdims=True)
    chances = np.where(count > 0, allowed / np.maximum(count, 1), odds)
    targets = judge.held_out_windows[:, 1:]
    return float(-np.log(np.take_along_axis(chances, targets[..., None], axis=-1)).mean())


def samples(model):
    """The sizes of the samples on which losses and rule error are measured, in words."""
    train, held_out = len(model.run.judge.train_windows), len(model.run.judge.held_out_windows)
    return f"a sample of {counted(train, 'training window')} and {counted(held_out, 'held-out window')}"


def caption(model):
    """What the figure shows, and when this run learned what it learned."""
    history = model.run.history
    steps, losses = history["step"], history["held_out_loss"]
    lowest = losses.argmin()
    at_the_end = model.step == model.run.steps[-1]
    marked = "" if at_the_end else f" A vertical line marks step {model.step:,}, that of other figures."
    floor = "" if model.config.data.text else (
        f"; to know the rule and the odds of each draw would cost {lowest_loss(model):.3f}"
    )
    return (
        "Above are the losses on training and on held-out windows, below the rule error, how often the top "
        "prediction breaks the rule where it speaks, and the generated rule error, the same of tokens that "
        f"the model wrote itself. All are measured on {samples(model)}; verdicts count all held-out "
        f"windows.{marked} The held-out loss went from {losses[0]:.3f} to {losses[-1]:.3f} nats a token and "
        f"was lowest, {losses[lowest]:.3f}, at step {steps[lowest]:,.0f}{floor}. "
        f"{describe_errors(model)} What the model read on the way comes next."
    )


def describe_errors(model):
    """When the rule error fell, in sentences."""
    history = model.run.history
    errors = history["rule_error"]
    if not model.run.judge.allowed.any():
        return "The rule constrains none of the positions measured, so the rule errors say nothing here."
    falls = [
        f"below {level:.0%} at step {history['step'][(errors < level).argmax()]:,.0f}"
        for level in (0.1, 0.01) if (errors < level).any()
    ]
    return (
        f"The rule error began at {errors[0]:.1%}, was "
        + (f"first {listed(falls)}" if falls else "never below 10%")
        + f", and ended at {errors[-1]:.1%}; in sequences that the model wrote itself it ended at "
        f"{history['generated_rule_error'][-1]:.1%}."
    )
