def confidence(cache, allowed):
    """How sure the model is where the rule speaks: the mean probability of its top prediction."""
    spoken = allowed.any(axis=-1)
    return cache.probs.max(axis=-1)[spoken].mean()
