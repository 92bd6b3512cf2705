"""How the landscape of predictions and the embeddings on it come about."""

import numpy as np
from matplotlib import colormaps

from scratchformer.analysis.landscape import landscapes, square_box
from scratchformer.figures.labels import labelled_position
from scratchformer.figures.landscapes import add_bar, grid_of_panels, show_landscape
from scratchformer.figures.scenes import Points, held_box, one_position, title_film
from scratchformer.figures.style import PROBABILITY, inches, token_colors

SIZE = (10, 7.5)
PROBABILITY_STEPS = colormaps[PROBABILITY].resampled(10)        # few colours keep the file small


def left_out(run):
    """Why there is no such film of a run, or None."""
    C = run.config.model.n_embd
    return None if C == 2 else f"a landscape needs a plane: n_embd = 2, here it is {C}"


def scene(fig, snapshots):
    """One panel a next token: its probability, and every token at every position."""
    run, vocabulary = snapshots.run, snapshots.run.vocabulary
    count, V, T, _ = snapshots.embed.shape
    embed = snapshots.embed.reshape(count, V * T, 2)
    title_film(
        fig, snapshots, "Output probabilities and embeddings",
        "background: probability of the panel's token if the stream after attention lay there; "
        f"each token is labelled at p{labelled_position(T)}",
    )
    axes = grid_of_panels(fig, len(vocabulary))
    box = square_box(held_box(embed), 0.1)
    probs = landscapes(run.at(snapshots.steps[0]), box)
    tokens, colors = np.repeat(vocabulary, T), np.repeat(token_colors(vocabulary), T, axis=0)
    last = one_position(vocabulary, T)
    images, marks = [], []
    for token, ax in enumerate(axes):
        images.append(show_landscape(ax, probs[:, :, token], box))
        images[-1].set_cmap(PROBABILITY_STEPS)
        ax.set(xlim=box[:2], ylim=box[2:], autoscale_on=False)
        ax.spines[:].set_visible(False)
        ax.set_title(f"P(next = {vocabulary[token]})", fontsize=min(8.5, 4.8 * inches(ax)[0]), pad=3)
        marks.append(Points(ax, tokens, colors, last, marker=2, size=8))
    add_bar(fig, images[-1])

    def update(i):
        shown = landscapes(run.at(snapshots.steps[i]), box)
        for token in range(len(axes)):
            images[token].set_data(shown[:, :, token])
            marks[token].move(embed[i])

    return [*images, *(artist for mark in marks for artist in mark.artists)], update
