"""What several quantities share: a linear map of rows, the softmax of rows, the residual connection."""

from math import exp

import numpy as np

from scratchformer.engine.jit import jit


@jit
def linear_forward(x, W, b, y):
    """y[b,t] = x[b,t] W + bias. x: (B, T, N); W: (N, M); b: (M,) -> y: (B, T, M)"""
    B, T, N = x.shape
    M = len(b)
    rows = y.reshape(B * T, M)
    np.dot(x.reshape(B * T, N), W, out=rows)                    # (B*T, N) @ (N, M)
    for i in range(B * T):
        for j in range(M):
            rows[i, j] += b[j]


@jit
def linear_backward(dy, x, W, dx, dW, db):
    """dx = dy Wᵀ, dW = xᵀ dy, db = Σ_{b,t} dy[b,t].

    dy: (B, T, M); x: (B, T, N); W: (N, M) -> dx: (B, T, N); dW: (N, M); db: (M,)
    """
    B, T, M = dy.shape
    N = len(W)
    rows = dy.reshape(B * T, M)
    np.dot(rows, W.T, out=dx.reshape(B * T, N))                 # (B*T, M) @ (M, N)
    np.dot(x.reshape(B * T, N).T, rows, out=dW)                 # (N, B*T) @ (B*T, M)
    for j in range(M):
        db[j] = 0
    for i in range(B * T):
        for j in range(M):
            db[j] += rows[i, j]


@jit
def softmax_forward(x, causal, p):
    """p[n,i,j] = exp(x[n,i,j] - m) / Σ_j' exp(x[n,i,j'] - m), with m the row's largest entry.

    Subtracting m changes nothing and keeps exp from overflowing. With `causal`, row i sees the
    columns j <= i and the rest get 0.

    x: (N, I, J) -> p: (N, I, J), rows sum to 1
    """
    N, I, J = x.shape
    for n in range(N):
        for i in range(I):
            visible = i + 1 if causal else J
            largest = x[n, i, 0]
            for j in range(1, visible):
                largest = max(largest, x[n, i, j])
            total = 0.0
            for j in range(visible):
                p[n, i, j] = exp(x[n, i, j] - largest)
                total += p[n, i, j]
            for j in range(visible):
                p[n, i, j] /= total
            for j in range(visible, J):
                p[n, i, j] = 0


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
