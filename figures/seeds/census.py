"""The census of a study's seeds: wrong on held-out windows against wrong after all contexts there are."""

import numpy as np

from scratchformer.figures.style import CORRECT, GREY, INK, PALE, WRONG, panel, title
from scratchformer.figures.words import counted

SIZE = (9, 6.2)
NONE = 0.45                             # decades below the smallest share: where seeds without errors stand
WIDTH, HEIGHT = 6.9, 4.45               # of the axes, in inches
NAMED = 5                               # seeds at one place that are named
GAP = 0.125                             # between dots that would cover each other, in inches


def draw(fig, name, entries, constrained):
    """A dot a seed, on two logarithmic axes that begin with a place for none at all.

    entries: list of Entry; constrained: {seed: constrained positions of its held-out windows}
    """
    seen = np.array([entry.held_out_wrong / max(constrained[entry.seed], 1) for entry in entries])
    proved = np.array([entry.producible_wrong / max(entry.producible, 1) for entry in entries])
    settled = np.array([entry.open == 0 for entry in entries])
    right, look_right = settled & (proved == 0), (seen == 0) & (proved > 0)
    title(
        fig, f"{name}: {right.sum()} of {counted(len(entries), 'seed')} are proved right everywhere",
        f"{look_right.sum()} more make no held-out error and are wrong after some context all the same"
        if look_right.any() else "no seed without a held-out error is wrong anywhere",
    )
    ax = panel(fig, 1.35, 0.7, WIDTH, HEIGHT)
    x, y, crowds = spread(ax, log_scale(ax.xaxis, seen), log_scale(ax.yaxis, proved))
    kinds = (
        (right, CORRECT, "o", "right after every producible context"),
        (look_right, "#e6a700", "D", "no held-out error, yet wrong somewhere"),
        (~right & ~look_right & settled, WRONG, "X", "wrong on held-out windows"),
        (~settled & ~look_right, PALE, "s", "not settled in time"),
    )
    for chosen, color, marker, label in kinds:
        if chosen.any():
            ax.scatter(
                x[chosen], y[chosen], s=42, color=color, marker=marker, edgecolors=INK, linewidths=0.6,
                zorder=3, label=f"{label}: {chosen.sum()}", clip_on=False,
            )
    for here in crowds:
        if look_right[here[0]] and len(here) <= NAMED:
            names = ", ".join(str(entries[i].seed) for i in here)
            text = f"{'seeds' if len(here) > 1 else 'seed'} {names}"
            ax.annotate(
                text, (x[here].max(), y[here].mean()), (7, -3), textcoords="offset points", fontsize=8,
            )
    ax.set_xlabel("held-out rule error")
    ax.set_ylabel("share of producible contexts after which the seed is wrong")
    ax.grid(color=PALE)
    ax.set_axisbelow(True)
    ax.spines[["left", "bottom"]].set_color(GREY)
    fig.legend(
        *ax.get_legend_handles_labels(), loc="upper center", ncols=2, handletextpad=0.2,
        bbox_to_anchor=(0.5, 1 - 0.64 / SIZE[1]), columnspacing=1.6,
    )


def log_scale(axis, shares):
    """Shares as decimal logarithms, none at all just below the smallest; names the axis' places."""
    some = np.log10(shares[shares > 0])
    low = np.floor(some.min()) if len(some) else -2.0
    high = max(np.ceil(some.max()), low + 1) if len(some) else 0.0
    decades = np.arange(low, high + 1)
    axis.set_ticks([low - NONE, *decades], ["none", *(f"{100 * 10**d:.10g}%" for d in decades)])
    axis.axes.set(**{f"{axis.axis_name}lim": (low - 2 * NONE, high)})
    return np.log10(shares, where=shares > 0, out=np.full(len(shares), low - NONE))


def spread(ax, x, y):
    """Coordinates at which seeds that would cover each other stand side by side, in rows.

    x, y: (N,) each; returns them, and the indices of the seeds at each place
    """
    x, y, crowds = x.copy(), y.copy(), []
    across, up = GAP * np.ptp(ax.get_xlim()) / WIDTH, GAP * np.ptp(ax.get_ylim()) / HEIGHT
    cells = np.column_stack([np.round(x / across), np.round(y / up)])
    for cell in np.unique(cells, axis=0):
        (here,) = (cells == cell).all(axis=1).nonzero()
        crowds.append(here)
        columns = int(np.ceil(np.sqrt(2.5 * len(here))))
        row, column = np.divmod(np.arange(len(here)), columns)
        if len(here) > 1:
            x[here] = x[here].mean() + across * (column - (min(columns, len(here)) - 1) / 2)
            y[here] = y[here].mean() + up * (row - row.max() / 2)
    return x, y, crowds
