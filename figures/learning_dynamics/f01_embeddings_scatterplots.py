"""How the embeddings come about: tokens, positions, and every token at every position."""

import numpy as np

from scratchformer.figures.labels import labelled_position
from scratchformer.figures.marks import family_legend, join
from scratchformer.figures.scenes import (
    Points, Threads, hold_plane, one_position, over_training, title_film,
)
from scratchformer.figures.style import panel, position_colors, token_colors
from scratchformer.figures.words import position_names

SIZE = (10, 7.4)


def scene(fig, snapshots):
    """At the left what is learned, at the right the sums that the model starts from."""
    vocabulary = snapshots.run.vocabulary
    _, V, T, _ = snapshots.embed.shape
    title_film(
        fig, snapshots, "Embeddings",
        f"right: every token at every position, joined in order, labelled at p{labelled_position(T)}",
    )
    colors, shades = token_colors(vocabulary), position_colors(T)
    tokens, positions = panel(fig, 0.62, 3.95, 2.75, 2.35), panel(fig, 0.62, 0.72, 2.75, 2.35)
    sums = panel(fig, 4.1, 0.72, 5.75, 5.58)
    (token_points,), names = over_training(snapshots.W_token)
    hold_plane(tokens, names, token_points)
    tokens.set_title("tokens")
    token_marks = Points(tokens, vocabulary, colors, dict(enumerate(vocabulary)))

    (position_points,), names = over_training(snapshots.W_pos)
    hold_plane(positions, names, position_points)
    positions.set_title("positions, joined in order")
    (ladder,) = join(positions, np.empty((0, 2)))
    names = position_names(T)
    position_marks = Points(positions, names, shades, {t: names[t] for t in (0, T - 1)})

    (sum_points,), names = over_training(snapshots.embed)
    hold_plane(sums, names, sum_points)
    sums.set_title("token + position")
    threads = Threads(sums, V, colors)
    sum_marks = Points(
        sums, np.repeat(vocabulary, T), np.repeat(colors, T, axis=0),
        one_position(vocabulary, T),
    )
    family_legend(fig, vocabulary, 6.97, 0.15)

    def update(i):
        token_marks.move(token_points[i])
        ladder.set_data(*position_points[i].T)
        position_marks.move(position_points[i])
        threads.move(sum_points[i])
        sum_marks.move(sum_points[i])

    return [
        *token_marks.artists, ladder, *position_marks.artists, *threads.artists, *sum_marks.artists
    ], update
