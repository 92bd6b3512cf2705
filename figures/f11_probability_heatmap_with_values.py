"""The landscape of predictions again, now with the points that attention moved the stream to."""

from matplotlib.lines import Line2D

from figures.landscapes import landscape_panels, sample
from figures.style import CORRECT, INK, WRONG, title
from scratchformer.data import allowed_next
from scratchformer.judge import lands_right

SIZE = (10, 9)
OTHER = {"marker": "o", "markersize": 1.8, "color": "#b8b8b8", "markeredgewidth": 0}
RIGHT = {"marker": "o", "markersize": 5, "color": CORRECT, "markeredgecolor": INK, "markeredgewidth": 0.6}
MISSED = {"marker": "X", "markersize": 6, "color": WRONG, "markeredgecolor": "white", "markeredgewidth": 0.6}


def draw(fig, run, step):
    """One panel a next token: its probability, and the positions whose answer it is."""
    windows = run.data.held_out_windows[:, :-1]
    cache = run.forward(step, windows)
    allowed = allowed_next(run.rule, run.data.vocabulary, windows)
    right = lands_right(cache.logits, allowed)
    total = int(allowed.any(axis=-1).sum())
    result = (
        f"{int(right.sum()):,} of {total:,} constrained positions of all held-out windows land where the "
        f"likeliest token is allowed ({right.sum() / total:.2%})" if total
        else "the rule constrains no position of the held-out windows"
    )
    titles = [
        f"P(next = {token})\n" + score(int(right[allowed[..., i]].sum()), int(allowed[..., i].sum()))
        for i, token in enumerate(run.vocabulary)
    ]
    axes = landscape_panels(fig, run, step, titles)
    for token, ax in enumerate(axes):
        mark_positions(ax, cache.resid_mid, allowed[..., token], right)
    name = f"Output probabilities and post-attention points of {run.config.name} at step {step:,}"
    if axes:
        title(
            fig, name,
            "background: probability of the panel's token if the stream after attention lay there\n"
            f"points: the stream after attention in {len(sample(windows)):,} of {len(windows):,} held-out "
            f"windows; crosses: in all of them\n{result}",
        )
        legend(fig)
    else:
        title(fig, name, result)


def mark_positions(ax, resid_mid, answer, right):
    """Where positions lie: those whose `answer` is the panel's token stand out, the wrong ones in front."""
    for points, style, label in (
        (sample(resid_mid)[~sample(answer)], OTHER, "other"),
        (sample(resid_mid)[sample(answer & right)], RIGHT, "right"),
        (resid_mid[answer & ~right], MISSED, "wrong"),
    ):
        ax.plot(*points.T, linestyle="", label=label, **style)


def score(right, count):
    """A panel's counts in words."""
    return f"{right:,} of {count:,} answers right" if count else "never an answer"


def legend(fig):
    """What the markers mean."""
    handles = [
        Line2D([], [], linestyle="", label=label, **style) for style, label in (
            (RIGHT, "answer is the panel's token, likeliest token is allowed"),
            (MISSED, "the same, likeliest token is not allowed"),
            ({**OTHER, "markersize": 3}, "every other position"),
        )
    ]
    fig.legend(
        handles=handles, loc="center", bbox_to_anchor=(0.5, 0.2 / SIZE[1]), ncols=3, handletextpad=0.2,
        columnspacing=1.6,
    )
