"""LM head: a score for each next token (`linear_forward`), softmax, and the cross-entropy loss."""

from math import log, nan

from scratchformer.engine.jit import jit
from scratchformer.engine.linear import softmax_forward

TINY = 2.0**-1022               # log p is taken of at least this, so that p = 0 does not end training
TINY_32 = 2.0**-126             # the same in float32: the smallest number that has all its digits


@jit
def probs_forward(logits, probs):
    """Each row's softmax over all tokens. Both (B, T, V)."""
    causal = False
    softmax_forward(logits, causal, probs)


@jit
def probs_backward(probs, targets, dlogits):
    """dlogits = (probs - onehot(target)) / count: softmax and -log together.

    A position without a target (-1) is not in the loss: 0. probs: (B, T, V); targets: (B, T)
    -> dlogits: (B, T, V)
    """
    B, T, V = probs.shape
    count = count_targets(targets)
    for b in range(B):
        for t in range(T):
            y = targets[b, t]
            for j in range(V):
                dlogits[b, t, j] = probs[b, t, j] / count if y >= 0 else 0
            if y >= 0:
                dlogits[b, t, y] -= 1 / count


@jit
def loss_forward(probs, targets, loss):
    """The mean runs over the positions that have a target (>= 0); without any, the loss is nan.

    probs: (B, T, V); targets: (B, T) ids -> loss: (), in nats
    """
    B, T, V = probs.shape
    least = TINY_32 if probs.itemsize == 4 else TINY
    total = 0.0
    for b in range(B):
        for t in range(T):
            y = targets[b, t]
            if y >= 0:
                total -= log(max(probs[b, t, y], least))
    count = count_targets(targets)
    loss[()] = total / count if count > 0 else nan


@jit
def loss_backward(probs, targets, dprobs):
    """dprobs[target] = -1 / (count probs[target]), and 0 elsewhere. (B, T, V), (B, T) -> (B, T, V)"""
    B, T, V = probs.shape
    count = count_targets(targets)
    least = TINY_32 if probs.itemsize == 4 else TINY
    for b in range(B):
        for t in range(T):
            y = targets[b, t]
            for j in range(V):
                dprobs[b, t, j] = 0
            if y >= 0:
                dprobs[b, t, y] = -1 / (count * max(probs[b, t, y], least))


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
