"""Who reads whom: shares of the first head's attention."""

import numpy as np

from scratchformer.analysis.families import families_of, present_families


def attention_shares(attention, tokens, vocabulary, chosen):
    """Of the attention at the chosen positions, the share by family of key: {family: mean}; {} without any.

    attention: (B, T, T); tokens: (B, T) ids; chosen: (B, T) bool
    """
    if not chosen.any():
        return {}
    keys = families_of(vocabulary)[tokens]
    return {
        name: float((attention * (keys == name)[:, None]).sum(axis=-1)[chosen].mean())
        for name in present_families(vocabulary)
    }


def even_attention(shape):
    """Attention that reads all keys in reach alike, as often as asked: (..., T, T)."""
    T = shape[-1]
    return np.broadcast_to(np.tri(T) / np.arange(1, T + 1)[:, None], shape)


def answer_attention(model):
    """(share of attention that goes to positions holding tokens allowed next, at the constrained positions of
    held-out windows, the share if all keys were read evenly, how many such positions there are)."""
    allowed = model.run.held_out.allowed
    chosen = allowed.any(axis=-1)
    if not chosen.any():
        return 0.0, 0.0, 0
    attention = model.held_out.attention[:, 0]
    answers = np.take_along_axis(allowed, model.run.held_out.tokens[:, None], axis=-1)    # query by key
    share, even = (
        float((weights * answers).sum(axis=-1)[chosen].mean())
        for weights in (attention, even_attention(attention.shape))
    )
    return share, even, int(chosen.sum())


def most_read(model):
    """Means over the constrained positions of held-out windows, None where there are none: (attention of the
    key read most, distance of the mixture from that key's value, length of that value)."""
    chosen = model.run.held_out.allowed.any(axis=-1)
    if not chosen.any():
        return None
    cache = model.held_out
    attention, v, mixed = cache.attention[:, 0], cache.v[:, 0], cache.mixed[:, 0]
    most = attention.argmax(axis=-1)
    read = np.take_along_axis(v, most[..., None], axis=1)
    return tuple(
        float(each[chosen].mean()) for each in
        (attention.max(axis=-1), np.linalg.norm(mixed - read, axis=-1), np.linalg.norm(read, axis=-1))
    )


def copies_or_blends(weight, distance, length):
    """What the numbers of `most_read` come to: "copy" of one value, "blend" of several, or "close" to one
    value although others are read as well."""
    if distance > length / 4:
        return "blend"
    return "copy" if weight > 0.75 else "close"
