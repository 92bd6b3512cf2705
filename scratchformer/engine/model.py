"""The model: one forward pass and one backward pass, straight through.

    tokens -> embedding -> attention (+ residual) -> feed-forward (+ residual) -> LM head -> loss

Every function fills the arrays it is given last; `forward` and `backward` allocate them. So a
training step allocates nothing but its matrix products, and a cold start compiles five times faster
than with functions that return new arrays.
"""

from math import prod

import numpy as np

from scratchformer.engine.attention import attention_backward, attention_forward
from scratchformer.engine.embedding import embedding_backward, embedding_forward
from scratchformer.engine.feed_forward import feed_forward_backward, feed_forward_forward
from scratchformer.engine.jit import jit
from scratchformer.engine.lm_head import lm_head_backward, lm_head_forward
from scratchformer.engine.names import ACTIVATIONS, PARAMETERS, Cache, Params


def forward(params, tokens, targets=None, use_residual=True):
    """Run the model and keep every intermediate by name.

    tokens: (B, T) ids, 1 <= T <= block_size; targets: (B, T) ids, -1 for none
    -> Cache; without targets its loss is nan

    Raises ValueError for tokens or targets that do not fit the model.
    """
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


def backward(params, cache):
    """Gradients of the loss by every parameter and every intermediate, under the same names.

    cache: what `forward` returned for targets -> (Params of gradients, Cache of gradients)
    """
    dparams = Params(*(np.empty_like(array) for array in params))
    dcache = empty_cache(params, cache.tokens, cache.targets, cache.use_residual)
    backward_pass(params, cache, dparams, dcache)
    return dparams, dcache


def landscape(params, points, use_residual=True):
    """What the model would predict if `resid_mid` lay at each of the points: (N, C) -> probs (N, V).

    The rest of the forward pass from there: feed-forward layer, residual connection, LM head.
    """
    tokens = np.zeros((1, len(points)), np.int64)
    cache = empty_cache(params, tokens, tokens, use_residual)
    cache.resid_mid[0] = points
    forward_from_resid_mid(params, cache)
    return cache.probs[0]


@jit
def forward_pass(params, cache):
    """Fill every activation of the cache from its inputs."""
    embedding_forward(
        cache.tokens, params.W_token, params.W_pos, cache.token_embed, cache.pos_embed, cache.embed
    )
    attention_forward(
        cache.embed, params.W_q, params.W_k, params.W_v, params.W_o,
        cache.q, cache.k, cache.v, cache.scores, cache.attention, cache.mixed, cache.attn_out,
    )
    residual_forward(cache.embed, cache.attn_out, cache.use_residual, cache.resid_mid)
    forward_from_resid_mid(params, cache)


@jit
def forward_from_resid_mid(params, cache):
    """The second half of the forward pass, from `resid_mid` on."""
    feed_forward_forward(
        cache.resid_mid, params.W_in, params.b_in, params.W_out, params.b_out,
        cache.ffn_pre, cache.ffn_hidden, cache.ffn_out,
    )
    residual_forward(cache.resid_mid, cache.ffn_out, cache.use_residual, cache.resid_post)
    lm_head_forward(
        cache.resid_post, cache.targets, params.W_unembed, params.b_unembed,
        cache.logits, cache.probs, cache.loss,
    )


@jit
def backward_pass(params, cache, dparams, dcache):
    """Fill every gradient: the forward pass undone in reverse, layer by layer."""
    dcache.loss[()] = 1
    lm_head_backward(
        cache.resid_post, cache.targets, params.W_unembed, cache.probs,
        dcache.resid_post, dparams.W_unembed, dparams.b_unembed, dcache.logits, dcache.probs,
    )
    # resid_post = resid_mid + ffn_out: the route around the FFN, then the route through it is added
    residual_backward(dcache.resid_post, cache.use_residual, dcache.resid_mid, dcache.ffn_out)
    feed_forward_backward(
        dcache.ffn_out, cache.resid_mid, params.W_in, params.W_out, cache.ffn_pre, cache.ffn_hidden,
        dcache.resid_mid, dparams.W_in, dparams.b_in, dparams.W_out, dparams.b_out,
        dcache.ffn_pre, dcache.ffn_hidden,
    )
    # resid_mid = embed + attn_out: the route around attention, then the three through it are added
    residual_backward(dcache.resid_mid, cache.use_residual, dcache.embed, dcache.attn_out)
    attention_backward(
        dcache.attn_out, cache.embed, params.W_q, params.W_k, params.W_v, params.W_o,
        cache.q, cache.k, cache.v, cache.attention, cache.mixed,
        dcache.embed, dparams.W_q, dparams.W_k, dparams.W_v, dparams.W_o,
        dcache.q, dcache.k, dcache.v, dcache.scores, dcache.attention, dcache.mixed,
    )
    embedding_backward(
        dcache.embed, cache.tokens, dcache.token_embed, dcache.pos_embed, dparams.W_token, dparams.W_pos
    )


@jit
def residual_forward(stream, branch, use_residual, out):
    """out = stream + branch, or out = branch without residual connections. All (B, T, C)."""
    B, T, C = out.shape
    for b in range(B):
        for t in range(T):
            for c in range(C):
                out[b, t, c] = branch[b, t, c]
                if use_residual:
                    out[b, t, c] += stream[b, t, c]


@jit
def residual_backward(dout, use_residual, dstream, dbranch):
    """dbranch = dout; dstream = dout, or 0 without residual connections. All (B, T, C)."""
    B, T, C = dout.shape
    for b in range(B):
        for t in range(T):
            for c in range(C):
                dbranch[b, t, c] = dout[b, t, c]
                dstream[b, t, c] = dout[b, t, c] if use_residual else 0


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
    """Shape of each parameter by name, for a model config."""
    sizes = {
        "V": vocab_size, "T": model.block_size, "C": model.n_embd, "H": model.num_heads,
        "D": model.head_size, "F": model.ffn_mult * model.n_embd,
    }
    shapes = {entry.name: tuple(sizes[dim] for dim in entry.dims.split()) for entry in PARAMETERS}
    if model.num_heads == 1 and model.head_size == model.n_embd:
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
