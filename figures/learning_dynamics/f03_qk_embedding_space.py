"""How queries and keys come about, on the plane that they share."""

from scratchformer.figures.labels import labelled_position
from scratchformer.figures.marks import family_legend
from scratchformer.figures.scenes import hold_plane, moving, over_training, pairs, title_film
from scratchformer.figures.style import INK, K, Q, panel

SIZE = (10, 8.2)


def scene(fig, snapshots):
    """Queries blue, keys red, of every token at every position."""
    title_film(fig, snapshots, "Queries and keys", describe(snapshots))
    family_legend(fig, snapshots.run.vocabulary, SIZE[0] / 2, 0.15, neutral=True)
    return pair_space(panel(fig, 0.7, 0.75, 9.1, 6.35), snapshots)


def describe(snapshots):
    """What the plane shows, in words."""
    return (
        "queries blue, keys red, of every token at every position; a line joins the positions of a token, "
        f"p{labelled_position(snapshots.q.shape[2])} is labelled"
    )


def pair_space(ax, snapshots):
    """A scene on one plane: queries and keys."""
    vocabulary, T = snapshots.run.vocabulary, snapshots.q.shape[2]
    (q, k), names = over_training(snapshots.q, snapshots.k)
    hold_plane(ax, names, q, k)
    ax.plot([0], [0], marker="o", markersize=9, markerfacecolor="none", color=INK, zorder=2)
    return moving([
        (marks, points) for points, color, side in ((k, K, 1), (q, Q, -1))
        for marks in pairs(ax, vocabulary, T, color, side)
    ])
