def plus_last_large(history):
    """After +, the most recent number above 5."""
    if history[-1] != "+":
        return None                         # anything may come
    for token in reversed(history):
        if token != "+" and token > 5:
            return {token}
    return None                             # none seen so far: anything may come
