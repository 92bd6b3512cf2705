"""Draws the share of contexts that a proof has settled, over its time, in docs/prove.md:

    python docs/prove_share.py runs/plus_last_even_robust runs/<with block_size 16> ... docs/prove_share.png
"""

import sys

import matplotlib
import numpy as np

from scratchformer.figures.style import GREY, PALE, Q, own_look, panel, title
from scratchformer.run.run import Run
from scratchformer.tools.prove.prove import prove

LIMIT = 190.0                           # seconds a proof, of which 0.6 go into the cases


def main(*words):
    """Prove the last model of each run, and write the picture."""
    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    *folders, path = words
    prove(Run.open(folders[0]).last)    # compiles
    proofs = [prove(Run.open(folder).last, LIMIT) for folder in folders]
    with own_look():
        fig = Figure((8.4, 4.4))
        title(fig, "Most contexts are settled at once; the last ones take the time",
              "robust recipe, one proof a window; a dot: every context is settled")
        ax = panel(fig, 0.95, 0.6, 6.0, 3.0)
        for proof, shade in zip(proofs, np.linspace(0.45, 1, len(proofs)), strict=True):
            seconds, shares = np.array(proof.settled.trace).T
            open_share, color = np.maximum(1 - shares, 1e-12), matplotlib.colors.to_rgba(Q, shade)
            ax.step(seconds, open_share, where="post", color=color, linewidth=1.6)
            if shares[-1] == 1:
                ax.plot(seconds[-1], open_share[-1], "o", color=color, clip_on=False)
            total = proof.any.total.total()
            ax.annotate(
                f"{proof.block_size} tokens:\n{total:.2g} contexts", (seconds[-1], open_share[-1]), (8, -2),
                textcoords="offset points", fontsize=8, annotation_clip=False,
            )
            print(f"{proof.block_size} tokens: {total:,} contexts, {len(proof.settled.cases):,} cases, "
                  f"share settled {shares[-1]:.10%} after {seconds[-1]:.2f} s, "
                  f"wrong: at least {proof.any.wrong.total():,}, not settled {proof.any.open:,}")
        ax.set(xscale="log", yscale="log", ylim=(1e-12, 1.5), xlabel="seconds, the compilation aside",
               ylabel="share of contexts not settled yet")
        ticks = 10.0 ** np.arange(-12, 1, 3)
        ax.set_yticks(ticks, ["none", *(f"{100 * tick:.10g}%" for tick in ticks[1:])])
        ax.minorticks_off()
        ax.grid(color=PALE)
        ax.spines[["left", "bottom"]].set_color(GREY)
        fig.savefig(path, dpi=130)


if __name__ == "__main__":
    main(*sys.argv[1:])
