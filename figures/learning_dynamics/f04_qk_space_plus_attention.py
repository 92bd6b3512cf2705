"""How queries and keys come about, and what every query would read of every key."""

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.patches import Rectangle

from scratchformer.analysis.scores import focus, pair_scores
from scratchformer.figures.learning_dynamics.f03_qk_embedding_space import describe, pair_space
from scratchformer.figures.marks import family_legend
from scratchformer.figures.scenes import title_film
from scratchformer.figures.style import (
    INK, PROBABILITY, color_bar, color_ticks, panel, show_matrix, ticks, token_colors,
)
from scratchformer.figures.supplementary.f09_qk_full_heatmap import blocks

SIZE = (10, 5.9)


def scene(fig, snapshots):
    """At the left the plane, at the right a triangle of positions for every pair of tokens."""
    run, vocabulary = snapshots.run, snapshots.run.vocabulary
    _, V, T, _ = snapshots.q.shape
    title_film(fig, snapshots, "Queries, keys and attention", describe(snapshots))
    artists, update_plane = pair_space(panel(fig, 0.6, 0.75, 4.1, 4.1), snapshots)
    ax = panel(fig, 5.35, 0.75, 3.75, 4.1)
    image = show_matrix(
        ax, shares(run.at(snapshots.steps[0])), PROBABILITY, None, None, norm=PowerNorm(0.5, 0, 1),
        extent=(-0.5, V - 0.5, V - 0.5, -0.5),
    )
    ax.set_title("what a query would read of all keys; framed: where the rule asks", fontsize=9.5)
    for axis, room in ((ax.xaxis, 3.75), (ax.yaxis, 4.1)):
        ticks(axis, vocabulary, room)
        color_ticks(axis, token_colors(vocabulary))
    ax.tick_params(pad=2)
    ax.set_xlabel(f"key: token, positions 0 to {T - 1} within")
    ax.set_ylabel(f"query: token, positions 0 to {T - 1} within")
    top = focus(run.last)[0] - 0.5
    asks = ax.add_patch(Rectangle((-0.5, top), V, 1, fill=False, edgecolor=INK, linewidth=2, zorder=3))
    asks.set_clip_on(False)
    color_bar(image, "share of attention, square-root scale", (9.2, 0.75, 0.12, 4.1), bins=None)
    family_legend(fig, vocabulary, SIZE[0] / 4, 0.15, neutral=True)

    def update(i):
        update_plane(i)
        image.set_data(shares(run.at(snapshots.steps[i])))

    return [*artists, image, asks], update


def shares(model):
    """Softmax of every query's scores over all keys that it can meet, as if each token stood at each earlier
    position once: (V*T, V*T), masked where there is no pair."""
    scores = blocks(pair_scores(model))
    weights = np.ma.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)
