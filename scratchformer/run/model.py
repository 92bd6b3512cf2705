"""A model at a step of its training: its parameters, read once, and what they compute."""

from functools import cached_property

import numpy as np

from scratchformer.engine import model as engine
from scratchformer.run.judge import count_wrong
from scratchformer.system.errors import RunError


class Model:
    """The model of a run at a saved step: `run.at(step)`, `run.last`.

    run: the Run; step; params: Params; config, rule, vocabulary, data, demos: the run's
    """

    beside = None                       # the model whose figures stand beside its own, on one scale
    head = 1                            # the one that figures show, counted from 1: the first of the params

    def __init__(self, run, step, params):
        self.run, self.step, self.params = run, step, params
        self.config = run.config

    @cached_property
    def rule(self):
        """The run's rule as a function of the history."""
        return self.run.rule

    @property
    def name(self):
        """The run's name."""
        return self.config.name

    @property
    def data(self):
        """The Data that the model was trained and judged on."""
        return self.run.data

    @property
    def vocabulary(self):
        """Tokens as text, in id order."""
        return self.run.vocabulary

    @property
    def demos(self):
        """The sequences that the figures follow: list of (T,) token ids."""
        return self.run.demos

    @property
    def use_residual(self):
        return self.config.model.use_residual

    def forward(self, tokens, targets=None):
        """The Cache of (B, T) token ids."""
        return engine.forward(self.params, tokens, targets, self.use_residual)

    def with_head(self, head):
        """The same model with another head first, which figures then show: heads are a sum, in any order.

        head: counted from 1; RunError if there is none of that number
        """
        H = self.config.model.num_heads
        if not 1 <= head <= H:
            raise RunError(f"--head {head}: this model has {'one head' if H == 1 else f'heads 1 to {H}'}")
        order = [head - 1, *(h for h in range(H) if h != head - 1)]
        params = self.params
        moved = {name: getattr(params, name)[:, order].copy() for name in ("W_q", "W_k", "W_v")}
        if params.W_o.size:
            moved["W_o"] = params.W_o[order].copy()
        model = type(self)(self.run, self.step, self.params._replace(**moved))
        model.head = head
        return model

    @cached_property
    def grid(self):
        """The Cache of every token at every position: row i is token i over and over, (V, T).

        Its embed, q, k and v are those of each (token, position) pair, whatever the context.
        """
        V, T = len(self.vocabulary), self.config.model.block_size
        return self.forward(np.repeat(np.arange(V)[:, None], T, axis=1))

    def landscape(self, points):
        """Probability of each next token if `resid_mid` lay at each of the points: (N, C) -> (N, V)."""
        return engine.landscape(self.params, points, self.use_residual)

    @cached_property
    def held_out(self):
        """The Cache of all held-out windows, with their targets."""
        return self.forward(self.run.held_out.tokens, self.run.held_out.targets)

    def count_wrong(self):
        """(wrong, constrained): at how many constrained held-out positions the top prediction is wrong."""
        return count_wrong(self.held_out.logits, self.run.held_out.allowed)

    def measure(self, metric):
        """A Metric's value on all held-out windows."""
        return metric.measure(self.held_out, self.run.held_out.allowed)

    def generate(self, count, length):
        """`count` sequences sampled from the model, the same at every call: (count, length)."""
        noise = np.random.default_rng(self.config.training.seed).random((count, length))
        return self.run.judge.generate(self.params, noise)
