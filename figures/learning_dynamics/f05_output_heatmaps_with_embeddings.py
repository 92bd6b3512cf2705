"""How the map of decisions comes about, where each answer lands on it, and the landscape of each token."""

import numpy as np
from matplotlib import colormaps

from scratchformer.analysis.landscape import landscapes, square_box
from scratchformer.analysis.scores import focus
from scratchformer.figures.labels import add_labels
from scratchformer.figures.landscapes import add_bar, name_plane, show_landscape
from scratchformer.figures.regions import region_colors
from scratchformer.figures.scenes import Points, held_box, one_position, steady, title_film
from scratchformer.figures.style import HALO, INK, PROBABILITY, panel, token_colors

SIZE = (10, 6.6)
MAP = 4.35                                              # side of the map, in inches
PROBABILITY_STEPS = colormaps[PROBABILITY].resampled(10)        # few colours keep the file small
COLUMNS, ROOM = 3, 4.0                                  # of the small panels, and the width they share
WINDOWS = 200                                           # of the evaluations' held-out windows, that land


def left_out(run):
    """Why there is no such film of a run, or None."""
    C = run.config.model.n_embd
    return None if C == 2 else f"a landscape needs a plane: n_embd = 2, here it is {C}"


def scene(fig, snapshots):
    """Left the map with the embeddings and where answers land, right the probability of each token."""
    run, vocabulary = snapshots.run, snapshots.run.vocabulary
    count, V, T, _ = snapshots.embed.shape
    embed = snapshots.embed.reshape(count, V * T, 2)
    name, asked, landed = landings_over_training(snapshots)
    title_film(
        fig, snapshots, "Decisions",
        "map: the top prediction if the stream after attention lay there; dots: embeddings; "
        f"numbers: where {name} lands on average for each answer",
    )
    box = square_box(held_box(embed, landed), 0.1)
    shades = region_colors(run.last)
    shades = np.array([shades[token] for token in range(V)])
    probs = landscapes(run.at(snapshots.steps[0]), box)
    ax = panel(fig, 0.6, 0.75, MAP, MAP)
    ground = ax.imshow(shades[probs.argmax(axis=-1)], extent=box, origin="lower", zorder=-1)
    ax.set(xlim=box[:2], ylim=box[2:], autoscale_on=False)
    name_plane(ax)
    colors = np.repeat(token_colors(vocabulary), T, axis=0)
    marks = Points(ax, np.repeat(vocabulary, T), colors, one_position(vocabulary, T), marker=2.5, size=8)
    names = [vocabulary[token] for token in asked]
    answers = steady(add_labels(ax, np.zeros((len(names), 2)), names, INK, 15, bold=True))
    answers.set_path_effects(HALO)
    side = ROOM / COLUMNS - 0.1
    rows = -(-V // COLUMNS)
    tall = min(side, MAP / rows - 0.22)
    images = []
    for token in range(V):
        row, column = divmod(token, COLUMNS)
        top = 0.85 + MAP - row * (tall + 0.22)
        small = panel(fig, 5.2 + column * (side + 0.1), top - tall - 0.22, side, tall)
        small.set_axis_off()
        images.append(show_landscape(small, probs[:, :, token], box))
        images[-1].set_cmap(PROBABILITY_STEPS)
        small.set_title(f"P(next = {vocabulary[token]})", fontsize=8, pad=2)
    add_bar(fig, images[-1], SIZE[1] - 0.75 - MAP)

    def update(i):
        shown = landscapes(run.at(snapshots.steps[i]), box)
        ground.set_data(shades[shown.argmax(axis=-1)])
        for token, image in enumerate(images):
            image.set_data(shown[:, :, token])
        marks.move(embed[i])
        answers.set_offsets(landed[i])

    return [ground, *images, *marks.artists, answers], update


def landings_over_training(snapshots):
    """(the query after which the rule most often speaks, ids of the answers after it, its mean resid_mid for
    each, (S, A, 2)) on held-out windows."""
    run = snapshots.run
    windows, allowed = run.judge.held_out_windows[:WINDOWS, :-1], run.judge.allowed[:WINDOWS]
    query, _ = focus(run.last)
    asks = (allowed.sum(axis=-1) == 1) & (windows == query)
    answers = allowed.argmax(axis=-1)[asks]
    found = np.unique(answers).tolist()
    means = np.zeros((len(snapshots.steps), len(found), 2))
    for i, step in enumerate(snapshots.steps):
        reached = run.at(step).forward(windows).resid_mid[asks]
        means[i] = [reached[answers == answer].mean(axis=0) for answer in found] or means[i]
    return run.vocabulary[query], found, means
