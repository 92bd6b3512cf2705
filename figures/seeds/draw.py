"""Writes the figures of sweeps."""

import io
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from scratchformer.engine.model import forward
from scratchformer.figures.draw import NO_DATES
from scratchformer.figures.seeds import atlas, curves
from scratchformer.figures.seeds.groups import THRESHOLD, find_groups, interchangeable
from scratchformer.figures.style import FAMILIES, RC, family
from scratchformer.figures.words import counted
from scratchformer.run.data import allowed_next
from scratchformer.run.own_rule import find_rule
from scratchformer.run.train import prepare
from scratchformer.system.files import write_atomically

MOST = 128                      # seeds that are sorted into groups: the work grows with their square


def draw_seeds(sweep, format="png", dpi=150):
    """Write seeds_learning_curves and seeds_atlas into the sweep's folder; returns a line on the groups."""
    save(sweep.folder / f"seeds_learning_curves.{format}", curves.SIZE, dpi, curves.draw, [sweep])
    results = [result for result in sweep.results if len(result.theta) and not result.note][:MOST]
    if not results:
        return "no seed has embeddings to draw"
    data, _, _ = prepare(sweep.config)
    windows = data.held_out_windows[:, :-1]
    rule = find_rule(sweep.config.data)
    classes = interchangeable(rule, data.vocabulary, windows)
    windows = windows[:400]
    groups = find_groups([result.params(sweep.config).W_token for result in results], classes)
    vocabulary = tuple(map(str, data.vocabulary))
    constrained = allowed_next(rule, data.vocabulary, windows).any(axis=-1)
    shares = [
        attention_shares(result.params(sweep.config), vocabulary, windows, constrained, sweep.config)
        for result in results
    ]
    size = atlas.size(len(results), len(groups.members))
    save(
        sweep.folder / f"seeds_atlas.{format}", size, dpi, atlas.draw,
        sweep, results, groups, classes, vocabulary, shares,
    )
    sizes = ", ".join(str(len(ids)) for ids in groups.members[:10])
    more = ", ..." if len(groups.members) > 10 else ""
    return (f"{counted(len(results), 'seed')} fall into {counted(len(groups.members), 'group')} "
            f"at distance < {THRESHOLD}: {sizes}{more}")


def draw_compare(one, other, folder, format="png", dpi=150):
    """Write seeds_compare into a folder: the learning curves of two sweeps on the same axes."""
    save(Path(folder) / f"seeds_compare.{format}", curves.SIZE, dpi, curves.draw, [one, other])


def attention_shares(params, vocabulary, windows, constrained, config):
    """How much constrained positions read from each token family, the mean over them and the heads: a dict.

    windows: (N, T) ids; constrained: (N, T) bool
    """
    attention = forward(params, windows, None, config.model.use_residual).attention.mean(axis=1)
    rows, read = attention[constrained], np.repeat(windows, constrained.sum(axis=1), axis=0)
    families = np.array([family(token) for token in vocabulary])
    return {
        name: float((rows * (families[read] == name)).sum() / max(len(rows), 1))
        for name in FAMILIES if name in families
    }


def save(path, size, dpi, draw, *arguments):
    """Draw a figure of that size and write it, the same bytes at every call."""
    buffer = io.BytesIO()
    format = path.suffix[1:]
    with matplotlib.rc_context(RC):
        fig = Figure(figsize=size)
        draw(fig, *arguments)
        fig.savefig(buffer, format=format, dpi=dpi, metadata=NO_DATES[format])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())
