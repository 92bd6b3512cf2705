"""Compiling ahead, on two cores: one process compiles the backward pass while another compiles the rest."""

import os
import subprocess
import sys
from contextlib import contextmanager

import numba
import numpy as np

from scratchformer.engine import jit
from scratchformer.engine.adam import AdamSettings
from scratchformer.engine.model import backward, empty_cache, forward
from scratchformer.engine.names import PARAMETERS, Params
from scratchformer.engine.training import train_steps


def compile_engine(dtype):
    """Have all that a training calls compiled for a dtype, or loaded; plain Python needs nothing."""
    if numba.config.DISABLE_JIT:
        return
    params = smallest_params(dtype)
    token = np.zeros((1, 1), np.int64)
    with backward_in_child(dtype):
        cache = forward(params, token, token)
    dparams, dcache = backward(params, cache)
    zero = np.zeros(1, dtype)
    train_steps(
        params, zero, zero, zero, cache, dparams, zero, dcache, np.zeros((1, 2), np.int64),
        np.zeros((0, 1), np.int64), 0, np.zeros(1), AdamSettings(0.0, 0.0, 1.0, 0.0),
    )


def compile_backward(dtype):
    """Have the backward pass alone compiled for a dtype."""
    params = smallest_params(dtype)
    token = np.zeros((1, 1), np.int64)
    cache = empty_cache(params, token, token, True)
    for array in cache[3:]:
        array[...] = 1
    backward(params, cache)


def smallest_params(dtype):
    """Params of the smallest model there is: every dim 1."""
    return Params(*(np.zeros((1,) * len(entry.dims.split()), dtype) for entry in PARAMETERS))


CHILD = """
import ctypes, importlib.util, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)       # PR_SET_PDEATHSIG, SIGKILL: it ends with its parent
if os.getppid() == int(sys.argv[3]):
    spec = importlib.util.spec_from_file_location("scratchformer", sys.argv[1])
    sys.modules["scratchformer"] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    from scratchformer.engine.warm import compile_backward
    compile_backward(sys.argv[2])
"""


@contextmanager
def backward_in_child(dtype):
    """Let a child process compile the backward pass during the block; its end waits for the child.

    The machine code comes back by way of the cache on disk. Where that holds it already, or there is none,
    no child is started; should the child fail, this process compiles it all.
    """
    if jit.FOLDER is None or any(jit.FOLDER.rglob("*.backward_pass-*.nbi")):
        yield
        return
    package = jit.ENGINE.parent / "__init__.py"
    child = subprocess.Popen(
        # -P, and the package by its path: no file beside it or in the current folder stands in for Python's
        # own
        [sys.executable, "-P", "-c", CHILD, str(package), dtype, str(os.getpid())],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        yield
        child.wait()
    except BaseException:
        child.kill()
        child.wait()
        raise
