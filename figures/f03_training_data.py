"""Six training sequences: what the model learns from."""

from figures.cells import count, draw_cells, judge, share, verdict_legend
from figures.style import panel, title

SIZE = (10, 4.1)
SHOWN = 6


def draw(fig, run, step):
    """The first sequences of the training set, judged with all that came before each token."""
    everything = run.data.train_sequences
    verdicts = judge(run, everything)
    title(
        fig, f"Training data of {run.config.name}",
        f"{min(SHOWN, len(everything))} of {len(everything):,} sequences; "
        f"in all of them {share(*count(verdicts))}",
    )
    ax = panel(fig, 0.5, 0.55, 9.35, 2.5)
    draw_cells(ax, run, everything[:SHOWN], verdicts[:SHOWN])
    ax.set_ylabel("sequence")
    verdict_legend(fig, 3.25)
