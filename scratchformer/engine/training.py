"""The training kernel: a stretch of steps, compiled as one."""

from scratchformer.engine.adam import adam_update
from scratchformer.engine.jit import jit
from scratchformer.engine.passes import backward_pass, forward_pass


@jit
def train_steps(
    params, theta, m, v, cache, dparams, gradient, dcache, windows, batches, step, rates, settings,
):
    """One forward, backward and Adam update for each row of `batches`, in place.

    params and dparams are views into theta and gradient: (P,); windows: (N, T+1) ids;
    batches: (steps, B) rows of windows; step: how many updates came before; rates: of every step;
    settings: AdamSettings
    """
    B, T = cache.tokens.shape
    for i in range(len(batches)):
        for b in range(B):
            for t in range(T):
                cache.tokens[b, t] = windows[batches[i, b], t]
                cache.targets[b, t] = windows[batches[i, b], t + 1]
        forward_pass(params, cache)
        backward_pass(params, cache, dparams, dcache)
        adam_update(theta, gradient, m, v, step + i + 1, rates[step + i], settings)
