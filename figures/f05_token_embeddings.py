"""The embeddings: what the model knows of a token and of a position before it computes anything."""

import numpy as np

from scratchformer.analysis.families import family, family_gaps
from scratchformer.analysis.geometry import closest_and_farthest
from scratchformer.figures.labels import labelled_position, sharing
from scratchformer.figures.marks import family_legend
from scratchformer.figures.planes import position_plane, sum_plane, token_plane
from scratchformer.figures.style import figure_title, heatmap, panel, position_colors, token_colors
from scratchformer.figures.words import counted, dim_names, listed, position_names

HEADING = "Embeddings"
QUESTION = "What does the model know of a token before it has read any other?"
LOOK = "the plane of tokens below: which ones lie together"
SIZE = (10, 8.0)
ALIKE, MOST = 0.03, 12                  # of the farthest distance; tokens that a title names


def draw(fig, model):
    """Above the matrices, below the same as points."""
    params, vocabulary = model.params, model.vocabulary
    V, C = params.W_token.shape
    T = len(params.W_pos)
    figure_title(fig, model, f"Token embeddings: {describe_pairs(model)}")
    colors = token_colors(vocabulary)
    dims, places = dim_names(C, 4), position_names(T)
    left = heatmap(panel(fig, 0.55, 4.35, 1.85, 2.7), params.W_token, vocabulary, dims, "value", colors)
    middle = heatmap(
        panel(fig, 3.7, 4.35, 1.85, 2.7), params.W_pos, places, dims, "value", position_colors(T)
    )
    total = model.grid.embed[:, :, 0]
    right = heatmap(panel(fig, 6.65, 4.35, 2.6, 2.7), total, vocabulary, places, "value", colors)
    left.axes.set_title(f"W_token ({V} × {C})")
    middle.axes.set_title(f"W_pos ({T} × {C})")
    right.axes.set_title(f"token + position, dim 0 ({V} × {T})")
    planes = [panel(fig, x, 0.75, 2.6, 2.6) for x in (0.68, 3.96, 7.24)]
    token_plane(planes[0], params, vocabulary)
    position_plane(planes[1], params)
    sum_plane(planes[2], model.grid.embed, vocabulary, 7.5, each=False)
    planes[0].set_title("tokens")
    planes[1].set_title("positions")
    planes[2].set_title(f"token + position (p{labelled_position(T)} labelled)")
    family_legend(fig, vocabulary, SIZE[0] / 2, 0.15)


def describe_pairs(model):
    """The tokens that lie together, or the closest two, and the farthest two, in words."""
    names, W_token = model.vocabulary, model.params.W_token
    near, far, low, high = closest_and_farthest(W_token)
    if len(names) < 3:
        return f"{names[0]} and {names[1]} lie {low:.2f} apart"
    apart = np.linalg.norm(W_token[:, None] - W_token, axis=-1)
    together = max(((row < ALIKE * high).nonzero()[0] for row in apart), key=len)
    alike = sharing([names[i] for i in together], among=names)
    alike = f"{alike} tokens share one place" if alike == family(names[together[0]]) else (
        f"{listed([names[i] for i in together])} share one place"
    )
    if not 1 < len(together) <= MOST:
        alike = f"{names[near[0]]} and {names[near[1]]} lie closest"
    return f"{alike}; {names[far[0]]} and {names[far[1]]} lie farthest apart"


def caption(model):
    """What the figure shows, and which families of tokens stand apart in this run."""
    params = model.params
    V, C = params.W_token.shape
    pairs, before = (compare_families(one) for one in (model, model.run.at(model.run.steps[0])))
    verdicts = [
        f"{lead} {listed([text for text, apart in pairs if apart == wanted])}"
        for wanted, lead in ((True, "these pairs are apart:"), (False, "these are not:"))
        if wanted in [apart for _, apart in pairs]
    ]
    return (
        f"Above, the learned numbers: a row of {counted(C, 'value')} for each of {V} tokens, one for each of "
        f"{counted(len(params.W_pos), 'position')}, and dimension 0 of their sum, where the model starts "
        "from. Below, the same as points, coloured by token on the left and right, by position in the "
        "middle. Call two families of tokens apart if their means are further from each other than their "
        f"spreads taken together. By that measure {'; '.join(verdicts)}. At step {model.run.steps[0]}, where "
        f"chance alone had placed them, {sum(apart for _, apart in before)} of {len(before)} were. The "
        "planes follow at full size."
    )


def compare_families(model):
    """For each pair of families, (their distance against their spreads in words, whether they are apart)."""
    return [
        (f"{a}–{b} ({distance:.3g} against {both:.3g})", distance > both)
        for (a, b), (distance, both) in family_gaps(model).items()
    ]
