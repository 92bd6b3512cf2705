"""The forward pass and the backward pass: lists of calls, one a named quantity.

Every function fills the arrays it is given last; `forward` and `backward` (model.py) allocate them. In the
backward pass the first array is the gradient that is handed on, d.x is the gradient of c.x and dp.x that
of p.x. `steps.py` reads these very lists, so a line here is all that a quantity's wiring needs.
"""

from scratchformer.engine.attention import (
    attention_backward, attention_forward, attn_out_backward, attn_out_forward, mixed_backward, mixed_forward,
    project_backward, project_forward, scores_backward, scores_forward,
)
from scratchformer.engine.embedding import (
    embed_backward, embed_forward, pos_embed_backward, pos_embed_forward, token_embed_backward,
    token_embed_forward,
)
from scratchformer.engine.feed_forward import ffn_hidden_backward, ffn_hidden_forward, ffn_pre_backward
from scratchformer.engine.jit import jit
from scratchformer.engine.linear import linear_backward, linear_forward, residual_backward, residual_forward
from scratchformer.engine.lm_head import loss_backward, loss_forward, probs_backward, probs_forward


@jit
def forward_pass(p, c):
    """Fill every activation of the Cache c from its inputs and the Params p."""
    token_embed_forward(c.tokens, p.W_token, c.token_embed)     # token_embed = W_token[tokens]
    pos_embed_forward(p.W_pos, c.pos_embed)                     # pos_embed = W_pos[t]
    embed_forward(c.token_embed, c.pos_embed, c.embed)          # embed = token_embed + pos_embed
    project_forward(c.embed, p.W_q, c.q)                        # q = embed W_q
    project_forward(c.embed, p.W_k, c.k)                        # k = embed W_k
    project_forward(c.embed, p.W_v, c.v)                        # v = embed W_v
    scores_forward(c.q, c.k, c.scores)                          # scores = q kᵀ / √D
    attention_forward(c.scores, c.attention)                    # attention = softmax(scores), columns s <= t
    mixed_forward(c.attention, c.v, c.mixed)                    # mixed = attention v
    attn_out_forward(c.mixed, p.W_o, c.attn_out)                # attn_out = Σ_heads mixed W_o
    residual_forward(c.embed, c.attn_out, c.use_residual, c.resid_mid)      # resid_mid = embed + attn_out
    linear_forward(c.resid_mid, p.W_in, p.b_in, c.ffn_pre)      # ffn_pre = resid_mid W_in + b_in
    ffn_hidden_forward(c.ffn_pre, c.ffn_hidden)                 # ffn_hidden = max(ffn_pre, 0)
    linear_forward(c.ffn_hidden, p.W_out, p.b_out, c.ffn_out)   # ffn_out = ffn_hidden W_out + b_out
    residual_forward(c.resid_mid, c.ffn_out, c.use_residual, c.resid_post)  # resid_post = resid_mid + ffn_out
    linear_forward(
        c.resid_post, p.W_unembed, p.b_unembed, c.logits,       # logits = resid_post W_unembed + b_unembed
    )
    probs_forward(c.logits, c.probs)                            # probs = softmax(logits)
    loss_forward(c.probs, c.targets, c.loss)                    # loss = mean of -log probs[target]


@jit
def backward_pass(p, c, dp, d):
    """Fill every gradient, dp of the parameters and d of the activations: the forward pass in reverse."""
    d.loss[()] = 1
    loss_backward(c.probs, c.targets, d.probs)
    probs_backward(c.probs, c.targets, d.logits)                # with the loss, past d.probs
    linear_backward(d.logits, c.resid_post, p.W_unembed, d.resid_post, dp.W_unembed, dp.b_unembed)

    # resid_mid is read twice: d.resid_mid = (around the feed-forward layer) + (through it)
    residual_backward(d.resid_post, c.use_residual, d.resid_mid, d.ffn_out)
    linear_backward(d.ffn_out, c.ffn_hidden, p.W_out, d.ffn_hidden, dp.W_out, dp.b_out)
    ffn_hidden_backward(d.ffn_hidden, c.ffn_pre, d.ffn_pre)
    ffn_pre_backward(d.ffn_pre, c.resid_mid, p.W_in, d.resid_mid, dp.W_in, dp.b_in)

    # embed is read four times: d.embed = (around attention) + (through q) + (through k) + (through v)
    residual_backward(d.resid_mid, c.use_residual, d.embed, d.attn_out)
    attn_out_backward(d.attn_out, c.mixed, p.W_o, d.mixed, dp.W_o)
    mixed_backward(d.mixed, c.attention, c.v, d.attention, d.v)
    attention_backward(d.attention, c.attention, d.scores)
    scores_backward(d.scores, c.q, c.k, d.q, d.k)
    project_backward(d.q, c.embed, p.W_q, d.embed, dp.W_q)
    project_backward(d.k, c.embed, p.W_k, d.embed, dp.W_k)
    project_backward(d.v, c.embed, p.W_v, d.embed, dp.W_v)

    embed_backward(d.embed, d.token_embed, d.pos_embed)
    pos_embed_backward(d.pos_embed, dp.W_pos)
    token_embed_backward(d.token_embed, c.tokens, dp.W_token)
