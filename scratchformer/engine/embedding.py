"""Embedding: a token's vector plus its position's vector.

    e[b,t] = W_token[x[b,t]] + W_pos[t]

The position embeddings are learned, as in Radford et al. 2018, section 3.1.
"""

from scratchformer.engine.jit import jit


@jit
def embedding_forward(tokens, W_token, W_pos, token_embed, pos_embed, embed):
    """embed[b,t] = W_token[tokens[b,t]] + W_pos[t].

    tokens: (B, T) ids, T <= block_size; W_token: (V, C); W_pos: (block_size, C)
    -> token_embed: (B, T, C); pos_embed: (T, C); embed: (B, T, C)
    """
    B, T, C = embed.shape
    for b in range(B):
        for t in range(T):
            for c in range(C):
                token_embed[b, t, c] = W_token[tokens[b, t], c]
    for t in range(T):
        for c in range(C):
            pos_embed[t, c] = W_pos[t, c]
    for b in range(B):
        for t in range(T):
            for c in range(C):
                embed[b, t, c] = token_embed[b, t, c] + pos_embed[t, c]


@jit
def embedding_backward(dembed, tokens, dtoken_embed, dpos_embed, dW_token, dW_pos):
    """A sum hands its gradient to both terms; a row that is read often collects from every reading.

    dtoken_embed = dembed                                   dpos_embed[t] = Σ_b dembed[b,t]
    dW_token[i] = Σ_{b,t: tokens[b,t] = i} dtoken_embed[b,t]    dW_pos[t] = dpos_embed[t]

    dembed: (B, T, C); tokens: (B, T)
    -> dtoken_embed: (B, T, C); dpos_embed: (T, C); dW_token: (V, C); dW_pos: (block_size, C)
    """
    B, T, C = dembed.shape
    dpos_embed[:] = 0
    for b in range(B):
        for t in range(T):
            for c in range(C):
                dtoken_embed[b, t, c] = dembed[b, t, c]
                dpos_embed[t, c] += dembed[b, t, c]
    dW_token[:] = 0
    for b in range(B):
        for t in range(T):
            for c in range(C):
                dW_token[tokens[b, t], c] += dtoken_embed[b, t, c]
    dW_pos[:] = 0                                               # positions beyond T were not read
    for t in range(T):
        for c in range(C):
            dW_pos[t, c] = dpos_embed[t, c]
