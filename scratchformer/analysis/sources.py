"""Where the rule takes an answer from: the rule is a black box, so it is asked what else it would allow."""

import numpy as np


def answer_sources(model, sequence, context):
    """For each token of a sequence, where the rule takes the answer from if it decides the token, else -1.

    That is the latest earlier position that holds the answer and where some other token would have changed
    what the rule allows; the answer is the token itself if the rule allows it, else the only one allowed.
    sequence: (L,) ids; context: how many tokens back the rule sees -> (L,) int
    """
    tokens = [model.data.vocabulary[i] for i in sequence]
    sources = np.full(len(tokens), -1)
    for t in range(1, len(tokens)):
        start = max(0, t - context)
        seen = tokens[start:t]
        allowed = model.rule(seen)
        if allowed is None or tokens[t] not in allowed and len(allowed) != 1:
            continue
        answer = tokens[t] if tokens[t] in allowed else next(iter(allowed))
        held = [s for s in range(len(seen)) if seen[s] == answer and decides(model, seen, s, allowed)]
        if held:
            sources[t] = start + held[-1]
    return sources


def decides(model, seen, s, allowed):
    """Whether another token at position s would change what the rule allows after the tokens seen."""
    return any(
        model.rule([*seen[:s], other, *seen[s + 1 :]]) != allowed
        for other in model.data.vocabulary if other != seen[s]
    )
