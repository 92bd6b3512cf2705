"""Microseconds per training step: scratchformer against JAX, PyTorch and a hand-fused C loop.

    python tests/benchmarks/training.py [--sizes 0 1 2 3] [--repeats 5]

A step is everything that training does: drawing a random batch, forward, backward, Adam with weight
decay. One core; contestants take turns, so that a machine that drifts is unfair to none; medians of
all repeats. Before the clock runs, all contestants take the same steps from the same parameters, and
the script ends with exit code 1 if they do not arrive at the same parameters. A contestant that is not
installed is shown as -; C needs a compiler named `cc`.
"""

import argparse
import ctypes
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

# One core and one thread for every library: they read this when they are imported.
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "NPROC"):
    os.environ[name] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["JAX_PLATFORMS"] = "cpu"

import numpy as np  # noqa: E402

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from scratchformer.config import Config, Model, Training  # noqa: E402
from scratchformer.model import empty_cache, parameter_shapes, unflatten  # noqa: E402
from scratchformer.train import initial_parameters, train_steps  # noqa: E402

V = 12
STRETCH = 100               # steps between two returns to Python
CHECKED_STEPS = 20
SECONDS = 0.3               # of each measurement, about


class Size(NamedTuple):
    T: int
    C: int
    B: int
    ffn_mult: int
    dtype: str
    tolerance: float        # of parameters after CHECKED_STEPS

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
        model = Model(n_embd=size.C, head_size=size.C, num_heads=1, block_size=size.T, ffn_mult=size.ffn_mult)
        self.size, self.training = size, Training(dtype=size.dtype)
        self.shapes = parameter_shapes(model, V)
        self.theta = initial_parameters(Config(model=model, training=self.training), V, rng)
        self.windows = rng.integers(0, V, (2000, size.T + 1))

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
            self.task.windows, batches, self.step, rates, a.beta1, a.beta2, a.epsilon, a.weight_decay,
        )
        self.step += len(batches)

    def parameters(self):
        return self.theta


class Jax:
    """One compiled scan over a stretch of steps, its state donated."""

    title = "JAX"

    def __init__(self, task):
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_enable_x64", task.size.dtype == "float64")
        self.task, self.jax, self.windows = task, jax, jnp.asarray(task.windows, jnp.int32)
        a, T, C = task.training, task.size.T, task.size.C
        causal = jnp.tril(jnp.ones((T, T), bool))

        def loss(p, tokens, targets):
            embed = jax.nn.one_hot(tokens, V, dtype=a.dtype) @ p["W_token"] + p["W_pos"]
            q, k, v = (embed @ p[name].reshape(C, C) for name in ("W_q", "W_k", "W_v"))
            scores = jnp.where(causal, q @ k.mT / C**0.5, -jnp.inf)
            resid = embed + jax.nn.softmax(scores) @ v
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
        compile_ = ["cc", "-O3", "-march=native", "-ffast-math", "-fPIC", *defines, "-c", HERE / "fused_loop.c"]
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


def enter(task):
    """The contestants that are installed, by title, in the order of the table."""
    contestants = {}
    for contestant in CONTESTANTS:
        try:
            contestants[contestant.title] = contestant(task)
        except (ImportError, FileNotFoundError) as error:
            print(f"{contestant.title} is missing: {error}", file=sys.stderr)
    return contestants


def worst_difference(contestants, task):
    """(largest difference of any parameter from scratchformer's after the same steps, whose)."""
    batches = np.random.default_rng(1).integers(0, len(task.windows), (CHECKED_STEPS, task.size.B))
    results = {}
    for title, contestant in contestants.items():
        contestant.start()
        contestant.train(batches)
        results[title] = np.array(contestant.parameters(), np.float64)
    ours = results.pop("scratchformer")
    if not results:
        return 0.0, "nobody else"
    return max((np.nan_to_num(abs(r - ours).max(), nan=np.inf), title) for title, r in results.items())


def seconds(contestant, task, stretches):
    """Of one step, on average over some stretches from the start."""
    contestant.start()
    rng = np.random.default_rng(2)
    begin = time.perf_counter()
    for _ in range(stretches):
        contestant.train(rng.integers(0, len(task.windows), (STRETCH, task.size.B)))
    return (time.perf_counter() - begin) / (stretches * STRETCH)


def measure(contestants, task, repeats):
    """Median microseconds per step by title."""
    stretches = {}
    for title, contestant in contestants.items():
        seconds(contestant, task, 1)                            # compile
        estimate = seconds(contestant, task, 1)
        stretches[title] = max(1, min(200, round(SECONDS / (estimate * STRETCH))))
    times = {title: [] for title in contestants}
    for _ in range(repeats):
        for title, contestant in contestants.items():
            times[title].append(1e6 * seconds(contestant, task, stretches[title]))
    return {title: statistics.median(values) for title, values in times.items()}


def row(size, times):
    """One line of the table."""
    ours = times["scratchformer"]
    cells = [f"{ours:.1f}"]
    for contestant in CONTESTANTS[1:]:
        other = times.get(contestant.title)
        cells.append("-" if other is None else f"{other:.1f} ({other / ours:.2f})")
    return "| " + " | ".join([str(size), size.dtype, *cells]) + " |"


def machine():
    """Versions and processor in one line."""
    versions = [f"Python {platform.python_version()}"]
    for package in ("numpy", "numba", "jax", "torch"):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"{package} -")
    try:
        compiler = subprocess.run(["cc", "--version"], capture_output=True, text=True).stdout.split("\n")[0]
        versions.append(compiler)
    except FileNotFoundError:
        versions.append("cc -")
    processor = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().split("\n")
        processor = next((line.split(":")[1].strip() for line in lines if "model name" in line), processor)
    return ", ".join([*versions, processor])


def main():
    parser = argparse.ArgumentParser(description="Microseconds per training step, with ratios to scratchformer's.")
    parser.add_argument("--sizes", type=int, nargs="+", default=range(len(SIZES)), choices=range(len(SIZES)))
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rows, agreed = [], True
    for size in (SIZES[i] for i in options.sizes):
        task = Task(size)
        contestants = enter(task)
        worst, whose = worst_difference(contestants, task)
        print(f"{size}, {size.dtype}: after {CHECKED_STEPS} steps, parameters differ by at most {worst:.1e} ({whose})")
        if worst >= size.tolerance:
            agreed = False
            continue
        rows.append(row(size, measure(contestants, task, options.repeats)))
    titles = [f"{c.title} µs" + (" (ratio)" if c is not Scratchformer else "") for c in CONTESTANTS]
    print(f"\n| size | dtype | {' | '.join(titles)} |\n|{'---|' * (2 + len(titles))}")
    print("\n".join(rows))
    print(f"\n{machine()}")
    sys.exit(0 if agreed else 1)


if __name__ == "__main__":
    main()
