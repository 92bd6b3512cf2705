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
