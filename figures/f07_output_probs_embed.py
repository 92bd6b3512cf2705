"""What the model would predict at every point of the plane, and where the embeddings lie on it."""

import numpy as np

from scratchformer.analysis.decision_map import areas_by_token, frame_regions
from scratchformer.analysis.followed import at_position
from scratchformer.analysis.landscape import likeliest_counts
from scratchformer.figures.labels import copy_labels, labelled_position
from scratchformer.figures.landscapes import border_entry, landscape_panels, probability_table
from scratchformer.figures.marks import family_legend, halo_labels
from scratchformer.figures.planes import label_tokens, scatter_tokens
from scratchformer.figures.style import figure_title, inches, token_colors
from scratchformer.figures.words import code, counted, listed, sentence

HEADING = "Predictions at the embeddings"
QUESTION = "What would be predicted if attention did nothing?"
LOOK = "the white lines around where a token is the likeliest: few embeddings lie in another one's"
SIZE = (10, 9)


def draw(fig, model):
    """One panel a next token: its probability, and every token at every position."""
    embed, vocabulary = model.grid.embed, model.vocabulary
    V, T, C = embed.shape
    points, shown = embed.reshape(-1, C), labelled_position(T)
    counts = likeliest_counts(model.landscape(points))
    first = counts.argmax()
    figure_title(fig, model, f"{sentence(without(model))[:-1]}, {vocabulary[first]} would be predicted at "
                 f"{counts[first]} of {V * T} embeddings")
    if C != 2:
        names = [at_position(token, shown) for token in vocabulary]
        probability_table(fig, model, model.landscape(embed[:, shown]), names, "embedding")
        return
    titles = [
        f"P(next = {token})\nlikeliest at {n} of {V * T} points"
        for token, n in zip(vocabulary, counts, strict=True)
    ]
    colors, tokens = token_colors(vocabulary), np.repeat(vocabulary, T)
    for ax in landscape_panels(fig, model, titles):
        scale = min(1, inches(ax)[0] / 2)
        scatter_tokens(
            ax, points, tokens, np.repeat(colors, T, axis=0), 4 * scale, edgecolors="white", linewidths=0.35
        )
        if ax is fig.axes[0]:
            labels = label_tokens(
                ax, embed[:, shown], vocabulary, [shown] * V, colors, 8 * scale, 2, points
            )
        else:
            copy_labels(labels, ax)
        halo_labels(ax)
    family_legend(fig, vocabulary, SIZE[0] / 2, 0.2, more=[border_entry()])


def without(model):
    """What it would take for the stream to lie at the embeddings, in words."""
    return "if attention added nothing" if model.use_residual else "if attention kept them"


def caption(model):
    """What the figure shows, and what the plane of this run is shared out to."""
    embed = model.grid.embed
    points = embed.reshape(-1, embed.shape[-1])
    counts = likeliest_counts(model.landscape(points))
    start = f"At the {counted(len(points), 'embedding')}, that is {without(model)}, {winners(model, counts)}"
    if embed.shape[-1] != 2:
        return (
            "The feed-forward layer and the LM head turn a point of the stream into probabilities, whatever "
            "brought it there. With two dimensions they could be drawn over the plane; this model has "
            f"{embed.shape[-1]}, so the figure only counts which next token is the likeliest at each "
            f"embedding. {start}. Attention has to move the stream to where other tokens win, and how "
            "it does so begins with queries, keys and values."
        )
    areas = areas_by_token(frame_regions(model), len(model.vocabulary))
    return (
        "Each panel belongs to one next token: its background is the probability the model would give that "
        "token if the stream after attention lay there, from dark (0) to yellow (1). The points are the "
        "embeddings, the same in every panel, labelled at the last position. "
        f"{describe_areas(model, areas)} {start}. "
        "Where the rule asks for another token, attention has to move "
        "the stream into that token's region; it does so with queries, keys and values, shown next."
    )


def winners(model, counts):
    """The likeliest tokens with their counts, in words."""
    order = [token for token in np.argsort(-counts, kind="stable") if counts[token]]
    first = [f"{code(model.vocabulary[token])} is the likeliest at {counts[token]:,}" for token in order[:1]]
    first += [f"{code(model.vocabulary[token])} at {counts[token]:,}" for token in order[1:3]]
    rest = counts[order[3:]].sum()
    return listed(first + ([f"other tokens at {rest:,}"] if rest else []))


def describe_areas(model, areas):
    """How much of the drawn plane each token owns, in a sentence."""
    shares = areas / areas.sum()
    order = np.argsort(-areas, kind="stable")
    owners = [token for token in order if areas[token]]
    if len(owners) == 1:
        return f"On the whole plane drawn, {code(model.vocabulary[owners[0]])} is the likeliest."
    return (
        f"{len(owners)} of {len(areas)} tokens are the likeliest somewhere on the plane drawn: "
        + listed([f"{code(model.vocabulary[token])} on {shares[token]:.1%}" for token in owners[:4]])
        + (", and others on the rest." if len(owners) > 4 else ".")
    )
