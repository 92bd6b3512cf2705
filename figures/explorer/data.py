"""What the explorer's page knows of a run: snapshots, windows, history, and how the passes are wired."""

import ast
import base64
import inspect
from functools import cache
from pathlib import Path

import numpy as np
from matplotlib import colormaps

from scratchformer.analysis.families import family
from scratchformer.engine import attention, embedding, feed_forward, linear, lm_head, passes
from scratchformer.engine.steps import backward_steps, forward_steps
from scratchformer.figures.style import PROBABILITY, SIGNED, token_colors
from scratchformer.run.judge import lands_right

MODULES = (linear, embedding, attention, feed_forward, lm_head, passes)
MOST_SNAPSHOTS = 700_000                # bytes of all snapshots as float64; of more, as float32 and fewer
MOST_TOKENS = 150_000                   # of the training sequences that the page carries
MOST_HELD_OUT = 30_000
SHADES = 65                             # of a colour map


def run_data(model, table):
    """All of it, as what JSON can hold."""
    run, config = model.run, model.config
    vocabulary, settings = run.data.vocabulary, config.training
    sizes = {
        "V": len(vocabulary), "T": config.model.block_size, "C": config.model.n_embd,
        "H": config.model.num_heads, "D": config.model.head_size,
        "F": config.model.ffn_mult * config.model.n_embd,
    }
    wide = len(vocabulary) > 256
    steps, snapshots = all_snapshots(run, model.step)
    return {
        "name": model.name, "description": config.description, "sizes": sizes, "steps": steps,
        "start": steps.index(model.step),
        "use_residual": model.use_residual, "tokens": list(vocabulary), "words": list(run.vocabulary),
        "families": [family(word) for word in run.vocabulary], "table": table,
        "forward": [step_data(step) for step in forward_steps().values()],
        "backward": [step_data(step) for step in backward_steps()], "code": code_places(),
        "snapshots": snapshots, "history": {
            name: run.history[name].tolist() for name in ("step", "held_out_loss", "rule_error")},
        "held_out": sequences(run.data.held_out_sequences, MOST_HELD_OUT, wide),
        "train": sequences(run.data.train_sequences, MOST_TOKENS, wide), "wide": wide,
        "training": {name: getattr(settings, name) for name in (
            "learning_rate", "batch_size", "weight_decay", "seed", "beta1", "beta2", "epsilon")},
        "sequence": [int(i) for i in run.demos[0]], "hard": hard_sequence(run.last), "colors": colors(run),
    }


def all_snapshots(run, shown):
    """(steps, {kind, values, last}): the parameters of the saved steps end to end, the last ones exact.

    If they are too many, every few are left out, but not the step `shown`.
    """
    size = sum(int(np.prod(shape)) for shape in run.files.shapes.values())
    kind = "float64" if 8 * size * len(run.steps) <= MOST_SNAPSHOTS else "float32"
    fits = max(2, MOST_SNAPSHOTS // (np.dtype(kind).itemsize * size))
    places = np.linspace(0, len(run.steps) - 1, min(fits, len(run.steps))).round().astype(int)
    steps = sorted({run.steps[i] for i in places} | {shown})
    vectors = [np.concatenate([array.ravel() for array in run.files.params(step)]) for step in steps]
    return steps, {
        "kind": kind, "values": encoded(np.concatenate(vectors), kind),
        "last": encoded(vectors[-1], "float64"),
    }


def encoded(values, dtype):
    """Numbers as base64 of their bytes, the low one first."""
    return base64.b64encode(values.astype(np.dtype(dtype).newbyteorder("<")).tobytes()).decode()


def sequences(rows, most, wide):
    """{lengths, ids}: as many whole sequences as hold `most` tokens, at least one."""
    ends = np.cumsum([len(row) for row in rows])
    rows = rows[: max(1, int((ends <= most).sum()))]
    ids = np.concatenate(rows)
    return {"lengths": [len(row) for row in rows], "ids": encoded(ids, "uint16" if wide else "uint8")}


def hard_sequence(model):
    """The shortest beginning of a held-out window after which the model breaks its rule; [] without one."""
    held_out = model.run.held_out
    decided = held_out.allowed.any(axis=-1)
    wrong = np.argwhere(decided & ~lands_right(model.held_out.logits, held_out.allowed))
    if not len(wrong):
        return []
    n, t = wrong[wrong[:, 1].argmin()]
    return held_out.tokens[n, : t + 1].tolist()


def step_data(step):
    """A Step of a pass for the page."""
    return {
        "name": step.name, "function": step.function.__name__, "arguments": step.arguments,
        "fills": step.fills, "formula": step.formula, "line": step.line,
    }


@cache
def code_places():
    """{function: {file, line}} of the engine's functions."""
    return {
        node.name: {"file": Path(module.__file__).name, "line": node.lineno}
        for module in MODULES for node in ast.parse(inspect.getsource(module)).body
        if isinstance(node, ast.FunctionDef)
    }


def colors(run):
    """The figures' colours: of each token, and the two maps, as lists of [r, g, b] up to 255."""
    shades = np.linspace(0, 1, SHADES)
    maps = {"signed": colormaps[SIGNED](shades), "probability": colormaps[PROBABILITY](shades)}
    return {
        "tokens": to_bytes(token_colors(run.vocabulary)),
        **{name: to_bytes(values[:, :3]) for name, values in maps.items()},
    }


def to_bytes(values):
    return (np.asarray(values) * 255).round().astype(int).tolist()
