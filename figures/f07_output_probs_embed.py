"""What the model would predict at every point of the plane, and where the embeddings lie on it."""

import numpy as np

from figures.landscapes import halo_labels, landscape_panels
from figures.planes import label_tokens
from figures.style import FAMILIES, family, family_legend, inches, title, token_colors

SIZE = (10, 9)


def draw(fig, run, step):
    """One panel a next token: its probability, and every token at every position."""
    embed, vocabulary = run.grid(step).embed, run.vocabulary
    V, T, C = embed.shape
    points = embed.reshape(-1, C)
    likeliest = run.landscape(step, points).argmax(axis=1)
    counts = np.bincount(likeliest, minlength=V)
    order = sorted(range(V), key=lambda token: -counts[token])
    leaders = [f"{vocabulary[token]} at {counts[token]}" for token in order[:4] if counts[token]]
    without = "if attention added nothing" if run.config.model.use_residual else "if attention kept them"
    titles = [
        f"P(next = {token})\nlikeliest at {n} of {V * T} points"
        for token, n in zip(vocabulary, counts, strict=True)
    ]
    colors = token_colors(vocabulary)
    axes = landscape_panels(fig, run, step, titles)
    for ax in axes:
        scale = min(1, inches(ax)[0] / 2)
        mark_embeddings(ax, points, vocabulary, colors, 4 * scale)
        label_tokens(ax, embed.mean(axis=1), vocabulary, [None] * V, colors, 9 * scale, 4 * scale, points)
        halo_labels(ax)
    name = f"Output probabilities and embeddings of {run.config.name} at step {step:,}"
    result = f"likeliest next token {without}: {', '.join(leaders)} of the {V * T} embeddings"
    if axes:
        title(
            fig, name,
            "background: probability of the panel's token if the stream after attention lay there\n"
            f"points: the {V * T} embeddings (token + position), a label at each token's mean\n{result}",
        )
        family_legend(fig, vocabulary, SIZE[0] / 2, 0.2)
    else:
        title(fig, name, result)


def mark_embeddings(ax, points, vocabulary, colors, size):
    """One marker a token and position: the colour is the token's, the shape its family's."""
    each = len(points) // len(vocabulary)
    families = np.repeat([family(token) for token in vocabulary], each)
    for name, marker in FAMILIES.items():
        chosen = families == name
        ax.scatter(
            *points[chosen].T, s=size**2, marker=marker, c=np.repeat(colors, each, axis=0)[chosen],
            edgecolors="white", linewidths=0.35, zorder=3,
        )
