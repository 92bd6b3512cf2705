"""Causal self-attention: every position reads from itself and the positions before it.

    q = e W_q    k = e W_k    v = e W_v                       for each head
    scores = q kᵀ / √D
    attention = softmax(scores, columns s <= t)
    mixed = attention v
    attn_out = Σ_heads mixed W_o                              (attn_out = mixed without W_o)

Vaswani et al. 2017, sections 3.2.1 and 3.2.2.
"""

from math import sqrt

import numpy as np

from scratchformer.engine.jit import jit
from scratchformer.engine.linear import softmax_backward, softmax_forward


@jit
def attention_forward(embed, W_q, W_k, W_v, W_o, q, k, v, scores, attention, mixed, attn_out):
    """attn_out[b] = Σ_h softmax(q kᵀ / √D) v W_o[h], with q, k, v = embed[b] times W_q, W_k, W_v.

    embed: (B, T, C); W_q, W_k, W_v: (C, H, D); W_o: (H, D, C), or empty if H = 1 and D = C
    -> q, k, v: (B, H, T, D); scores, attention: (B, H, T, T); mixed: (B, H, T, D);
       attn_out: (B, T, C)
    """
    B, H, T, D = q.shape
    scale = 1 / sqrt(D)

    # 1. q = e W_q, k = e W_k, v = e W_v
    project_forward(embed, W_q, q)                              # (B, T, C) -> (B, H, T, D)
    project_forward(embed, W_k, k)
    project_forward(embed, W_v, v)

    # 2. scores = q kᵀ / √D
    for b in range(B):
        for h in range(H):
            np.dot(q[b, h], k[b, h].T, out=scores[b, h])        # (T, D) @ (D, T)
            for t in range(T):
                for s in range(T):
                    scores[b, h, t, s] *= scale

    # 3. attention = softmax(scores), the future masked out
    softmax_forward(scores.reshape(B * H, T, T), True, attention.reshape(B * H, T, T))

    # 4. mixed = attention v
    for b in range(B):
        for h in range(H):
            np.dot(attention[b, h], v[b, h], out=mixed[b, h])   # (T, T) @ (T, D)

    # 5. attn_out = Σ_heads mixed W_o
    output_forward(mixed, W_o, attn_out)                        # (B, H, T, D) -> (B, T, C)


@jit
def attention_backward(
    dattn_out, embed, W_q, W_k, W_v, W_o, q, k, v, attention, mixed,
    dembed, dW_q, dW_k, dW_v, dW_o, dq, dk, dv, dscores, dattention, dmixed,
):
    """The forward's passes undone in reverse; each comment quotes the line differentiated.

    dattn_out: (B, T, C) -> adds to dembed: (B, T, C), by the routes through q, k and v;
    dW_q, dW_k, dW_v: (C, H, D); dW_o: (H, D, C) or empty; dq, dk, dv, dmixed: (B, H, T, D);
    dscores, dattention: (B, H, T, T)
    """
    B, H, T, D = q.shape
    scale = 1 / sqrt(D)

    # 5. attn_out = Σ_heads mixed W_o
    output_backward(dattn_out, mixed, W_o, dmixed, dW_o)        # (B, T, C) -> (B, H, T, D)

    # 4. mixed = attention v
    for b in range(B):
        for h in range(H):
            np.dot(dmixed[b, h], v[b, h].T, out=dattention[b, h])       # (T, D) @ (D, T)
            np.dot(attention[b, h].T, dmixed[b, h], out=dv[b, h])       # (T, T) @ (T, D)

    # 3. attention = softmax(scores), the future masked out
    softmax_backward(
        dattention.reshape(B * H, T, T), attention.reshape(B * H, T, T), dscores.reshape(B * H, T, T)
    )

    # 2. scores = q kᵀ / √D
    for b in range(B):
        for h in range(H):
            np.dot(dscores[b, h], k[b, h], out=dq[b, h])        # (T, T) @ (T, D)
            np.dot(dscores[b, h].T, q[b, h], out=dk[b, h])      # (T, T) @ (T, D)
            for t in range(T):
                for d in range(D):
                    dq[b, h, t, d] *= scale
                    dk[b, h, t, d] *= scale

    # 1. q = e W_q, k = e W_k, v = e W_v: e fans out three ways, so its gradient is a sum of three
    project_backward(dq, embed, W_q, dembed, dW_q)              # through what was looked for
    project_backward(dk, embed, W_k, dembed, dW_k)              # through what was offered
    project_backward(dv, embed, W_v, dembed, dW_v)              # through what was passed on


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
def output_forward(mixed, W_o, attn_out):
    """attn_out[b] = Σ_h mixed[b,h] W_o[h], or mixed as it is if W_o is empty.

    mixed: (B, H, T, D); W_o: (H, D, C) -> attn_out: (B, T, C)
    """
    B, H, T, D = mixed.shape
    C = attn_out.shape[2]
    rows = join_heads(mixed)                                    # (B*T, H*D)
    if W_o.size > 0:
        rows = np.dot(rows, W_o.reshape(H * D, C))              # (B*T, H*D) @ (H*D, C)
    for b in range(B):
        for t in range(T):
            for c in range(C):
                attn_out[b, t, c] = rows[b * T + t, c]


@jit
def output_backward(dattn_out, mixed, W_o, dmixed, dW_o):
    """dmixed[b,h] = dattn_out[b] W_o[h]ᵀ, dW_o[h] = Σ_b mixed[b,h]ᵀ dattn_out[b].

    dattn_out: (B, T, C); mixed: (B, H, T, D); W_o: (H, D, C) -> dmixed: (B, H, T, D); dW_o: (H, D, C)
    """
    B, H, T, D = mixed.shape
    C = dattn_out.shape[2]
    rows = dattn_out.reshape(B * T, C)
    if W_o.size > 0:
        np.dot(join_heads(mixed).T, rows, out=dW_o.reshape(H * D, C))   # (H*D, B*T) @ (B*T, C)
        rows = np.dot(rows, W_o.reshape(H * D, C).T)            # (B*T, C) @ (C, H*D)
    split_heads(rows, dmixed)


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
