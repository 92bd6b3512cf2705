"""How well a model follows its rule: the losses and rule errors of a run."""

from typing import NamedTuple

import numpy as np

from scratchformer.engine.model import empty_cache
from scratchformer.engine.passes import forward_pass
from scratchformer.run.data import allowed_next
from scratchformer.run.own_rule import find_rule

RULE_ERROR = (
    "rule error: of the positions in held-out windows where the rule says what comes next, "
    "the share where the model's first choice breaks it"
)
GENERATED_RULE_ERROR = (
    "generated rule error: of the tokens that the model wrote itself where the rule, "
    "given the block_size tokens before, says what comes next, the share that break it"
)

LEARNED = 0.01                  # a rule error up to this counts as learned


class HeldOut(NamedTuple):
    """All held-out windows, and what the rule allows after each position of them."""

    tokens: np.ndarray                  # (N, T) ids that the model reads
    targets: np.ndarray                 # (N, T) ids that came next
    allowed: np.ndarray                 # (N, T, V) bool; see allowed_next

    @classmethod
    def of(cls, rule, data):
        """The HeldOut of a Data."""
        tokens = data.held_out_windows[:, :-1]
        return cls(tokens, data.held_out_windows[:, 1:], allowed_next(rule, data.vocabulary, tokens))


class Judge:
    """Measures a model on windows chosen once, with sampling noise drawn once.

    So two evaluations differ by the model alone.
    """

    sequences, length = 64, 12          # sampled at each evaluation

    def __init__(self, config, data, rng):
        self.use_residual = config.model.use_residual
        self.block_size = config.model.block_size
        self.rule = find_rule(config.data)
        self.vocabulary = data.vocabulary
        self.train_windows = choose(data.train_windows, config.training.eval_windows, rng)
        self.held_out_windows = choose(data.held_out_windows, config.training.eval_windows, rng)
        self.allowed = allowed_next(self.rule, self.vocabulary, self.held_out_windows[:, :-1])
        self.first_tokens = np.array([sequence[0] for sequence in data.held_out_sequences])
        self.noise = rng.random((self.sequences, self.length))
        self.caches, self.contexts = None, {}       # made once: fresh memory would cost more than it is used

    def measure(self, params):
        """(train loss, held-out loss, rule error, generated rule error) of the chosen sample."""
        if self.caches is None:
            self.caches = [
                empty_cache(params, windows[:, :-1].copy(), windows[:, 1:].copy(), self.use_residual)
                for windows in (self.train_windows, self.held_out_windows)
            ]
        train, held_out = self.caches
        forward_pass(params, train)
        forward_pass(params, held_out)
        wrong, constrained = count_wrong(held_out.logits, self.allowed)
        generated = self.generate(params, self.noise)
        bad, judged = self.judge_generated(generated)
        return (
            float(train.loss), float(held_out.loss),
            wrong / max(constrained, 1), bad / max(judged, 1),
        )

    def generated_error(self, params):
        """The generated rule error of the chosen sample; None where the rule constrains no token of it."""
        bad, judged = self.judge_generated(self.generate(params, self.noise))
        return bad / judged if judged else None

    def generate(self, params, noise):
        """Sequences sampled from the model, started with first tokens of held-out sequences.

        noise: (N, L) uniform in [0, 1) -> (N, L) token ids; each sees at most block_size tokens back
        """
        N, L = noise.shape
        sequences = np.empty((N, L), np.int64)
        sequences[:, 0] = np.resize(self.first_tokens, N)
        for t in range(1, L):
            context = sequences[:, max(0, t - self.block_size) : t]
            cache = self.context_cache(params, context.shape)
            cache.tokens[:] = context
            forward_pass(params, cache)
            sequences[:, t] = pick(cache.probs[:, -1], noise[:, t])
        return sequences

    def context_cache(self, params, shape):
        """The Cache of contexts of a shape, (N, T): made once."""
        if shape not in self.contexts:
            tokens, targets = np.empty(shape, np.int64), np.full(shape, -1)
            self.contexts[shape] = empty_cache(params, tokens, targets, self.use_residual)
        return self.contexts[shape]

    def judge_generated(self, sequences):
        """(how many constrained tokens are wrong, how many are constrained)."""
        wrong = constrained = 0
        for sequence in sequences.tolist():
            tokens = [self.vocabulary[i] for i in sequence]
            for t in range(1, len(tokens)):
                allowed = self.rule(tokens[max(0, t - self.block_size) : t])
                if allowed is not None:
                    constrained += 1
                    wrong += tokens[t] not in allowed
        return wrong, constrained


def pick(probs, draws):
    """The token that each draw, uniform in [0, 1), picks from probabilities: (N, V), (N,) -> (N,) ids."""
    above = probs.cumsum(axis=1) <= draws[:, None]
    return np.minimum(above.sum(axis=1), probs.shape[1] - 1)


def choose(windows, count, rng):
    """At most `count` of the windows, without repetition."""
    return windows[rng.permutation(len(windows))[:count]]


def count_wrong(logits, allowed):
    """(wrong, constrained): at how many constrained positions the top prediction is not allowed.

    logits: (N, T, V); allowed: (N, T, V) bool, without True where the rule allows any token
    """
    constrained = allowed.any(axis=-1)
    return int((constrained & ~lands_right(logits, allowed)).sum()), int(constrained.sum())


def lands_right(logits, allowed):
    """Whether the top prediction at each position is allowed: (N, T, V) twice -> (N, T) bool."""
    return np.take_along_axis(allowed, logits.argmax(axis=-1)[..., None], axis=-1)[..., 0]
