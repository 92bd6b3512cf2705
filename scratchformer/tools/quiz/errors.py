"""The errors that the quizzes plant: pieces of the engine's source, and what stands there instead."""

from typing import NamedTuple


class Quiz(NamedTuple):
    """One planted error."""

    step: str                           # a step of the backward pass: the error is in its function
    question: str                       # what the learner is told
    changes: tuple                      # (the engine's text, what stands there instead)
    hint: str                           # what the learner is told who asks for it


SCALE_LOOP = """\
            for t in range(T):
                for d in range(D):
                    dq[b, h, t, d] *= scale
                    dk[b, h, t, d] *= scale
"""
SOFTMAX_LOOP = """\
                mean = 0.0
                for s in range(T):
                    mean += dattention[b, h, t, s] * attention[b, h, t, s]
                for s in range(T):
                    dscores[b, h, t, s] = attention[b, h, t, s] * (dattention[b, h, t, s] - mean)
"""
JACOBIAN_LOST = """\
                for s in range(T):
                    dscores[b, h, t, s] = dattention[b, h, t, s]
"""

QUIZZES = {
    "loss": Quiz(
        "loss", "The loss is a mean. Over what?",
        (("count = count_targets(targets)", "count = B * T"),),
        "The loss divides by the number of positions that have a target, so each gradient is divided by it.",
    ),
    "probs": Quiz(
        "probs", "Softmax and -log together: what is left of the target's probability?",
        (("dlogits[b, t, y] -= 1 / count", "dlogits[b, t, y] = -1 / count"),),
        "What the model said minus what came: the target's logit gets (p - 1) / count.",
    ),
    "probs-2": Quiz(
        "probs", "What does a position without a target (-1) owe the loss?",
        (("probs[b, t, j] / count if y >= 0 else 0", "probs[b, t, j] / count"),),
        "A position whose target is -1 is not in the loss: its logits get no gradient.",
    ),
    "linear": Quiz(
        "logits", "One bias is added in many places.",
        (("db[j] += rows[i, j]", "db[j] = rows[i, j]"),),
        "What is used at every time step of every sequence collects its gradient from all: a sum.",
    ),
    "linear-2": Quiz(
        "logits", "The map goes back through the same matrix.",
        (("np.dot(rows, W.T, out", "np.dot(rows, W.reshape(M, N), out"),),
        "dx = dy Wᵀ. A reshape to the transpose's shape is not the transpose.",
    ),
    "residual": Quiz(
        "resid_post", "A sum hands its gradient to each of its terms.",
        (("dout[b, t, c] if use_residual else 0", "0"),),
        "out = stream + branch: the route around the layer carries the gradient too, where there is one.",
    ),
    "ffn_hidden": Quiz(
        "ffn_hidden", "What does a hidden unit that is switched off pass back?",
        (("dffn_hidden[b, t, f] if ffn_pre[b, t, f] > 0 else 0", "dffn_hidden[b, t, f]"),),
        "ReLU is flat below 0: there the gradient stops.",
    ),
    "ffn_hidden-2": Quiz(
        "ffn_hidden", "Who decides whether a hidden unit is open?",
        (("if ffn_pre[b, t, f] > 0", "if dffn_hidden[b, t, f] > 0"),),
        "The gate of a ReLU is set by its input in the forward pass, not by the gradient that comes back.",
    ),
    "ffn_pre": Quiz(
        "ffn_pre", "This is not the only route from the loss to resid_mid.",
        (("dresid_mid += route", "dresid_mid[:] = route"),),
        "resid_mid also reaches the loss around the layer; that gradient is in dresid_mid when you get it.",
    ),
    "attn_out": Quiz(
        "attn_out", "mixed has one matrix a head; W_o meets the heads side by side.",
        (("split_heads(rows, dmixed)", "dmixed[:] = rows.reshape(B, H, T, D)"),),
        "From (B*T, H*D) to (B, H, T, D) the axes of time and heads change places: no reshape does that.",
    ),
    "mixed": Quiz(
        "mixed", "Who read a value, and how much?",
        (("np.dot(attention[b, h].T, dmixed[b, h], out=dv[b, h])",
          "np.dot(attention[b, h], dmixed[b, h], out=dv[b, h])"),),
        "mixed[t] = Σ_s attention[t,s] v[s], so dv[s] is a sum over t: over a column, not over a row.",
    ),
    "attention": Quiz(
        "attention", "Raising one score lowers the other weights of its row.",
        (("(dattention[b, h, t, s] - mean)", "dattention[b, h, t, s]"),),
        "The Jacobian is diag(p) - p pᵀ. Only its diagonal part diag(p) is there.",
    ),
    "attention-2": Quiz(
        "attention", "The weights of a row sum to 1, whatever the scores.",
        ((SOFTMAX_LOOP, JACOBIAN_LOST),),
        "The Jacobian of the softmax is missing: dscores = (diag(p) - p pᵀ) dattention, row by row.",
    ),
    "attention-3": Quiz(
        "attention", "Can a position be corrected for what it could not read?",
        (("mean += dattention[b, h, t, s] * attention[b, h, t, s]", "mean += dattention[b, h, t, s] / T"),),
        "The mean over a row is weighted by attention, so what the mask put to 0 does not count in it.",
    ),
    "scores": Quiz(
        "scores", "What stands between q kᵀ and the scores?",
        (("    scale = 1 / sqrt(D)\n", ""), (SCALE_LOOP, "")),
        "scores = q kᵀ / √D: the factor is in the way back to q, and in the way back to k.",
    ),
    "project": Quiz(
        "q", "All sequences of the batch meet the same matrix.",
        (("    np.dot(embed.reshape(B * T, C).T, rows, out=dW.reshape(C, H * D))",
          "    for b in range(B):\n"
          "        np.dot(embed[b].T, rows[b * T : (b + 1) * T], out=dW.reshape(C, H * D))"),),
        "dW is a sum over the batch; np.dot with out= overwrites what the sequence before has left.",
    ),
    "embed": Quiz(
        "embed", "All sequences of the batch share the embedding of a position.",
        (("dpos_embed[t, c] += ", "dpos_embed[t, c] = "),),
        "pos_embed[t] is added in every sequence, so its gradient is a sum over the batch.",
    ),
    "pos_embed": Quiz(
        "pos_embed", "A short window reads only the first positions.",
        (("    dW_pos[:] = 0  # positions beyond T were not read\n", ""),),
        "The rows of W_pos beyond the window were not read: their gradient is 0, not what lay there before.",
    ),
    "token_embed": Quiz(
        "token_embed", "What if a token occurs twice?",
        (("dW_token[tokens[b, t], c] += ", "dW_token[tokens[b, t], c] = "),),
        "Each reading of a row of W_token adds to the row's gradient.",
    ),
}
