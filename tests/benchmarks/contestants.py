"""The contestants of `training.py`: the same model, trained by scratchformer, JAX, PyTorch and C.

Each has a `title`; `start()` returns to the task's parameters, with fresh moments; `train(batches)`
takes one step for each row of batches: (steps, B) rows of the task's windows; `parameters()` are those
it has arrived at, as one vector in scratchformer's order. One that is not installed fails to be made,
with ImportError or FileNotFoundError.
"""

import ctypes
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scratchformer.engine.adam import AdamSettings
from scratchformer.engine.model import empty_cache, parameter_shapes, unflatten
from scratchformer.engine.training import train_steps
from scratchformer.run.config import Config, ModelConfig, TrainingConfig
from scratchformer.run.train import initial_parameters

V = 12
SOURCE = Path(__file__).resolve().with_name("fused_loop.c")


class Size(NamedTuple):
    T: int
    C: int
    B: int
    ffn_mult: int
    dtype: str
    tolerance: float        # of parameters after the steps of the check

    def __str__(self):
        return f"T={self.T}, C={self.C}, F={self.ffn_mult * self.C}, B={self.B}"


SIZES = (
    Size(8, 2, 8, 16, "float64", 1e-9), Size(8, 16, 8, 4, "float32", 1e-3),
    Size(16, 32, 8, 4, "float32", 1e-3), Size(16, 64, 32, 4, "float32", 1e-3),
)


class Task:
    """What all contestants of a size are given: parameters to start from, and windows of tokens."""

    def __init__(self, size):
        rng = np.random.default_rng(0)
        model = ModelConfig(
            n_embd=size.C, head_size=size.C, num_heads=1, block_size=size.T, ffn_mult=size.ffn_mult
        )
        self.size, self.training = size, TrainingConfig(dtype=size.dtype)
        self.shapes = parameter_shapes(model, V)
        self.theta = initial_parameters(Config(model=model, training=self.training), V, rng)
        self.windows = rng.integers(0, V, (2000, size.T + 1))

    def reseed(self, seed):
        """Choose the batches that `draw` will return from here on."""
        self.rng = np.random.default_rng(seed)

    def draw(self, steps):
        """Batches for so many steps: rows of windows. (steps, B)"""
        return self.rng.integers(0, len(self.windows), (steps, self.size.B))

    def pieces(self):
        """Copies of the parameters to start from by name; the empty W_o is left out."""
        params = unflatten(self.theta.copy(), self.shapes)._asdict()
        return {name: array for name, array in params.items() if array.size}


class Scratchformer:
    title = "scratchformer"

    def __init__(self, task):
        self.task = task
        self.theta, self.gradient = np.empty_like(task.theta), np.zeros_like(task.theta)
        self.params, self.dparams = unflatten(self.theta, task.shapes), unflatten(self.gradient, task.shapes)
        tokens, targets = np.zeros((2, task.size.B, task.size.T), np.int64)
        self.cache = empty_cache(self.params, tokens, targets, True)
        self.dcache = empty_cache(self.params, tokens, targets, True)

    def start(self):
        self.theta[:] = self.task.theta
        self.m, self.v, self.step = np.zeros_like(self.theta), np.zeros_like(self.theta), 0

    def train(self, batches):
        a = self.task.training
        rates = np.full(self.step + len(batches), a.learning_rate)
        train_steps(
            self.params, self.theta, self.m, self.v, self.cache, self.dparams, self.gradient, self.dcache,
            self.task.windows, batches, self.step, rates,
            AdamSettings(a.beta1, a.beta2, a.epsilon, a.weight_decay),
        )
        self.step += len(batches)

    def parameters(self):
        return self.theta


class Jax:
    """One compiled scan over a stretch of steps, its state donated; of the ways tried to write the
    model, the fastest."""

    title = "JAX"

    def __init__(self, task):
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_enable_x64", task.size.dtype == "float64")
        self.task, self.jax, self.windows = task, jax, jnp.asarray(task.windows, jnp.int32)
        a, T, C = task.training, task.size.T, task.size.C
        causal = jnp.tril(jnp.ones((T, T), bool))

        def product(a, b):
            """a @ b; for a narrow model XLA is faster when it can fuse the sum with its neighbours."""
            return a @ b if C > 4 else jnp.sum(a[..., None] * b[..., None, :, :], axis=-2)

        def loss(p, tokens, targets):
            embed = p["W_token"][tokens] + p["W_pos"]
            W_qkv = jnp.concatenate([p[name].reshape(C, C) for name in ("W_q", "W_k", "W_v")], axis=1)
            q, k, v = jnp.split(embed @ W_qkv, 3, axis=-1)
            scores = jnp.where(causal, product(q, k.mT) / C**0.5, -jnp.inf)
            resid = embed + product(jax.nn.softmax(scores), v)
            resid = resid + jax.nn.relu(resid @ p["W_in"] + p["b_in"]) @ p["W_out"] + p["b_out"]
            logits = jax.nn.log_softmax(resid @ p["W_unembed"] + p["b_unembed"])
            return -jnp.mean(jnp.sum(logits * jax.nn.one_hot(targets, V, dtype=a.dtype), -1))

        def one_step(windows, state, rows):
            p, m, v, step = state
            window = windows[rows]
            value, g = jax.value_and_grad(loss)(p, window[:, :-1], window[:, 1:])
            step = step + 1
            correction1, correction2 = 1 - a.beta1**step, 1 - a.beta2**step
            m = jax.tree.map(lambda m, g: a.beta1 * m + (1 - a.beta1) * g, m, g)
            v = jax.tree.map(lambda v, g: a.beta2 * v + (1 - a.beta2) * g * g, v, g)
            p = jax.tree.map(
                lambda p, m, v: p - a.learning_rate * (
                    (m / correction1) / (jnp.sqrt(v / correction2) + a.epsilon) + a.weight_decay * p
                ), p, m, v,
            )
            return (p, m, v, step), value

        @partial(jax.jit, donate_argnums=0)
        def train(state, windows, batches):
            return jax.lax.scan(partial(one_step, windows), state, batches)

        self.compiled = train

    def start(self):
        p = self.jax.device_put(self.task.pieces())
        m, v = ({name: 0 * array for name, array in p.items()} for _ in range(2))
        self.state = p, m, v, self.jax.numpy.zeros((), self.task.size.dtype)

    def train(self, batches):
        self.state, losses = self.compiled(self.state, self.windows, batches.astype(np.int32))
        self.jax.block_until_ready((self.state, losses))

    def parameters(self):
        return np.concatenate([np.ravel(self.state[0][name]) for name in self.task.pieces()])


class Torch:
    """Eager, with the fused AdamW."""

    title = "PyTorch"

    def __init__(self, task):
        import torch

        torch.set_num_threads(1)
        self.task, self.torch, self.windows = task, torch, torch.from_numpy(task.windows)

    def start(self):
        a = self.task.training
        self.p = {name: self.torch.from_numpy(array) for name, array in self.task.pieces().items()}
        for name in ("W_q", "W_k", "W_v"):
            self.p[name] = self.p[name].squeeze(1)
        for array in self.p.values():
            array.requires_grad_()
        self.optimizer = self.torch.optim.AdamW(
            self.p.values(), a.learning_rate, (a.beta1, a.beta2), a.epsilon, a.weight_decay, fused=True
        )

    def train(self, batches):
        p, F = self.p, self.torch.nn.functional
        for rows in self.torch.from_numpy(batches):
            window = self.windows[rows]
            embed = F.embedding(window[:, :-1], p["W_token"]) + p["W_pos"]
            q, k, v = embed @ p["W_q"], embed @ p["W_k"], embed @ p["W_v"]
            resid = embed + F.scaled_dot_product_attention(q, k, v, is_causal=True)
            resid = resid + F.relu(resid @ p["W_in"] + p["b_in"]) @ p["W_out"] + p["b_out"]
            logits = resid @ p["W_unembed"] + p["b_unembed"]
            loss = F.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten())
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    def parameters(self):
        return np.concatenate([array.detach().numpy().ravel() for array in self.p.values()])


class FusedC:
    """`fused_loop.c`, compiled for one size. The link goes without -ffast-math, which would switch off
    denormal numbers for everything else in the process."""

    title = "C"

    def __init__(self, task):
        size = task.size
        real = {"float64": "double", "float32": "float"}[size.dtype]
        sizes = {"REAL": real, "T": size.T, "C": size.C, "F": size.ffn_mult * size.C, "B": size.B, "V": V}
        defines = [f"-D{name}={value}" for name, value in sizes.items()]
        compile_ = ["cc", "-O3", "-march=native", "-ffast-math", "-fPIC", *defines, "-c", SOURCE]
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            subprocess.run([*compile_, "-o", "loop.o"], cwd=folder, check=True)
            subprocess.run(["cc", "-shared", "loop.o", "-o", "loop.so", "-lm"], cwd=folder, check=True)
            self.loop = ctypes.CDLL(str(Path(folder) / "loop.so")).train_steps
        self.task = task
        integer, double, pointer = ctypes.c_int64, ctypes.c_double, ctypes.c_void_p
        self.loop.argtypes = [pointer] * 5 + [integer] * 2 + [double] * 5 + [pointer]
        self.loop.restype = None

    def start(self):
        self.theta, self.step = self.task.theta.copy(), 0
        self.m, self.v = np.zeros_like(self.theta), np.zeros_like(self.theta)

    def train(self, batches):
        a, losses = self.task.training, np.empty(len(batches))
        arrays = self.theta, self.m, self.v, self.task.windows, batches
        self.loop(
            *(array.ctypes.data for array in arrays), len(batches), self.step,
            a.learning_rate, a.beta1, a.beta2, a.epsilon, a.weight_decay, losses.ctypes.data,
        )
        self.step += len(batches)

    def parameters(self):
        return self.theta


CONTESTANTS = (Scratchformer, Jax, Torch, FusedC)
