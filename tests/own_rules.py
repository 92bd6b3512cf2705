"""Rules of all kinds over five tokens, for what must work for any rule."""

from scratchformer.run.rules import plus_last_even

VOCABULARY = (0, 1, 2, 3, "+")


def third_last(history):
    """Answers from one token far back; several tokens."""
    return {history[-3], 0} if len(history) >= 3 else None


def slices(history):
    return {1} if history[-2:] == [1, "+"] or history[::2] == ["+", "+"] else None


def oldest_first(history):
    """Looks from the other end, in an order that depends on what it finds."""
    for token in history:
        if token == "+":
            return {2, 3} if history[-1] == 0 else None
    return {history.index(1)} if 1 in history else None


def looks_at_all(history):
    return {sum(token for token in history if token != "+") % 4}


def by_length(history):
    return {len(history) % 4} if history.count("+") == 2 else None


def equals(history):
    return {0} if history == ["+", 1, 0] else None


def even_length(history):
    """Nothing is constrained until four tokens are there; then everything is allowed."""
    return set(VOCABULARY) if len(history) == 4 else None


OWN_RULES = [third_last, slices, oldest_first, looks_at_all, by_length, equals, plus_last_even, even_length]
