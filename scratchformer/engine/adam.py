"""Adam with decoupled weight decay, by hand.

    m = β1 m + (1 - β1) g            v = β2 v + (1 - β2) g²
    θ = θ - lr ( (m / (1 - β1^t)) / (√(v / (1 - β2^t)) + ε) + λ θ )

Kingma & Ba 2015, algorithm 1, with its bias correction; the decay λ acts on θ itself, not through
the gradient: Loshchilov & Hutter 2019, algorithm 2.
"""

from math import sqrt

from scratchformer.engine.jit import jit


@jit
def adam_update(theta, gradient, m, v, step, learning_rate, beta1, beta2, epsilon, weight_decay):
    """Update number `step` (from 1) of parameters and moments, in place.

    theta, gradient, m, v: (P,)
    """
    correction1 = 1 - beta1 ** float(step)      # of a float, so that compiled and plain round alike
    correction2 = 1 - beta2 ** float(step)
    for i in range(len(theta)):
        m[i] = beta1 * m[i] + (1 - beta1) * gradient[i]
        v[i] = beta2 * v[i] + (1 - beta2) * gradient[i] * gradient[i]
        direction = (m[i] / correction1) / (sqrt(v[i] / correction2) + epsilon)
        theta[i] -= learning_rate * (direction + weight_decay * theta[i])
