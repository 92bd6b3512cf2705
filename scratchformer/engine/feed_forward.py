"""Feed-forward layer: at each position on its own, out to F hidden units and back.

    ffn_pre = r W_in + b_in    ffn_hidden = max(ffn_pre, 0)    ffn_out = ffn_hidden W_out + b_out

Vaswani et al. 2017, section 3.3.
"""

import numpy as np

from scratchformer.engine.jit import jit
from scratchformer.engine.linear import linear_backward, linear_forward


@jit
def feed_forward_forward(resid_mid, W_in, b_in, W_out, b_out, ffn_pre, ffn_hidden, ffn_out):
    """ffn_out = max(resid_mid W_in + b_in, 0) W_out + b_out.

    resid_mid: (B, T, C); W_in: (C, F); b_in: (F,); W_out: (F, C); b_out: (C,)
    -> ffn_pre, ffn_hidden: (B, T, F); ffn_out: (B, T, C)
    """
    B, T, F = ffn_pre.shape
    linear_forward(resid_mid, W_in, b_in, ffn_pre)              # (B, T, C) -> (B, T, F)
    for b in range(B):
        for t in range(T):
            for f in range(F):
                ffn_hidden[b, t, f] = max(ffn_pre[b, t, f], 0)
    linear_forward(ffn_hidden, W_out, b_out, ffn_out)           # (B, T, F) -> (B, T, C)


@jit
def feed_forward_backward(
    dffn_out, resid_mid, W_in, W_out, ffn_pre, ffn_hidden,
    dresid_mid, dW_in, db_in, dW_out, db_out, dffn_pre, dffn_hidden,
):
    """Undone in reverse: the second map, the ReLU (it passes the gradient where x > 0), the first.

    dffn_out: (B, T, C) -> adds to dresid_mid: (B, T, C), by the route through the layer;
    dW_in: (C, F); db_in: (F,); dW_out: (F, C); db_out: (C,); dffn_pre, dffn_hidden: (B, T, F)
    """
    B, T, F = ffn_pre.shape
    linear_backward(dffn_out, ffn_hidden, W_out, dffn_hidden, dW_out, db_out)
    for b in range(B):
        for t in range(T):
            for f in range(F):
                dffn_pre[b, t, f] = dffn_hidden[b, t, f] if ffn_pre[b, t, f] > 0 else 0
    route = np.empty(resid_mid.shape, resid_mid.dtype)
    linear_backward(dffn_pre, resid_mid, W_in, route, dW_in, db_in)
    dresid_mid += route
