"""What a program may do after a token, fitted to what a model says: the candidates of decompiling.

After a last token a model's answer is tried as

    Constant    always the same
    Back        a function of the token so many back
    Scan        a function of the most recent token of some kind, and another answer if there is none; and
                after tokens that lie far back, yet another

Of those the one with the fewest bits is taken: of its description, and of what it gets wrong. What a mistake
costs is not known before the exceptions are; decompile.py tries several prices.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np

ENTRY_BITS, SET_BITS = 4, 12            # of an entry of a function, of a set of tokens


class Samples(NamedTuple):
    """What a model says after contexts that end in one token."""

    contexts: np.ndarray                # (N, T) ids, right-aligned; -1 before a context starts
    says: np.ndarray                    # (N,) ids
    scores: np.ndarray                  # (H, V): how strongly the last token looks for each token, on average


class Constant(NamedTuple):
    """The same answer whatever came before."""

    answer: int

    def says(self, contexts):
        """(N, T) ids -> (N,) answers."""
        return np.full(len(contexts), self.answer)

    @property
    def bits(self):
        """Length of its description."""
        return ENTRY_BITS


class Back(NamedTuple):
    """A function of the token `distance` back (0 is the last one); `answer` where there is none."""

    distance: int
    function: tuple                     # (V,) an answer for each token
    answer: int

    def says(self, contexts):
        """(N, T) ids -> (N,) answers."""
        token = contexts[:, -1 - self.distance]
        return np.where(token >= 0, np.array(self.function)[token], self.answer)

    @property
    def bits(self):
        """Length of its description."""
        return SET_BITS + ENTRY_BITS * (1 + function_entries(self.function))


class Scan(NamedTuple):
    """A function of the most recent token of a kind; `answer` where there is none.

    far: triples (token, distance, answer): after that token, so far back or farther, another answer
    """

    kind: tuple                         # ids
    function: tuple                     # (V,)
    answer: int
    far: tuple = ()

    def says(self, contexts):
        """(N, T) ids -> (N,) answers."""
        token, distance = most_recent(contexts, self.kind)
        answers = np.where(token >= 0, np.array(self.function)[token], self.answer)
        for far_token, least, answer in self.far:
            answers[(token == far_token) & (distance >= least)] = answer
        return answers

    @property
    def bits(self):
        """Length of its description."""
        entries = 1 + function_entries([self.function[i] for i in self.kind], self.kind)
        return SET_BITS * (2 + len({far[1:] for far in self.far})) + ENTRY_BITS * entries


def function_entries(function, tokens=None):
    """How many values tell a function of tokens: those that differ from the token, or from the most
    common."""
    tokens = range(len(function)) if tokens is None else tokens
    itself = sum(answer != token for token, answer in zip(tokens, function, strict=True))
    common = len(function) - max(Counter(function).values())
    return min(itself, common)


def most_recent(contexts, kind):
    """(token, distance) of the most recent token of a kind before the last: (N, T) ids -> (N,) twice.

    Both -1 where there is none.
    """
    inside = np.zeros(contexts.shape, bool)
    inside[:, :-1] = np.isin(contexts[:, :-1], kind)[:, ::-1]
    distance = inside.argmax(axis=1) + 1
    found = inside.any(axis=1)
    token = contexts[np.arange(len(contexts)), contexts.shape[1] - 1 - distance]
    return np.where(found, token, -1), np.where(found, distance, -1)


def majority(answers, default=0):
    """The most common of some answers, the default of none."""
    return int(np.bincount(answers).argmax()) if len(answers) else default


def fit_function(tokens, answers, size):
    """For each token the most common answer where it stands: (V,). A token never seen answers itself."""
    return tuple(majority(answers[tokens == token], token) for token in range(size))


def candidates(samples, size):
    """Every clause worth trying for some Samples."""
    contexts, says, scores = samples
    yield Constant(majority(says))
    for distance in range(1, contexts.shape[1]):
        token = contexts[:, -1 - distance]
        yield Back(distance, fit_function(token, says, size), majority(says[token < 0], majority(says)))
    kinds = {
        tuple(sorted(order[:count].tolist()))
        for order in (-scores).argsort(axis=1) for count in range(1, size + 1)
    }
    for kind in sorted(kinds):
        token, distance = most_recent(contexts, kind)
        plain = Scan(kind, fit_function(token, says, size), majority(says[token < 0], majority(says)))
        yield plain
        yield plain._replace(far=far_answers(plain, token, distance, says))


def far_answers(scan, token, distance, says):
    """The `far` of a Scan: where a token's answer turns into another from some distance on."""
    far = []
    for x in scan.kind:
        for least in range(int(distance.max()), 1, -1):
            at = (token == x) & (distance == least)
            answer = majority(says[at], scan.function[x])
            if answer == scan.function[x] or far and far[-1][0] == x and far[-1][2] != answer:
                break
            if far and far[-1][0] == x:
                far.pop()
            far.append((x, least, answer))
    return tuple(far)


def rate_clauses(samples, size):
    """[(clause, share of the samples that it gets wrong)] of every candidate."""
    return [
        (clause, float((clause.says(samples.contexts) != samples.says).mean()))
        for clause in candidates(samples, size)
    ]


def choose_clause(rated, price):
    """The clause with the fewest bits, where being wrong about everything costs `price` bits."""
    return min(rated, key=lambda entry: entry[0].bits + price * entry[1])[0]


def draw_samples(model, token, count=3000):
    """Samples of contexts that end in a token: half of them of full length, half of any. Always the same
    ones."""
    rng = np.random.default_rng(token)
    V, T = len(model.vocabulary), model.config.model.block_size
    contexts = rng.integers(0, V, (count, T))
    if T > 1:                                   # some tokens rare, so that there is something to scan for
        rare = rng.random((count, V)) < 0.5
        usual = rng.integers(0, V, count)
        contexts = np.where(rare[np.arange(count)[:, None], contexts], usual[:, None], contexts)
    contexts[:, -1] = token
    lengths = np.where(np.arange(count) % 2, T, rng.integers(1, T + 1, count))
    says = np.empty(count, int)
    for length in np.unique(lengths):
        at = lengths == length
        says[at] = model.forward(contexts[at, T - length:]).logits[:, -1].argmax(axis=-1)
    contexts[np.arange(T) < T - lengths[:, None]] = -1
    grid = model.grid
    q = grid.q[token, :, T - 1]                                                 # (H, D)
    scores = np.einsum("hd,vhtd->hv", q, grid.k) / T
    return Samples(contexts, says, scores)
