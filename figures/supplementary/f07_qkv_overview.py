"""Everything attention works with on one page: from embeddings to the stream that attention leaves behind."""

import numpy as np
from matplotlib.colors import to_rgb

from scratchformer.analysis.answers import explained_by_answers, single_answers
from scratchformer.analysis.families import family, present_families
from scratchformer.analysis.landscape import flat
from scratchformer.figures.labels import labelled_position
from scratchformer.figures.landscapes import sample
from scratchformer.figures.marks import legend, marker
from scratchformer.figures.planes import label_tokens, position_plane, scatter_tokens, sum_plane, token_plane
from scratchformer.figures.qk import label_pairs, mark_origin, pair_plane, qk_plane
from scratchformer.figures.regions import region_colors
from scratchformer.figures.style import INK, K, MARKERS, Q, V, figure_title, panel, plane_of, set_plane
from scratchformer.figures.words import graded, head_shown

HEADING = "From embeddings to attention's output"
QUESTION = "At which stage do the answers separate?"
LOOK = "the last row, coloured by answer: one cluster for each"
SIZE = (10, 11.35)
OTHER = "#c4c4c4"                                       # positions without one answer


def draw(fig, model):
    """Three rows of three planes."""
    params, grid, vocabulary = model.params, model.grid, model.vocabulary
    cache, answers = model.held_out, single_answers(model)
    figure_title(fig, model, f"Output of attention{head_shown(model)}: {answer_explains(model)}")
    places = [(left, bottom) for bottom in (7.85, 4.3, 0.75) for left in (0.85, 4.1, 7.35)]
    axes = [panel(fig, *place, 2.45, 2.45) for place in places]
    names = [
        "tokens: W_token", "positions: W_pos", "embed = token + position", "q = embed · W_q",
        "k = embed · W_k", "v = embed · W_v", "q and k together", "attn_out: attention · v",
        "resid_mid = embed + attn_out" if model.use_residual else "resid_mid = attn_out",
    ]
    token_plane(axes[0], params, vocabulary)
    position_plane(axes[1], params)
    sum_plane(axes[2], grid.embed, vocabulary, 8, each=False)
    for ax, name, color in zip(axes[3:6], "qkv", (Q, K, V), strict=True):
        pair_plane(ax, getattr(grid, name)[:, 0], vocabulary, [to_rgb(color)] * len(vocabulary), name)
    both_plane(axes[6], grid, vocabulary)
    shades = region_colors(model)
    colors = np.array([shades[token] for token in range(len(vocabulary))])
    answer_plane(axes[7], cache.attn_out, answers, vocabulary, colors)
    answer_plane(axes[8], cache.resid_mid, answers, vocabulary, colors)
    for ax, name, color in zip(axes, names, [INK] * 3 + [Q, K, V] + [INK] * 3, strict=True):
        ax.set_title(name, color=color)
        short = [text.replace("of variance", "of var.") for text in (ax.get_xlabel(), ax.get_ylabel())]
        ax.set(xlabel=short[0], ylabel=short[1])
        ax.locator_params(nbins=4)
    legend(fig, [marker(MARKERS[name], INK, f"{name} token") for name in present_families(vocabulary)])
    small = {"handletextpad": 0, "columnspacing": 0.6, "handlelength": 1.2}
    used = np.unique(answers[answers >= 0])
    legend(fig, [marker("o", Q, "query"), marker("o", K, "key")], 3.62, 2.07, fontsize=8, **small)
    legend(fig, [
        marker("", INK, "answer:"),
        *(marker(MARKERS[family(vocabulary[i])], tuple(colors[i]), vocabulary[i]) for i in used),
        marker("o", OTHER, "no single one"),
    ], 3.62, 6.95, fontsize=8, **small)


def answer_explains(model):
    """How much of what attention puts out the answer explains, in words."""
    shares = explained_by_answers(model.held_out, single_answers(model))
    if not shares:
        return "the rule never allows just one token"
    return f"the answer decides {graded(shares['attn_out'])} of where it lies"


def describe_shares(shares):
    """The shares in words."""
    if not shares:
        return "in no held-out window does the rule allow just one token"
    return "share of their variance that the answer explains: " + ", ".join(
        f"{name} {share:.0%}" for name, share in shares.items()
    )


def both_plane(ax, grid, vocabulary):
    """Queries and keys on one plane, those of one position labelled."""
    q, k, origin, names = qk_plane(grid)
    T = grid.tokens.shape[1]
    set_plane(ax, np.concatenate([q, k, origin]), names)
    tokens = np.repeat(vocabulary, T)
    for part, color in ((q, Q), (k, K)):
        scatter_tokens(ax, part, tokens, np.array([color] * len(part)), 2.5)
    mark_origin(ax, origin)
    shown = labelled_position(T)
    one = slice(shown, None, T)
    label_pairs(
        ax, np.concatenate([q[one], k[one]]), vocabulary * 2, [shown] * len(vocabulary) * 2,
        [Q] * len(vocabulary) + [K] * len(vocabulary), 7.5, 3, np.concatenate([q, k, origin]),
    )


def answer_plane(ax, vectors, answers, vocabulary, colors):
    """Vectors of windows, (B, T, C), in the colours, one a token, of their answers, (B, T), which label their
    means."""
    points, names = plane_of(flat(vectors))
    points, answers = sample(points.reshape(*answers.shape, 2)), sample(answers)
    set_plane(ax, flat(points), names)
    ax.scatter(*points[answers < 0].T, s=3, c=OTHER, linewidths=0, zorder=1)
    points, answers = points[answers >= 0], answers[answers >= 0]
    if not len(answers):
        return
    scatter_tokens(ax, points, np.array(vocabulary)[answers], colors[answers], 3.5)
    present = np.unique(answers)
    means = np.array([points[answers == answer].mean(axis=0) for answer in present])
    names = [vocabulary[answer] for answer in present]
    label_tokens(ax, means, names, [None] * len(present), colors[present], 10, 3.5, points)


def caption(model):
    """What is to be seen in it."""
    cache, answers = model.held_out, single_answers(model)
    stream = "added to the embedding" if model.use_residual else "in place of the embedding"
    if (answers >= 0).any():
        result = (
            f"The rule allows just one token at {(answers >= 0).sum():,} positions; "
            f"{describe_shares(explained_by_answers(cache, answers))} (100%: one point for each answer)."
        )
    else:
        result = f"Here {describe_shares({})}, so all are grey."
    return (
        "Above, the embeddings of the tokens, of the positions, and their sums, which attention reads. In "
        "the middle, what the three matrices make of each sum: queries in blue, keys in red, values in "
        "green, a token's positions joined by a line. Below, queries and keys on one plane, where a query "
        "scores highest with the keys furthest along its direction; then the mix of values that attention "
        f"puts out in held-out windows, and the stream that it leaves, {stream}. Colours there are those of "
        f"the answer; grey positions have no single one. {result}"
    )
