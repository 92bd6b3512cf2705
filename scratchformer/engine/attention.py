"""Causal self-attention: every position reads from itself and the positions before it.

Vaswani et al. 2017, sections 3.2.1 and 3.2.2.
"""

from math import sqrt

import numpy as np

from scratchformer.engine.jit import jit
from scratchformer.engine.linear import softmax_forward


@jit
def project_forward(embed, W, q):
    """q[b,h] = embed[b] W[:,h], and so for k and v. (B, T, C), (C, H, D) -> (B, H, T, D)"""
    B, H, T, D = q.shape
    C = len(W)
    rows = np.dot(embed.reshape(B * T, C), W.reshape(C, H * D))     # (B*T, C) @ (C, H*D)
    split_heads(rows, q)


@jit
def project_backward(dq, embed, W, dembed, dW):
    """dembed[b] += Σ_h dq[b,h] W[:,h]ᵀ, dW[:,h] = Σ_b embed[b]ᵀ dq[b,h].

    dq: (B, H, T, D); embed: (B, T, C); W: (C, H, D) -> adds to dembed: (B, T, C); dW: (C, H, D)
    """
    B, H, T, D = dq.shape
    C = len(W)
    rows = join_heads(dq)                                       # (B*T, H*D)
    np.dot(embed.reshape(B * T, C).T, rows, out=dW.reshape(C, H * D))   # (C, B*T) @ (B*T, H*D)
    route = np.dot(rows, W.reshape(C, H * D).T)                 # (B*T, H*D) @ (H*D, C)
    for b in range(B):
        for t in range(T):
            for c in range(C):
                dembed[b, t, c] += route[b * T + t, c]


@jit
def scores_forward(q, k, scores):
    """scores[b,h,t,s] = Σ_d q[b,h,t,d] k[b,h,s,d] / √D. q, k: (B, H, T, D) -> scores: (B, H, T, T)"""
    B, H, T, D = q.shape
    scale = 1 / sqrt(D)
    for b in range(B):
        for h in range(H):
            np.dot(q[b, h], k[b, h].T, out=scores[b, h])        # (T, D) @ (D, T)
            for t in range(T):
                for s in range(T):
                    scores[b, h, t, s] *= scale


@jit
def scores_backward(dscores, q, k, dq, dk):
    """dq = dscores k / √D, dk = dscoresᵀ q / √D. dscores: (B, H, T, T); q, k -> dq, dk: (B, H, T, D)"""
    B, H, T, D = q.shape
    scale = 1 / sqrt(D)
    for b in range(B):
        for h in range(H):
            np.dot(dscores[b, h], k[b, h], out=dq[b, h])        # (T, T) @ (T, D)
            np.dot(dscores[b, h].T, q[b, h], out=dk[b, h])      # (T, T) @ (T, D)
            for t in range(T):
                for d in range(D):
                    dq[b, h, t, d] *= scale
                    dk[b, h, t, d] *= scale


@jit
def attention_forward(scores, attention):
    """Each row's softmax over the keys s <= t: here the future is masked out. Both (B, H, T, T)."""
    B, H, T, _ = scores.shape
    causal = True
    softmax_forward(scores.reshape(B * H, T, T), causal, attention.reshape(B * H, T, T))


@jit
def attention_backward(dattention, attention, dscores):
    """dscores[t,s] = attention[t,s] (dattention[t,s] - Σ_s' dattention[t,s'] attention[t,s']).

    That is (diag(p) - p pᵀ) dp, row by row. Where the mask put 0 the gradient is 0. All (B, H, T, T).
    """
    B, H, T, _ = attention.shape
    for b in range(B):
        for h in range(H):
            for t in range(T):
                mean = 0.0
                for s in range(T):
                    mean += dattention[b, h, t, s] * attention[b, h, t, s]
                for s in range(T):
                    dscores[b, h, t, s] = attention[b, h, t, s] * (dattention[b, h, t, s] - mean)


@jit
def mixed_forward(attention, v, mixed):
    """mixed[b,h,t] = Σ_s attention[b,h,t,s] v[b,h,s]. (B, H, T, T), (B, H, T, D) -> (B, H, T, D)"""
    B, H, _, _ = v.shape
    for b in range(B):
        for h in range(H):
            np.dot(attention[b, h], v[b, h], out=mixed[b, h])   # (T, T) @ (T, D)


@jit
def mixed_backward(dmixed, attention, v, dattention, dv):
    """dattention = dmixed vᵀ, dv = attentionᵀ dmixed.

    dmixed, v: (B, H, T, D); attention: (B, H, T, T) -> dattention: (B, H, T, T); dv: (B, H, T, D)
    """
    B, H, _, _ = v.shape
    for b in range(B):
        for h in range(H):
            np.dot(dmixed[b, h], v[b, h].T, out=dattention[b, h])       # (T, D) @ (D, T)
            np.dot(attention[b, h].T, dmixed[b, h], out=dv[b, h])       # (T, T) @ (T, D)


@jit
def attn_out_forward(mixed, W_o, attn_out):
    """attn_out[b] = Σ_h mixed[b,h] W_o[h], or mixed as it is where there is no W_o.

    mixed: (B, H, T, D); W_o: (H, D, C) -> attn_out: (B, T, C)
    """
    B, H, T, D = mixed.shape
    C = attn_out.shape[2]
    rows = join_heads(mixed)                                    # (B*T, H*D)
    if has_W_o(C, H, D):
        rows = np.dot(rows, W_o.reshape(H * D, C))              # (B*T, H*D) @ (H*D, C)
    for b in range(B):
        for t in range(T):
            for c in range(C):
                attn_out[b, t, c] = rows[b * T + t, c]


@jit
def attn_out_backward(dattn_out, mixed, W_o, dmixed, dW_o):
    """dmixed[b,h] = dattn_out[b] W_o[h]ᵀ, dW_o[h] = Σ_b mixed[b,h]ᵀ dattn_out[b].

    dattn_out: (B, T, C); mixed: (B, H, T, D); W_o: (H, D, C) -> dmixed: (B, H, T, D); dW_o: (H, D, C)
    """
    B, H, T, D = mixed.shape
    C = dattn_out.shape[2]
    rows = dattn_out.reshape(B * T, C)
    if has_W_o(C, H, D):
        np.dot(join_heads(mixed).T, rows, out=dW_o.reshape(H * D, C))   # (H*D, B*T) @ (B*T, C)
        rows = np.dot(rows, W_o.reshape(H * D, C).T)            # (B*T, C) @ (C, H*D)
    split_heads(rows, dmixed)


@jit
def has_W_o(C, H, D):
    """Whether a model has an output projection: with one head as wide as the stream it has none."""
    return H > 1 or D != C


@jit
def split_heads(rows, stack):
    """Columns of all heads to one matrix a sequence and head: (B*T, H*D) -> (B, H, T, D)."""
    B, H, T, D = stack.shape
    for b in range(B):
        for h in range(H):
            for t in range(T):
                for d in range(D):
                    stack[b, h, t, d] = rows[b * T + t, h * D + d]


@jit
def join_heads(stack):
    """The heads' columns side by side, undoing `split_heads`: (B, H, T, D) -> (B*T, H*D)."""
    B, H, T, D = stack.shape
    rows = np.empty((B * T, H * D), stack.dtype)
    for b in range(B):
        for h in range(H):
            for t in range(T):
                for d in range(D):
                    rows[b * T + t, h * D + d] = stack[b, h, t, d]
    return rows
