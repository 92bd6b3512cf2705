"""How queries and keys come about, and the scores that they give every query with every key."""

import numpy as np

from scratchformer.figures.learning_dynamics.f03_qk_embedding_space import describe, pair_space
from scratchformer.figures.qk import pair_scores
from scratchformer.figures.scenes import title_film
from scratchformer.figures.style import SIGNED, family_legend, panel, ticks, token_colors

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
    image = ax.imshow(
        whole(pair_scores(run.at(snapshots.steps[0]))), cmap=SIGNED, vmin=-limit, vmax=limit,
        interpolation="nearest", aspect="auto", extent=(-0.5, V - 0.5, V - 0.5, -0.5),
    )
    ax.set_title("score q·k/√D of every query with every key", fontsize=9.5)
    for axis, room in ((ax.xaxis, 3.75), (ax.yaxis, 4.1)):
        ticks(axis, vocabulary, room)
        for tick, color in zip(axis.get_ticklabels(), token_colors(vocabulary), strict=True):
            tick.set(color=color, fontweight="bold")
    ax.tick_params(length=0, pad=2)
    ax.spines[:].set_visible(False)
    ax.set_xlabel(f"key: token, positions 0 to {T - 1} within")
    ax.set_ylabel(f"query: token, positions 0 to {T - 1} within")
    bar = fig.colorbar(image, cax=panel(fig, 9.2, 0.75, 0.12, 4.1), extend="both")
    bar.set_label("score; 99% of all lie in the range", labelpad=2)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2, labelsize=7.5, pad=2)
    family_legend(fig, vocabulary, SIZE[0] / 4, 0.15, neutral=True)

    def update(i):
        update_plane(i)
        image.set_data(whole(pair_scores(run.at(snapshots.steps[i]))))

    return [*artists, image], update


def whole(scores):
    """Blocks of positions, (V, V, T, T), as one matrix with the masked pairs left out: (V*T, V*T)."""
    V, _, T, _ = scores.shape
    return np.ma.masked_invalid(scores.transpose(0, 2, 1, 3).reshape(V * T, V * T))
