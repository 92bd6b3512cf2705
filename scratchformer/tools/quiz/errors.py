"""The errors that the quizzes plant: pieces of the engine's source, and what stands there instead."""

from typing import NamedTuple


class Quiz(NamedTuple):
    """One planted error."""

    layer: str                          # of quiz_trial.LAYERS: the error is in <layer>_backward
    question: str                       # what the learner is told
    changes: tuple                      # (the engine's text, what stands there instead)
    hint: str                           # what the learner is told who asks for it


SCALE_LOOP = """\
            for t in range(T):
                for d in range(D):
                    dq[b, h, t, d] *= scale
                    dk[b, h, t, d] *= scale
"""
JACOBIAN = """\
    softmax_backward(
        dattention.reshape(B * H, T, T), attention.reshape(B * H, T, T), dscores.reshape(B * H, T, T)
    )
"""
RECOMPUTE = """\
    scale = 1 / sqrt(D)

    # attention is computed again rather than kept, to save memory (as FlashAttention does)
    attention = np.empty((B, H, T, T))
    for b in range(B):
        for h in range(H):
            attention[b, h] = np.dot(q[b, h], k[b, h].T) * scale
    softmax_forward(attention.reshape(B * H, T, T), False, attention.reshape(B * H, T, T))
"""

QUIZZES = {
    "lm_head": Quiz(
        "lm_head", "The loss is a mean. Over what?",
        (("count = count_targets(targets)", "count = 1"),),
        "The loss divides by the number of positions that have a target, so each gradient is divided too.",
    ),
    "lm_head-2": Quiz(
        "lm_head", "What does a position without a target (-1) owe the loss?",
        (("probs[b, t, j] / count if y >= 0 else 0", "probs[b, t, j] / count"),),
        "A position whose target is -1 is not in the loss: its logits get no gradient.",
    ),
    "linear": Quiz(
        "linear", "One bias is added in many places.",
        (("db[j] += rows[i, j]", "db[j] = rows[i, j]"),),
        "What is used at every time step of every sequence collects its gradient from all: a sum.",
    ),
    "linear-2": Quiz(
        "linear", "The map goes back through the same matrix.",
        (("np.dot(rows, W.T, out", "np.dot(rows, W.reshape(M, N), out"),),
        "dx = dy Wᵀ. A reshape to the transpose's shape is not the transpose.",
    ),
    "softmax": Quiz(
        "softmax", "Raising one entry of x lowers the other probabilities of its row.",
        (("p[n, i, j] * (dp[n, i, j] - mean)", "p[n, i, j] * dp[n, i, j]"),),
        "The Jacobian is diag(p) - p pᵀ. Only its diagonal part diag(p) is there.",
    ),
    "residual": Quiz(
        "residual", "A sum hands its gradient to each of its terms.",
        (("dout[b, t, c] if use_residual else 0", "0"),),
        "out = stream + branch: the route around the layer carries the gradient too, where there is one.",
    ),
    "feed_forward": Quiz(
        "feed_forward", "What does a hidden unit that is switched off pass back?",
        (("dffn_hidden[b, t, f] if ffn_pre[b, t, f] > 0 else 0", "dffn_hidden[b, t, f]"),),
        "ReLU is flat below 0: there the gradient stops.",
    ),
    "feed_forward-2": Quiz(
        "feed_forward", "Who decides whether a hidden unit is open?",
        (("if ffn_pre[b, t, f] > 0", "if dffn_hidden[b, t, f] > 0"),),
        "The gate of a ReLU is set by its input in the forward pass, not by the gradient that comes back.",
    ),
    "feed_forward-3": Quiz(
        "feed_forward", "This is not the only route from the loss to resid_mid.",
        (("dresid_mid += route", "dresid_mid[:] = route"),),
        "resid_mid also reaches the loss around the layer; that gradient is in dresid_mid when you get it.",
    ),
    "attention": Quiz(
        "attention", "Who read a value, and how much?",
        (("np.dot(attention[b, h].T, dmixed[b, h], out=dv[b, h])",
          "np.dot(attention[b, h], dmixed[b, h], out=dv[b, h])"),),
        "mixed[t] = Σ_s attention[t,s] v[s], so dv[s] is a sum over t: over a column, not over a row.",
    ),
    "attention-2": Quiz(
        "attention", "What stands between q kᵀ and the scores?",
        (("    scale = 1 / sqrt(D)\n", ""), (SCALE_LOOP, "")),
        "scores = q kᵀ / √D: the factor is in the way back to q, and in the way back to k.",
    ),
    "attention-3": Quiz(
        "attention", "The weights of a row sum to 1, whatever the scores.",
        ((JACOBIAN, "    dscores[:] = dattention\n"),),
        "The Jacobian of the softmax is missing; softmax_backward(dp, p, dx) applies it to (N, I, J) arrays.",
    ),
    "attention-4": Quiz(
        "attention", "Can a position read from its future?",
        (("    scale = 1 / sqrt(D)\n", RECOMPUTE),),
        "The forward pass masks the future out; what is computed again must be the same attention.",
    ),
    "output": Quiz(
        "output", "mixed has one matrix a head; W_o meets the heads side by side.",
        (("split_heads(rows, dmixed)", "dmixed[:] = rows.reshape(B, H, T, D)"),),
        "From (B*T, H*D) to (B, H, T, D) the axes of time and heads change places: no reshape does that.",
    ),
    "project": Quiz(
        "project", "All sequences of the batch meet the same matrix.",
        (("    np.dot(embed.reshape(B * T, C).T, rows, out=dW.reshape(C, H * D))",
          "    for b in range(B):\n"
          "        np.dot(embed[b].T, rows[b * T : (b + 1) * T], out=dW.reshape(C, H * D))"),),
        "dW is a sum over the batch; np.dot with out= overwrites what the sequence before has left.",
    ),
    "embedding": Quiz(
        "embedding", "All sequences of the batch share the embedding of a position.",
        (("dpos_embed[t, c] += ", "dpos_embed[t, c] = "),),
        "pos_embed[t] is added in every sequence, so its gradient is a sum over the batch.",
    ),
    "embedding-2": Quiz(
        "embedding", "What if a token occurs twice?",
        (("dW_token[tokens[b, t], c] += ", "dW_token[tokens[b, t], c] = "),),
        "Each reading of a row of W_token adds to the row's gradient.",
    ),
}
