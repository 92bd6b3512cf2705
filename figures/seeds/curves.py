"""Learning curves of all seeds of a sweep, or of two sweeps side by side."""

import numpy as np

from scratchformer.figures.marks import legend
from scratchformer.figures.style import INK, PALE, WRONG, K, Q, panel, title
from scratchformer.run.judge import LEARNED

SIZE = (10, 8.7)
LOW, HIGH = 0.1, 0.9                    # of the seeds lie between the edges of the band
RECIPES = (Q, K)


def draw(fig, sweeps):
    """Rule error, held-out loss, and how many seeds are right, over the steps, of one sweep or two."""
    alone = len(sweeps) == 1
    names = [sweep.config.name for sweep in sweeps]
    title(
        fig, f"Learning curves of {' and '.join(names)}",
        "\n".join(f"{name}: {describe(sweep)}" if not alone else describe(sweep)
                  for name, sweep in zip(names, sweeps, strict=True)),
    )
    places = ((5.3, 2.2), (2.65, 2.2), (0.6, 1.5))
    axes = [panel(fig, 0.9, bottom, 8.65, height) for bottom, height in places]
    for sweep, color in zip(sweeps, RECIPES, strict=False):
        draw_sweep(axes, sweep, color, alone)
    errors, losses, counts = axes
    errors.set(ylim=(-0.03, 1.03), ylabel="rule error (sample)")
    losses.set(ylabel="held-out loss (sample), nats")
    counts.set(xlabel="training step", ylabel="seeds at most\n1% wrong")
    last = max(sweep.config.training.steps for sweep in sweeps)
    for ax in axes:
        ax.set_xlim(0, last)
        ax.xaxis.set_major_formatter("{x:,.0f}")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(axis="y", color=PALE)
    whole = len(sweeps[0].results) if alone else 1
    counts.set_ylim(-0.03 * whole, 1.05 * whole)
    quarters = np.arange(5) * whole / 4
    if alone:
        counts.set_yticks(np.unique(quarters.round()))
    else:
        counts.set_yticks(quarters, [f"{y:.0%}" for y in quarters])
    errors.yaxis.set_major_formatter(lambda y, _: f"{y:.0%}")
    errors.axhline(LEARNED, color=INK, linewidth=0.6, linestyle=":")
    handles, _ = errors.get_legend_handles_labels()
    legend(fig, handles, 7.68, handletextpad=None, columnspacing=None)


def draw_sweep(axes, sweep, color, alone):
    """The seeds of one sweep as thin lines, their median, and the band that most of them lie in."""
    name = "median" if alone else f"{sweep.config.name}, median"
    trained = [result for result in sweep.results if len(result.history)]
    if not trained:
        return
    steps = max((result.column("step") for result in trained), key=len)
    for ax, column in zip(axes, ("rule_error", "held_out_loss"), strict=False):
        curves = np.full((len(trained), len(steps)), np.nan)
        for row, result in zip(curves, trained, strict=True):
            values = result.column(column)
            row[: len(values)] = values
            wrong = alone and not result.learned
            ax.plot(
                result.column("step"), values, color=WRONG if wrong else color, linewidth=0.5,
                linestyle="--" if wrong else "-", alpha=0.6 if wrong else 0.25,
            )
            if result.note:
                ax.plot(result.column("step")[-1], values[-1], "x", color=WRONG, markersize=5)
        low, middle, high = np.nanquantile(curves, (LOW, 0.5, HIGH), axis=0)
        ax.fill_between(
            steps, low, high, color=color, alpha=0.2, linewidth=0, label=f"middle {HIGH - LOW:.0%} of seeds"
        )
        ax.plot(steps, middle, color=color, linewidth=2, label=name)
        if column == "rule_error":
            count = (curves <= LEARNED).sum(axis=0)
            axes[2].plot(steps, count if alone else count / len(sweep.results), color=color, linewidth=1.5)
            if alone and not all(result.learned for result in trained):
                ax.plot([], [], color=WRONG, linewidth=0.8, linestyle="--", label="a seed that did not learn")


def describe(sweep):
    """How many seeds learned the rule, and when, in a line."""
    learned = sum(result.learned for result in sweep.results)
    settled = [result.settled_step for result in sweep.results if result.settled_step is not None]
    when = (
        f"; at most 1% wrong to the end from step {np.median(settled):,.0f} on (median), "
        f"{max(settled):,.0f} (latest)" if settled else ""
    )
    return f"{learned} of {len(sweep.results)} seeds learned the rule{when}"
