"""Losses and rule errors over training: whether the model learned the rule, and when."""

import textwrap

import numpy as np

from scratchformer.figures.marks import legend
from scratchformer.figures.style import GREY, HELD_OUT, INK, TRAIN, WRONG, panel, title
from scratchformer.figures.words import counted, listed
from scratchformer.run.judge import GENERATED_RULE_ERROR, RULE_ERROR

SIZE = (10, 5.6)
GENERATED = "#7a3f8f"


def draw(fig, model):
    """Losses on the left axis, rule errors on the right; a vertical line marks the model's step."""
    history = model.run.history
    steps, last = history["step"], -1
    title(
        fig, f"Learning curve of {model.name}",
        f"losses and rule error: measured on {samples(model)}\n"
        f"after {steps[last]:,.0f} steps: loss {history['train_loss'][last]:.3f} on training, "
        f"{history['held_out_loss'][last]:.3f} on held-out windows; "
        f"rule error {history['rule_error'][last]:.1%}, "
        f"generated {history['generated_rule_error'][last]:.1%}",
    )
    loss_ax = panel(fig, 0.75, 1.35, 8.45, 2.97)
    error_ax = loss_ax.twinx()
    many, even = len(steps) > 30, np.log(len(model.vocabulary))
    lines = [
        *loss_ax.plot(
            steps, history["train_loss"], color=TRAIN, linewidth=2.4, label="loss, training windows",
        ),
        *loss_ax.plot(
            steps, history["held_out_loss"], color=HELD_OUT, linewidth=1.1,
            marker="" if many else ".", label="loss, held-out windows",
        ),
        *error_ax.plot(steps, history["rule_error"], color=WRONG, linestyle="--", label="rule error"),
        *error_ax.plot(
            steps, history["generated_rule_error"], color=GENERATED, linestyle=":",
            label="generated rule error",
        ),
        loss_ax.axhline(
            even, color=GREY, linewidth=1, linestyle=(0, (6, 3)), label="loss of guessing evenly",
        ),
    ]
    losses = np.concatenate([history["train_loss"], history["held_out_loss"], [even]])
    pad = 0.06 * (np.ptp(losses) or 1)
    loss_ax.set(xlabel="training step", ylabel="cross-entropy loss, nats a token")
    loss_ax.set_xlim(0, max(steps[last], 1))
    loss_ax.set_ylim(losses.min() - pad, losses.max() + pad)
    loss_ax.xaxis.set_major_formatter("{x:,.0f}")
    loss_ax.xaxis.get_major_locator().set_params(integer=True)
    loss_ax.grid(axis="y", color="#eeeeee")
    error_ax.set_ylim(-0.03, 1.03)
    error_ax.set_ylabel("rule error, generated rule error: share wrong")
    error_ax.spines["right"].set(visible=True, color=GREY)
    if model.step != model.run.steps[-1]:
        loss_ax.axvline(model.step, color=INK, linewidth=1.8, clip_on=False, zorder=6)
        loss_ax.text(
            model.step, 1.01, f"step {model.step:,}", transform=loss_ax.get_xaxis_transform(), ha="center"
        )
    legend(fig, lines, 4.65, columnspacing=1.5, handletextpad=None)
    for x, text, color in ((0.75, RULE_ERROR, WRONG), (5.15, GENERATED_RULE_ERROR, GENERATED)):
        fig.text(
            x / SIZE[0], 0.8 / SIZE[1], textwrap.fill(text, 66), va="top", fontsize=8, color=color,
            linespacing=1.4,
        )
    loss_ax.spines["left"].set_color(GREY)


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
    return (
        "The left axis is the loss on training and on held-out windows, the right axis the two rule errors "
        f"explained below the curves. Losses and rule error are measured on {samples(model)}, while the "
        f"verdict counts all held-out windows.{marked} Over {counted(int(steps[-1]), 'step')} the held-out "
        f"loss went from {losses[0]:.3f} to {losses[-1]:.3f} nats a token (guessing evenly, the dashed grey "
        f"line, costs {np.log(len(model.vocabulary)):.3f}) and was lowest, {losses[lowest]:.3f}, at step "
        f"{steps[lowest]:,.0f}; the training loss ended at {history['train_loss'][-1]:.3f}. "
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
