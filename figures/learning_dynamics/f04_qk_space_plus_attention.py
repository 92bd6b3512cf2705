"""How queries and keys come about, and the scores that they give every query with every key."""

import numpy as np

from scratchformer.analysis.scores import pair_scores
from scratchformer.figures.learning_dynamics.f03_qk_embedding_space import describe, pair_space
from scratchformer.figures.marks import family_legend
from scratchformer.figures.scenes import title_film
from scratchformer.figures.style import (
    SIGNED, color_bar, color_ticks, panel, show_matrix, ticks, token_colors,
)
from scratchformer.figures.supplementary.f09_qk_full_heatmap import blocks

SIZE = (10, 5.9)
LOOKS = 21                      # snapshots from which the colours' range is taken


def scene(fig, snapshots):
    """At the left the plane, at the right a triangle of positions for every pair of tokens."""
    run, vocabulary = snapshots.run, snapshots.run.vocabulary
    _, V, T, _ = snapshots.q.shape
    title_film(fig, snapshots, "Queries, keys and their scores", describe(snapshots))
    artists, update_plane = pair_space(panel(fig, 0.6, 0.75, 4.1, 4.1), snapshots)
    looks = np.linspace(0, len(snapshots.steps) - 1, LOOKS).round().astype(int)
    past = np.tri(T, dtype=bool)
    found = [pair_scores(run.at(snapshots.steps[i]))[..., past] for i in np.unique(looks)]
    limit = float(np.nanpercentile(np.abs(found), 99)) or 1.0
    ax = panel(fig, 5.35, 0.75, 3.75, 4.1)
    image = show_matrix(
        ax, blocks(pair_scores(run.at(snapshots.steps[0]))), SIGNED, -limit, limit,
        extent=(-0.5, V - 0.5, V - 0.5, -0.5),
    )
    ax.set_title("score q·k/√D of every query with every key", fontsize=9.5)
    for axis, room in ((ax.xaxis, 3.75), (ax.yaxis, 4.1)):
        ticks(axis, vocabulary, room)
        color_ticks(axis, token_colors(vocabulary))
    ax.tick_params(pad=2)
    ax.set_xlabel(f"key: token, positions 0 to {T - 1} within")
    ax.set_ylabel(f"query: token, positions 0 to {T - 1} within")
    color_bar(image, "score; 99% of all lie in the range", (9.2, 0.75, 0.12, 4.1), bins=None, extend="both")
    family_legend(fig, vocabulary, SIZE[0] / 4, 0.15, neutral=True)

    def update(i):
        update_plane(i)
        image.set_data(blocks(pair_scores(run.at(snapshots.steps[i]))))

    return [*artists, image], update
