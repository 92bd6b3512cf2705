"""How embeddings, queries, keys and values come about, of every token at every position."""

from scratchformer.figures.labels import labelled_position
from scratchformer.figures.marks import family_legend
from scratchformer.figures.scenes import hold_plane, moving, over_training, pairs, title_film
from scratchformer.figures.style import INK, K, Q, V, panel

SIZE = (10, 8.2)


def scene(fig, snapshots):
    """Embeddings in black, queries in blue, keys in red, values in green."""
    vocabulary = snapshots.run.vocabulary
    T = snapshots.embed.shape[2]
    title_film(
        fig, snapshots, "Embeddings, queries, keys and values",
        "every token at every position; a line joins the positions of a token, "
        f"p{labelled_position(T)} is labelled",
    )
    spaces = (
        ("embed", snapshots.embed, INK, 0.62, 4.25), ("q = embed · W_q", snapshots.q, Q, 5.55, 4.25),
        ("k = embed · W_k", snapshots.k, K, 0.62, 0.72), ("v = embed · W_v", snapshots.v, V, 5.55, 0.72),
    )
    parts = []
    for name, vectors, color, left, bottom in spaces:
        ax = panel(fig, left, bottom, 4.3, 2.85)
        (points,), names = over_training(vectors)
        hold_plane(ax, names, points)
        ax.set_title(name, color=color)
        parts += [(marks, points) for marks in pairs(ax, vocabulary, T, color)]
    family_legend(fig, vocabulary, SIZE[0] / 2, 0.15, neutral=True)

    return moving(parts)
