"""The landscape of predictions again, now with the points that attention moved the stream to."""

from matplotlib.lines import Line2D

from figures.landscapes import landscape_panels, sample
from figures.style import CORRECT, INK, WRONG, title
from figures.words import code, counted, sentence
from scratchformer.judge import lands_right

SIZE = (10, 9)
OTHER = {"marker": "o", "markersize": 1.8, "color": "#b8b8b8", "markeredgewidth": 0}
RIGHT = {"marker": "o", "markersize": 5, "color": CORRECT, "markeredgecolor": INK, "markeredgewidth": 0.6}
MISSED = {"marker": "X", "markersize": 6, "color": WRONG, "markeredgecolor": "white", "markeredgewidth": 0.6}


def draw(fig, run, step):
    """One panel a next token: its probability, and the positions whose answer it is."""
    cache, allowed, right = landings(run, step)
    windows, result = cache.tokens, describe(right, allowed)
    titles = [
        f"P(next = {token})\n{score(*counts)}"
        for token, counts in zip(run.vocabulary, answers(right, allowed), strict=True)
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


def landings(run, step):
    """(Cache of all held-out windows, what the rule allows, where the likeliest token is allowed)."""
    cache, allowed = run.held_out_cache(step), run.held_out_allowed
    return cache, allowed, lands_right(cache.logits, allowed)


def describe(right, allowed):
    """How many constrained positions land right, in words."""
    total = int(allowed.any(axis=-1).sum())
    if not total:
        return "the rule constrains no position of the held-out windows"
    return (
        f"{int(right.sum()):,} of {total:,} constrained positions of all held-out windows land where the "
        f"likeliest token is allowed ({right.sum() / total:.2%})"
    )


def answers(right, allowed):
    """For each token, (how many positions whose answer it is land right, how many there are)."""
    return [
        (int(right[allowed[..., i]].sum()), int(allowed[..., i].sum())) for i in range(allowed.shape[-1])
    ]


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


def caption(run, step):
    """What the figure shows, and how many positions of this run attention brings home."""
    cache, allowed, right = landings(run, step)
    if run.config.model.n_embd == 2:
        shown = (
            "The backgrounds are the landscapes of figure 07, the points where the stream lies after "
            "attention. In the panel of a token, a green dot is a position that has this token for an answer "
            "and lands where an allowed token is the likeliest, a red cross one that does not, and a grey "
            "dot any other position."
        )
    else:
        shown = (
            f"With {counted(run.config.model.n_embd, 'dimension')} there is no plane to colour, so the "
            "figure counts, for each token, how many of the positions that have it for an answer come to "
            "predict an allowed token."
        )
    return (
        f"{shown} {sentence(describe(right, allowed))} {compare(run, step, cache, allowed, right)}"
        "A single sequence, followed from here on, shows how a position gets where it lands."
    )


def compare(run, step, cache, allowed, right):
    """The answer missed most, and what would land right without attention: sentences, or none."""
    chosen = allowed.any(axis=-1)
    if not chosen.any():
        return ""
    scores = zip(run.vocabulary, answers(right, allowed), strict=True)
    missed, token, hits, n = max((1 - hits / n, token, hits, n) for token, (hits, n) in scores if n)
    hardest = f"The answer missed most is {code(token)}, with {hits:,} of {n:,} right. " if missed else ""
    still = lands_right(run.landscape(step, cache.embed[chosen]), allowed[chosen]).sum()
    moved = int(right.sum() - still)
    stay = "added nothing" if run.config.model.use_residual else "left the stream at the embeddings"
    change = (
        f"brings {moved:,} more there" if moved > 0 else f"leads {-moved:,} astray" if moved
        else "makes no difference to that number"
    )
    return (
        f"{hardest}If attention {stay}, {counted(int(still), 'position')} would land right: all in all, "
        f"attention {change}. "
    )
