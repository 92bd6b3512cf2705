"""The landscape: what the model would predict if the stream after attention lay at a point of its plane."""

import numpy as np

GRID = 120                      # points along each side of a landscape
MARGIN = 0.05                   # around what a frame holds, in its sides


def square_box(points, margin=0.04):
    """The smallest square around the points, and a margin in its sides: (left, right, bottom, top)."""
    low, high = points.min(axis=0), points.max(axis=0)
    half = (0.5 + margin) * ((high - low).max() or 1.0)
    x, y = (low + high) / 2
    return x - half, x + half, y - half, y + half


def plane_grid(box):
    """Centres of GRID x GRID cells of the box (left, right, bottom, top), row by row: (GRID**2, 2)."""
    steps = (np.arange(GRID) + 0.5) / GRID
    x, y = box[0] + (box[1] - box[0]) * steps, box[2] + (box[3] - box[2]) * steps
    return np.column_stack([np.tile(x, GRID), np.repeat(y, GRID)])


def landscapes(model, box):
    """Probability of each next token in GRID x GRID cells of the box, lowest row first: (GRID, GRID, V)."""
    return model.landscape(plane_grid(box)).reshape(GRID, GRID, -1)


def likeliest_counts(probs):
    """At how many points each next token is the top prediction: (..., V) -> (V,)."""
    return np.bincount(probs.argmax(axis=-1).ravel(), minlength=probs.shape[-1])


def stream_points(model):
    """Embeddings of every token at every position, then `resid_mid` of all held-out windows: (N, C)."""
    return flat(model.grid.embed, model.held_out.resid_mid)


def frame_points(model):
    """What the frame has to hold: the stream's points and, where they lie in its plane, the values; of the
    model that it is compared with as well."""
    models = [model] if model.beside is None else [model, model.beside]
    return flat(*(
        array for each in models for array in (stream_points(each), *[each.grid.v] * values_in_stream(each))
    ))


def frame(model):
    """The part of the plane that all figures of a model show: (left, right, bottom, top)."""
    return square_box(frame_points(model), MARGIN)


def values_in_stream(model):
    """Whether v lies in the stream's plane: attention adds the mixed values as they are."""
    return model.params.W_o.size == 0


def flat(*arrays):
    """(..., C) each -> (N, C)."""
    return np.concatenate([array.reshape(-1, array.shape[-1]) for array in arrays])
