"""Draws the share of contexts that a proof has settled, over its time, in docs/prove.md:

    python docs/prove_share.py runs/plus_last_even_robust runs/<with block_size 16> ... docs/prove_share.png
"""

import sys

import matplotlib
import numpy as np

from scratchformer.figures.style import GREY, PALE, Q, own_look, panel, title
from scratchformer.run.run import Run
from scratchformer.tools.prove.prove import prove

LOWEST = 1e-18                          # share that is shown
LIMIT = 190.0                           # seconds a proof, of which 0.6 go into the cases


def main(*words):
    """Prove the last model of each run, and write the picture."""
    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    *folders, path = words
    prove(Run.open(folders[0]).last)    # compiles
    proofs = [prove(Run.open(folder).last, LIMIT) for folder in folders]
    with own_look():
        fig = Figure((8.4, 5.0))
        title(fig, "A proof settles most contexts at once; the last ones take the time",
              "plus_last_even_robust with three windows; a triangle: then all are settled, but for what is "
              "too close to call")
        ax = panel(fig, 0.95, 0.6, 7.0, 3.05)
        for proof, shade in zip(proofs, np.linspace(0.45, 1, len(proofs)), strict=True):
            seconds, shares = np.array(proof.settled.trace).T
            color, left = matplotlib.colors.to_rgba(Q, shade), np.maximum(shares, LOWEST)
            seconds, left = np.insert(seconds, 0, seconds[0]), np.insert(left, 0, 1.0)
            ax.step(seconds, left, where="post", color=color, linewidth=1.6)
            if time_left(proof):
                ax.plot(seconds[-1], left[-1], "v", color=color, clip_on=False)
            total = proof.any.total.total()
            ax.annotate(
                f"{proof.block_size} tokens,\n{in_words(total)}\ncontexts", (seconds[0], 1), (0, 5),
                textcoords="offset points", ha="center", fontsize=8.5, annotation_clip=False,
            )
            print(f"{proof.block_size} tokens: {total:,} contexts, {len(proof.settled.cases):,} cases, "
                  f"share not settled {shares[-1]:.2g} after {seconds[-1]:.2f} s, "
                  f"wrong: at least {proof.any.wrong.total():,}, not settled {proof.any.open:,}")
        ax.set(xscale="log", yscale="log", xlim=(0.01, 200), ylim=(LOWEST, 1),
               xlabel="seconds, the compilation aside", ylabel="share of contexts not settled yet")
        places = [0.01, 0.1, 1, 10, 100]
        ax.set_xticks(places, map(str, places))
        decades = np.arange(-18, 1, 3)
        ax.set_yticks(10.0**decades, [f"10{superscript(decade)}" if decade else "all" for decade in decades])
        ax.minorticks_off()
        ax.grid(color=PALE)
        ax.spines[["left", "bottom"]].set_color(GREY)
        fig.savefig(path, dpi=130)


def superscript(number):
    """A whole number in raised figures."""
    return str(number).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def in_words(total):
    """A large number, to two figures."""
    decade = len(str(total)) - 1
    return f"{total / 10**decade:.1f} · 10{superscript(decade)}"


def time_left(proof):
    """Whether the search ended by itself."""
    return proof.settled.trace[-1][0] < 0.6 * LIMIT - 1


if __name__ == "__main__":
    main(*sys.argv[1:])
