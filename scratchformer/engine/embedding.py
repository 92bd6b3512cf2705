"""Embedding: a token's vector plus its position's vector.

The position embeddings are learned, as in Radford et al. 2018, section 3.1.
"""

from scratchformer.engine.jit import jit


@jit
def token_embed_forward(tokens, W_token, token_embed):
    """Each token's row. tokens: (B, T) ids; W_token: (V, C) -> token_embed: (B, T, C)"""
    B, T, C = token_embed.shape
    for b in range(B):
        for t in range(T):
            for c in range(C):
                token_embed[b, t, c] = W_token[tokens[b, t], c]


@jit
def token_embed_backward(dtoken_embed, tokens, dW_token):
    """dW_token[i] = Σ_{b,t: tokens[b,t] = i} dtoken_embed[b,t]: a row collects from every place it was read.

    dtoken_embed: (B, T, C); tokens: (B, T) -> dW_token: (V, C)
    """
    B, T, C = dtoken_embed.shape
    dW_token[:] = 0
    for b in range(B):
        for t in range(T):
            for c in range(C):
                dW_token[tokens[b, t], c] += dtoken_embed[b, t, c]


@jit
def pos_embed_forward(W_pos, pos_embed):
    """The first T rows. W_pos: (block_size, C) -> pos_embed: (T, C), T <= block_size"""
    T, C = pos_embed.shape
    for t in range(T):
        for c in range(C):
            pos_embed[t, c] = W_pos[t, c]


@jit
def pos_embed_backward(dpos_embed, dW_pos):
    """dW_pos[t] = dpos_embed[t], and 0 beyond T. dpos_embed: (T, C) -> dW_pos: (block_size, C)"""
    T, C = dpos_embed.shape
    dW_pos[:] = 0                                               # positions beyond T were not read
    for t in range(T):
        for c in range(C):
            dW_pos[t, c] = dpos_embed[t, c]


@jit
def embed_forward(token_embed, pos_embed, embed):
    """The sum. token_embed: (B, T, C); pos_embed: (T, C), the same in every sequence -> embed: (B, T, C)"""
    B, T, C = embed.shape
    for b in range(B):
        for t in range(T):
            for c in range(C):
                embed[b, t, c] = token_embed[b, t, c] + pos_embed[t, c]


@jit
def embed_backward(dembed, dtoken_embed, dpos_embed):
    """dtoken_embed = dembed, dpos_embed[t] = Σ_b dembed[b,t]: a sum hands its gradient to both terms.

    dembed: (B, T, C) -> dtoken_embed: (B, T, C); dpos_embed: (T, C)
    """
    B, T, C = dembed.shape
    dpos_embed[:] = 0
    for b in range(B):
        for t in range(T):
            for c in range(C):
                dtoken_embed[b, t, c] = dembed[b, t, c]
                dpos_embed[t, c] += dembed[b, t, c]
