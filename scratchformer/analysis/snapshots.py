"""What films show of every snapshot of a run."""

from typing import NamedTuple

import numpy as np

from scratchformer.run.judge import count_wrong
from scratchformer.run.run import Run


class Snapshots(NamedTuple):
    """Arrays whose first axis is the snapshot, S of them; q, k and v are those of the first head."""

    run: Run
    steps: list
    W_token: np.ndarray                 # (S, V, C)
    W_pos: np.ndarray                   # (S, T, C)
    embed: np.ndarray                   # (S, V, T, C), of every token at every position
    q: np.ndarray                       # (S, V, T, D)
    k: np.ndarray                       # (S, V, T, D)
    v: np.ndarray                       # (S, V, T, D)
    loss: np.ndarray                    # (S,), on the held-out windows that training is judged by
    rule_error: np.ndarray              # (S,), on the same


STILL = 0.3                             # share of the frames that are spaced by step, whatever happens


def spaced_steps(run, count):
    """At most `count` of the saved steps, the first and the last among them, closer where more changes.

    The change between two snapshots is how far embeddings, queries, keys and values move on average, each in
    units of its spread at the end; a share of STILL is spread evenly over the steps.
    """
    steps = run.steps
    if len(steps) <= count:
        return steps
    grids = [run.at(step).grid for step in steps]
    change = np.zeros(len(steps) - 1)
    for name in ("embed", "q", "k", "v"):
        points = np.array([getattr(grid, name) for grid in grids])              # (S, ...)
        moves = np.linalg.norm(np.diff(points, axis=0), axis=-1)
        change += moves.reshape(len(change), -1).mean(axis=1) / (points[-1].std() or 1.0)
    share = np.diff(steps) / (steps[-1] - steps[0])
    if change.sum():
        share = STILL * share + (1 - STILL) * change / change.sum()
    along = np.concatenate([[0], share.cumsum()])
    chosen = np.abs(along - np.linspace(0, along[-1], count)[:, None]).argmin(axis=1)
    return [steps[i] for i in sorted({0, len(steps) - 1, *chosen.tolist()})]


def take_snapshots(run, steps):
    """The Snapshots of a run at saved steps."""
    windows, allowed = run.judge.held_out_windows, run.judge.allowed
    rows = []
    for step in steps:
        model = run.at(step)
        params, grid = model.params, model.grid
        cache = model.forward(windows[:, :-1], windows[:, 1:])
        wrong, constrained = count_wrong(cache.logits, allowed)
        rows.append((
            params.W_token, params.W_pos, grid.embed, grid.q[:, 0], grid.k[:, 0], grid.v[:, 0],
            cache.loss, wrong / max(constrained, 1),
        ))
    return Snapshots(run, list(steps), *map(np.array, zip(*rows, strict=True)))
