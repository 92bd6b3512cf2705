"""The landscape of predictions again, now with the points that attention moved the stream to."""

import numpy as np

from scratchformer.analysis.answers import landings, right_by_answer, right_without_attention
from scratchformer.analysis.followed import at_position
from scratchformer.figures.labels import add_labels_beside, labelled_position
from scratchformer.figures.landscapes import (
    border_entry, explain, landscape_panels, probability_table, sample,
)
from scratchformer.figures.marks import halo_labels, legend, marker
from scratchformer.figures.style import CORRECT, GREY, INK, WRONG, figure_title, inches, token_colors
from scratchformer.figures.words import code, counted, sentence

HEADING = "Where attention takes the stream"
QUESTION = "Does each answer land where it is predicted?"
LOOK = "green dots within the white line of their panel, and any red cross"
SIZE = (10, 9)
TYPICAL = {"marker": "o", "s": 14, "edgecolors": "white", "linewidths": 0.7, "zorder": 4}
FEW = 60                                                # crosses that do not hide one another
MOST = 24                                               # labels in a panel of 2 inches
OTHER = {"shape": "o", "markersize": 1.8, "color": "#b8b8b8", "markeredgewidth": 0}
RIGHT = {"shape": "o", "markersize": 5, "color": CORRECT, "markeredgecolor": INK, "markeredgewidth": 0.6}
MISSED = {"shape": "X", "markersize": 6, "color": WRONG, "markeredgecolor": "white", "markeredgewidth": 0.6}


def draw(fig, model):
    """One panel a next token: its probability, and the positions whose answer it is."""
    cache, allowed, right = landings(model)
    counts = right_by_answer(right, allowed)
    figure_title(fig, model, finding(right, allowed))
    if model.config.model.n_embd != 2:
        answers = [i for i, (_, count) in enumerate(counts) if count]
        means = [cache.probs[allowed[..., i]].mean(axis=0) for i in answers]
        if answers:
            names = [model.vocabulary[i] for i in answers]
            probability_table(fig, model, np.array(means), names, "answer: mean over its positions")
        else:
            explain(fig, model)
        return
    titles = [
        f"P(next = {token})\n{score(*each)}" for token, each in zip(model.vocabulary, counts, strict=True)
    ]
    axes = landscape_panels(fig, model, titles)
    for token, ax in enumerate(axes):
        mark_positions(ax, cache.resid_mid, allowed[..., token], right)
    room = min(1, inches(axes[0])[0] / 2) ** 2
    examples = typical_points(model, cache, allowed, max(1, int(MOST * room)))
    label_examples(axes, *examples)
    explain_marks(fig, labelled_position(cache.tokens.shape[1]))


def finding(right, allowed):
    """How many answers attention brings home, in words."""
    total = int(allowed.any(axis=-1).sum())
    if not total:
        return "Where attention takes the stream, and what is predicted there"
    return f"Attention takes {right.sum():,} of {total:,} positions to where their answer is predicted"


def describe(right, allowed):
    """How many constrained positions land right, in words."""
    total = int(allowed.any(axis=-1).sum())
    if not total:
        return "the rule constrains no position of the held-out windows"
    return (
        f"{int(right.sum()):,} of {total:,} constrained positions of all held-out windows land where the "
        f"likeliest token is allowed ({right.sum() / total:.2%})"
    )


def mark_positions(ax, resid_mid, answer, right):
    """Where positions lie: those whose `answer` is the panel's token stand out, the wrong ones in front."""
    for points, style, label in (
        (sample(resid_mid)[~sample(answer)], OTHER, "other"),
        (sample(resid_mid)[sample(answer & right)], RIGHT, "right"),
        (resid_mid[answer & ~right], MISSED, "wrong"),
    ):
        ax.add_line(marker(label=label, xy=points.T, **style))
    missed = ax.lines[-1]
    crowd = min(1, (FEW / max(len(missed.get_xdata()), 1)) ** 0.5)
    missed.set(
        markersize=max(2.5, MISSED["markersize"] * crowd), markeredgewidth=MISSED["markeredgewidth"] * crowd
    )


def typical_points(model, cache, allowed, most):
    """Points at one position to be labelled, at most so many: (points, labels, colours, answers).

    One for each token and, where the rule allows just one, its answer, the most frequent first: of all
    windows the one nearest to their mean.
    """
    shown = labelled_position(cache.tokens.shape[1])
    points, tokens, allowed = cache.resid_mid[:, shown], cache.tokens[:, shown], allowed[:, shown]
    answers = np.where(allowed.sum(axis=-1) == 1, allowed.argmax(axis=-1), -1)
    pairs, group, counts = np.unique(
        np.column_stack([tokens, answers]), axis=0, return_inverse=True, return_counts=True
    )
    chosen, texts, colors, asked = [], [], [], []
    for i in np.sort(np.argsort(-counts, kind="stable")[:most]):
        members = np.flatnonzero(group.ravel() == i)
        away = np.linalg.norm(points[members] - points[members].mean(axis=0), axis=1)
        token, answer = pairs[i]
        name = at_position(model.vocabulary[token], shown)
        chosen.append(members[away.argmin()])
        texts.append(name if answer < 0 else f"{name}→{model.vocabulary[answer]}")
        colors.append(token_colors(model.vocabulary)[token if answer < 0 else answer])
        asked.append(answer)
    return points[chosen], texts, np.array(colors), asked


def label_examples(axes, points, texts, colors, answers):
    """Mark the points in every panel, and label each in that of its answer."""
    for token, ax in enumerate(axes):
        ax.scatter(*points.T, c=colors, **TYPICAL)
        chosen = [i for i, answer in enumerate(answers) if answer == token]
        if chosen:
            labels = add_labels_beside(
                ax, points[chosen], [texts[i] for i in chosen], colors[chosen], 8, 2, points
            )
            labels.leaders.set(color="white", linewidth=0.8, alpha=1, zorder=4)
            halo_labels(ax)


def score(right, count):
    """A panel's counts in words."""
    return f"{right:,} of {count:,} answers right" if count else "never an answer"


def explain_marks(fig, position):
    """What the markers mean, and the labels."""
    legend(fig, [
        marker(label="answer is the panel's token, landed right", **RIGHT),
        marker(label="the same, landed wrong", **MISSED),
        marker(label="any other position", **OTHER | {"markersize": 3}),
        marker("o", GREY, f"typical at position {position}, labelled by its answer",
               markeredgecolor="white", markersize=5),
        border_entry(),
    ], 0.22, ncols=3, handletextpad=0.7)


def caption(model):
    """What the figure shows, and how many positions of this run attention brings home."""
    cache, allowed, right = landings(model)
    if model.config.model.n_embd == 2:
        shown = (
            "The backgrounds are the probabilities of figure 07, the points where the stream lies after "
            "attention. In the panel of a token, a green dot is a position that has this token for an answer "
            "and lands right, where an allowed token is the likeliest, a red cross one that does not, and a "
            "grey dot any other position. Labels name typical points of one position."
        )
    else:
        shown = (
            f"With {counted(model.config.model.n_embd, 'dimension')} there is no plane to colour, so the "
            "figure counts, for each token, how many of the positions that have it for an answer come to "
            "predict an allowed token."
        )
    return (
        f"{shown} {sentence(describe(right, allowed))} {compare(model, cache, allowed, right)}"
        "A single sequence, followed from here on, shows how a position gets where it lands."
    )


def compare(model, cache, allowed, right):
    """The answer missed most, and what would land right without attention: sentences, or none."""
    chosen = allowed.any(axis=-1)
    if not chosen.any():
        return ""
    shares = {
        code(token): (hits / n, f"{hits:,} of {n:,}")
        for token, (hits, n) in zip(model.vocabulary, right_by_answer(right, allowed), strict=True) if n
    }
    least = min(shares.values())
    worst = [token for token, (share, _) in shares.items() if share == least[0]]
    hardest = "" if least[0] == 1 or len(worst) > 1 else (
        f"The answer missed most is {worst[0]}, with {least[1]} right. "
    )
    still = right_without_attention(model, cache.embed, allowed)
    moved = int(right.sum()) - still
    stay = "added nothing" if model.use_residual else "left the stream at the embeddings"
    change = (
        f"brings {moved:,} more there" if moved > 0 else f"leads {-moved:,} astray" if moved
        else "makes no difference to that number"
    )
    return (
        f"{hardest}If attention {stay}, {counted(still, 'position')} would land right: all in all, "
        f"attention {change}. "
    )
