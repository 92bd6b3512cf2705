"""The model as two functions: `forward` keeps every intermediate, `backward` every gradient.

    tokens -> embedding -> attention (+ residual) -> feed-forward (+ residual) -> LM head -> loss

They allocate the arrays; the passes (passes.py) fill them. So a training step allocates nothing but its
matrix products, and a cold start compiles five times faster than with functions that return new arrays.
"""

from math import prod

import numpy as np

from scratchformer.engine.attention import has_W_o
from scratchformer.engine.names import ACTIVATIONS, PARAMETERS, Cache, Params
from scratchformer.engine.passes import backward_pass, forward_pass
from scratchformer.engine.steps import run_forward


def forward(params, tokens, targets=None, use_residual=True):
    """Run the model and keep every intermediate by name.

    tokens: (B, T) ids, 1 <= T <= block_size; targets: (B, T) ids, -1 for none
    -> Cache; without targets its loss is nan

    Raises ValueError for tokens or targets that do not fit the model, and for parameters that do not fit each
    other.
    """
    check_params(params)
    tokens = np.ascontiguousarray(tokens, np.int64)
    targets = np.full(tokens.shape, -1) if targets is None else np.ascontiguousarray(targets, np.int64)
    V, block_size = len(params.W_token), len(params.W_pos)
    if tokens.ndim != 2 or targets.shape != tokens.shape or not 1 <= tokens.shape[1] <= block_size:
        raise ValueError(
            f"tokens {tokens.shape} and targets {targets.shape}: "
            f"both must be (B, T) with 1 <= T <= block_size = {block_size}"
        )
    if tokens.size and not (0 <= tokens.min() and max(tokens.max(), targets.max()) < V):
        raise ValueError(f"token ids must lie in 0..{V - 1} (targets may be -1 for none)")
    cache = empty_cache(params, tokens, targets, use_residual)
    forward_pass(params, cache)
    return cache


def check_params(params):
    """ValueError, naming it, if a parameter has another dtype, shape or layout than the others ask for."""
    C, H, D = np.shape(params.W_q) if np.ndim(params.W_q) == 3 else (0, 0, 0)
    sizes = {"V": len(params.W_token), "T": len(params.W_pos), "C": C, "H": H, "D": D, "F": len(params.b_in)}
    dtype = params.W_token.dtype
    for entry, array in zip(PARAMETERS, params, strict=True):
        shape = tuple(sizes[dim] for dim in entry.dims.split())
        if entry.name == "W_o" and not has_W_o(C, H, D):
            shape = array.shape                                 # it is not read
        if array.dtype != dtype or array.shape != shape or not array.flags.c_contiguous:
            order = "" if array.flags.c_contiguous else ", not contiguous"
            raise ValueError(f"{entry.name} is {array.dtype} {array.shape}{order}; "
                             f"the other parameters ask for {dtype} {shape}")


def backward(params, cache):
    """Gradients of the loss by every parameter and every intermediate, under the same names.

    cache: what `forward` returned for targets -> (Params of gradients, Cache of gradients)

    Raises ValueError for a cache without targets: it has no loss.
    """
    if not (cache.targets >= 0).any():
        raise ValueError("this cache has no targets, so no loss to differentiate: give forward(...) targets")
    dparams = Params(*(np.empty_like(array) for array in params))
    dcache = empty_cache(params, cache.tokens, cache.targets, cache.use_residual)
    backward_pass(params, cache, dparams, dcache)
    return dparams, dcache


def landscape(params, points, use_residual=True):
    """What the model would predict if `resid_mid` lay at each of the points: (N, C) -> probs (N, V).

    The rest of the forward pass from there: feed-forward layer, residual connection, LM head.
    """
    tokens = np.zeros((len(points), 1), np.int64)               # a window of one position for each point
    cache = empty_cache(params, tokens, tokens, use_residual)
    cache.resid_mid[:, 0] = points
    run_forward(params, cache, after="resid_mid")
    return cache.probs[:, 0]


def empty_cache(params, tokens, targets, use_residual):
    """A Cache for these tokens whose activations are still to be filled (its dtype is the params')."""
    C, H, D = params.W_q.shape
    sizes = {
        "B": tokens.shape[0], "T": tokens.shape[1], "C": C, "H": H, "D": D,
        "F": len(params.b_in), "V": len(params.b_unembed),
    }
    return Cache(tokens, targets, bool(use_residual), *(
        np.empty([sizes[dim] for dim in entry.dims.split()], params.W_token.dtype)
        for entry in ACTIVATIONS
    ))


def parameter_shapes(model, vocab_size):
    """Shape of each parameter by name, for a ModelConfig."""
    C, H, D = model.n_embd, model.num_heads, model.head_size
    sizes = {"V": vocab_size, "T": model.block_size, "C": C, "H": H, "D": D, "F": model.ffn_mult * C}
    shapes = {entry.name: tuple(sizes[dim] for dim in entry.dims.split()) for entry in PARAMETERS}
    if not has_W_o(C, H, D):
        shapes["W_o"] = (0, 0, 0)
    return shapes


def unflatten(vector, shapes):
    """Params whose arrays are views into `vector`: writing to one writes to the other.

    Raises ValueError if the vector's length does not fit the shapes.
    """
    stops = np.cumsum([prod(shape) for shape in shapes.values()])
    if vector.shape != (stops[-1],):
        raise ValueError(f"{vector.size} values do not fit a model of {stops[-1]} parameters")
    pieces = np.split(vector, stops[:-1])
    return Params(*(piece.reshape(shape) for piece, shape in zip(pieces, shapes.values(), strict=True)))
