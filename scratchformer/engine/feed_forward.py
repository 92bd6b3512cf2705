"""Feed-forward layer: at each position on its own, out to F hidden units and back.

Its two linear maps forward are `linear_forward`. Vaswani et al. 2017, section 3.3.
"""

import numpy as np

from scratchformer.engine.jit import jit
from scratchformer.engine.linear import linear_backward


@jit
def ffn_pre_backward(dffn_pre, resid_mid, W_in, dresid_mid, dW_in, db_in):
    """dresid_mid += dffn_pre W_inᵀ: the route through the layer is added to the route around it.

    dffn_pre: (B, T, F); resid_mid: (B, T, C); W_in: (C, F)
    -> adds to dresid_mid: (B, T, C); dW_in: (C, F); db_in: (F,)
    """
    route = np.empty(resid_mid.shape, resid_mid.dtype)
    linear_backward(dffn_pre, resid_mid, W_in, route, dW_in, db_in)
    dresid_mid += route


@jit
def ffn_hidden_forward(ffn_pre, ffn_hidden):
    """ReLU. Both (B, T, F)."""
    B, T, F = ffn_pre.shape
    for b in range(B):
        for t in range(T):
            for f in range(F):
                ffn_hidden[b, t, f] = max(ffn_pre[b, t, f], 0)


@jit
def ffn_hidden_backward(dffn_hidden, ffn_pre, dffn_pre):
    """dffn_pre = dffn_hidden where ffn_pre > 0, else 0. All (B, T, F)."""
    B, T, F = ffn_pre.shape
    for b in range(B):
        for t in range(T):
            for f in range(F):
                dffn_pre[b, t, f] = dffn_hidden[b, t, f] if ffn_pre[b, t, f] > 0 else 0
