"""The training loop: batches, steps, evaluations, checkpoints."""

import time
from typing import NamedTuple

import numpy as np

from scratchformer.engine.adam import AdamSettings
from scratchformer.engine.model import empty_cache, parameter_shapes, unflatten
from scratchformer.engine.training import train_steps
from scratchformer.run.data import make_data
from scratchformer.run.judge import Judge
from scratchformer.run.memory import check_memory
from scratchformer.system.errors import Diverged


class State(NamedTuple):
    """All that changes in training; `theta`, `m`, `v` are vectors of all parameters, (P,)."""

    step: int
    theta: np.ndarray
    m: np.ndarray
    v: np.ndarray
    rng: np.random.Generator
    history: list                       # of (step, train loss, held-out loss, rule errors) rows


LOG_UNTIL = 64                          # the last step that a "log" schedule adds
LONGEST = 0.25                          # seconds of a compiled stretch, about: Ctrl-C waits for its end
LARGEST = 1e150                         # a parameter whose square is still a number
FIRST = 50                              # steps of the first, which tells how long a step takes
HISTORY_COLUMNS = ("step", "train_loss", "held_out_loss", "rule_error", "generated_rule_error")


def prepare(config):
    """(data, judge, state at step 0) of a config: all from one generator seeded with its seed.

    Raises ConfigError if the config is too large for this machine's memory.
    """
    check_memory(config)
    rng = np.random.default_rng(config.training.seed)
    data = make_data(config, rng)
    judge = Judge(config, data, rng)
    theta = initial_parameters(config, len(data.vocabulary), rng)
    return data, judge, State(0, theta, np.zeros_like(theta), np.zeros_like(theta), rng, [])


def initial_parameters(config, vocab_size, rng):
    """Embeddings from N(0, embedding_std), the rest uniform within ±1/√fan_in: (P,)."""
    shapes = parameter_shapes(config.model, vocab_size)
    fan_in = {"W_in": "C", "b_in": "C", "W_out": "F", "b_out": "F"}
    sizes = {"C": config.model.n_embd, "F": config.model.n_embd * config.model.ffn_mult}
    pieces = []
    for name, shape in shapes.items():
        if name in ("W_token", "W_pos"):
            pieces.append(rng.normal(0, config.model.embedding_std, shape).ravel())
        else:
            if name == "W_o":
                width = config.model.num_heads * config.model.head_size
            else:
                width = sizes[fan_in.get(name, "C")]
            pieces.append(rng.uniform(-1, 1, shape).ravel() / np.sqrt(width))
    return np.concatenate(pieces).astype(config.training.dtype)


def learning_rates(training):
    """The learning rate of every step: linear warm-up, then constant or a cosine to 0. (steps,)"""
    step = np.arange(1, training.steps + 1)
    rate = np.full(training.steps, training.learning_rate)
    if training.schedule == "cosine":
        after = (step - training.warmup_steps) / max(training.steps - training.warmup_steps, 1)
        rate *= 0.5 * (1 + np.cos(np.pi * np.clip(after, 0, 1)))
    if training.warmup_steps:
        rate *= np.minimum(step / training.warmup_steps, 1)
    return rate


def train(config, data, judge, state, on_checkpoint):
    """Train from `state` to the last step; yields the State after every stretch of steps.

    A stretch ends at a checkpoint or an evaluation, or after about LONGEST seconds. Where it ends changes no
    bit: the generator draws the same batches in one call as in several.
    `on_checkpoint(state)` is called at the steps that `is_checkpoint` names.
    Raises Diverged when something is not finite; the last checkpoint is the last good one.
    """
    settings = config.training
    shapes = parameter_shapes(config.model, len(data.vocabulary))
    theta, m, v = state.theta.copy(), state.m.copy(), state.v.copy()
    gradient = np.zeros_like(theta)
    params, dparams = unflatten(theta, shapes), unflatten(gradient, shapes)
    batch = np.zeros((settings.batch_size, config.model.block_size), np.int64)
    cache = empty_cache(params, batch.copy(), batch.copy(), config.model.use_residual)
    dcache = empty_cache(params, cache.tokens, cache.targets, config.model.use_residual)
    rates = learning_rates(settings)
    adam = AdamSettings(settings.beta1, settings.beta2, settings.epsilon, settings.weight_decay)
    state = state._replace(theta=theta, m=m, v=v)
    if state.step == 0:
        state = state._replace(history=[(0, *judge.measure(params))])
        check_finite(state)
        on_checkpoint(state)
    longest = FIRST
    while state.step < settings.steps:
        stop = min(
            next_checkpoint(state.step, settings), next_multiple(state.step, settings.eval_every),
            settings.steps, state.step + longest,
        )
        start = time.perf_counter()
        size = (stop - state.step, settings.batch_size)
        batches = state.rng.integers(0, len(data.train_windows), size)
        train_steps(
            params, theta, m, v, cache, dparams, gradient, dcache, data.train_windows, batches,
            state.step, rates, adam,
        )
        a_step = (time.perf_counter() - start) / (stop - state.step)
        longest = max(1, min(int(LONGEST / max(a_step, 1e-9)), 2 * longest))
        if not np.isfinite(theta).all():
            names = (name for name in params._fields if not np.isfinite(getattr(params, name)).all())
            raise Diverged(f"between steps {state.step} and {stop}: not finite any more: {', '.join(names)}")
        history = state.history
        if stop % settings.eval_every == 0 or stop == settings.steps:
            history = [*history, (stop, *judge.measure(params))]
        state = state._replace(step=stop, history=history)
        if is_checkpoint(stop, settings):
            check_finite(state)
            on_checkpoint(state)
        yield state


def check_finite(state):
    """Diverged if Adam's means or what was measured last are not finite, or a parameter is above LARGEST."""
    if float(np.abs(state.theta).max()) > LARGEST:
        raise Diverged(f"by step {state.step}: parameters too large to compute with")
    values = {"m": state.m, "v": state.v} | dict(zip(HISTORY_COLUMNS, state.history[-1], strict=True))
    bad = [name for name, value in values.items() if not np.isfinite(value).all()]
    if bad:
        raise Diverged(f"by step {state.step}: not finite any more: {', '.join(bad)}")


def is_checkpoint(step, settings):
    """Whether the state of a step is saved: the multiples of `checkpoint_every` and the last step are;
    with checkpoint_schedule = "log" also 1, 2, 4, ... up to 64."""
    early = settings.checkpoint_schedule == "log" and step <= LOG_UNTIL and step & (step - 1) == 0
    return early or step % settings.checkpoint_every == 0 or step == settings.steps


def next_checkpoint(step, settings):
    """The first step after `step` that `is_checkpoint` may name, the last step aside."""
    power = 1 << step.bit_length()
    early = settings.checkpoint_schedule == "log" and power <= LOG_UNTIL
    return min(power if early else settings.steps, next_multiple(step, settings.checkpoint_every))


def next_multiple(step, interval):
    """The first multiple of `interval` after `step`."""
    return (step // interval + 1) * interval
