"""LM head: a score for each next token, softmax, and the cross-entropy loss.

    logits = z W_unembed + b_unembed    probs = softmax(logits)    loss = mean of -log probs[target]
"""

from math import log, nan

from scratchformer.engine.jit import jit
from scratchformer.engine.linear import linear_backward, linear_forward, softmax_forward

TINY = 2.0**-1022               # log p is taken of at least this, so that p = 0 does not end training


@jit
def lm_head_forward(resid_post, targets, W_unembed, b_unembed, logits, probs, loss):
    """probs = softmax(resid_post W_unembed + b_unembed); loss = mean of -log probs[target].

    The mean runs over the positions that have a target (>= 0); without any, the loss is nan.

    resid_post: (B, T, C); targets: (B, T) ids; W_unembed: (C, V); b_unembed: (V,)
    -> logits, probs: (B, T, V); loss: (), in nats
    """
    B, T, V = logits.shape
    linear_forward(resid_post, W_unembed, b_unembed, logits)    # (B, T, C) -> (B, T, V)
    softmax_forward(logits, False, probs)
    total = 0.0
    for b in range(B):
        for t in range(T):
            y = targets[b, t]
            if y >= 0:
                total -= log(max(probs[b, t, y], TINY))
    count = count_targets(targets)
    loss[()] = total / count if count > 0 else nan


@jit
def lm_head_backward(
    resid_post, targets, W_unembed, probs, dresid_post, dW_unembed, db_unembed, dlogits, dprobs
):
    """Softmax and -log together: dlogits = (probs - onehot(target)) / count.

    dprobs[target] = -1 / (count probs[target]), and 0 elsewhere
    -> dresid_post: (B, T, C); dW_unembed: (C, V); db_unembed: (V,); dlogits, dprobs: (B, T, V)
    """
    B, T, V = probs.shape

    # loss = mean of -log softmax(logits)[target]
    count = count_targets(targets)
    for b in range(B):
        for t in range(T):
            y = targets[b, t]
            for j in range(V):
                dprobs[b, t, j] = 0
                dlogits[b, t, j] = probs[b, t, j] / count if y >= 0 else 0
            if y >= 0:
                dprobs[b, t, y] = -1 / (count * max(probs[b, t, y], TINY))
                dlogits[b, t, y] -= 1 / count

    # logits = z W_unembed + b_unembed
    linear_backward(dlogits, resid_post, W_unembed, dresid_post, dW_unembed, db_unembed)


@jit
def count_targets(targets):
    """How many positions have a target (>= 0)."""
    B, T = targets.shape
    count = 0
    for b in range(B):
        for t in range(T):
            if targets[b, t] >= 0:
                count += 1
    return count
