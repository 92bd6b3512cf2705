"""Adam with decoupled weight decay, by hand.

    m = β1 m + (1 - β1) g            v = β2 v + (1 - β2) g²
    θ = θ - lr ( (m / (1 - β1^t)) / (√(v / (1 - β2^t)) + ε) + λ θ )

Kingma & Ba 2015, algorithm 1, with its bias correction; the decay λ acts on θ itself, not through
the gradient: Loshchilov & Hutter 2019, algorithm 2.
"""

from math import sqrt
from typing import NamedTuple

from scratchformer.engine.jit import jit


class AdamSettings(NamedTuple):
    """What stays the same from step to step."""

    beta1: float
    beta2: float
    epsilon: float
    weight_decay: float


@jit
def adam_update(theta, gradient, m, v, step, learning_rate, settings):
    """Update number `step` (from 1) of parameters and moments, in place.

    theta, gradient, m, v: (P,); settings: AdamSettings
    """
    beta1, beta2, epsilon, weight_decay = settings
    correction1 = 1 - beta1 ** float(step)      # of a float, so that compiled and plain round alike
    correction2 = 1 - beta2 ** float(step)
    for i in range(len(theta)):
        m[i] = beta1 * m[i] + (1 - beta1) * gradient[i]
        v[i] = beta2 * v[i] + (1 - beta2) * gradient[i] * gradient[i]
        direction = (m[i] / correction1) / (sqrt(v[i] / correction2) + epsilon)
        theta[i] -= learning_rate * (direction + weight_decay * theta[i])
