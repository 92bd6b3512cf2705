"""How much memory a config needs: one too large for the machine is refused before anything is filled."""

import os
from math import inf, prod
from pathlib import Path

import numpy as np

from scratchformer.engine.model import parameter_shapes
from scratchformer.engine.names import ACTIVATIONS
from scratchformer.system.errors import ConfigError


def check_memory(config):
    """ConfigError if a training of this config does not fit into this machine's memory."""
    parts = needs(config)
    total, limit = sum(parts.values()), machine_memory()
    if total > limit:
        raise ConfigError(
            f"{config.name}: needs about {total / 2**30:,.0f} GB of memory, this machine has "
            f"{limit / 2**30:,.0f} GB; most of it is for {max(parts, key=parts.get)}"
        )


def needs(config):
    """Bytes that a training and its figures hold at a time, by what they are for; a rough estimate."""
    model, data, training = config.model, config.data, config.training
    V, T = data.numbers + len(data.operators), model.block_size
    float_size = np.dtype(training.dtype).itemsize
    parameters = sum(prod(shape) for shape in parameter_shapes(model, V).values())
    sizes = {
        "B": 1, "T": T, "C": model.n_embd, "H": model.num_heads, "D": model.head_size,
        "F": model.ffn_mult * model.n_embd, "V": V,
    }
    pass_size = float_size * sum(prod(sizes[dim] for dim in entry.dims.split()) for entry in ACTIVATIONS)
    tokens = data.num_sequences * (data.min_length + data.max_length) / 2
    windows = tokens - data.num_sequences * T
    held_out = windows * data.held_out_fraction
    stretch = min(training.steps, training.checkpoint_every, training.eval_every)
    return {
        "the parameters: see model.n_embd, model.ffn_mult, data.numbers": 10 * float_size * parameters,
        "the sequences: see data.num_sequences, data.max_length": 16 * tokens + 24 * (T + 1) * windows,
        "judging held-out windows: see data.num_sequences, data.held_out_fraction, model.block_size":
            held_out * (pass_size + T * (V + 16)),
        "one batch: see training.batch_size, model.block_size": 2 * training.batch_size * pass_size,
        "evaluations: see training.eval_windows": 2 * min(training.eval_windows, windows) * pass_size,
        "the steps: see training.steps, training.batch_size":
            24 * training.steps + 8 * training.batch_size * stretch,
    }


def machine_memory():
    """Bytes of memory that this machine, or our container, has; inf where that cannot be asked."""
    try:
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        physical = inf
    return min([physical, *container_limits()])


def container_limits(root=Path("/sys/fs/cgroup"), own=Path("/proc/self/cgroup")):
    """The limits of memory, in bytes, of the control groups that this process is in, version 1 and 2."""
    try:
        lines = own.read_text("utf-8").splitlines()
    except (OSError, ValueError):       # not Linux
        return []
    limits = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        top, name = (root, "memory.max") if not controllers else (root / "memory", "memory.limit_in_bytes")
        inner = top / group.lstrip("/")
        for folder in (inner, *inner.parents):
            try:
                text = (folder / name).read_text("utf-8").strip()
                limits.append(int(text) if text.isdecimal() else inf)
            except (OSError, ValueError):
                pass
            if folder == top:
                break
    return limits
