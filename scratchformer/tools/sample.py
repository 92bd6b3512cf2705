"""Samples: what the model writes after a prompt, how likely each token was, and what the rule says of it."""

from typing import NamedTuple

import numpy as np

from scratchformer.run.data import judge_sequence
from scratchformer.run.judge import pick

MARKS = {1: "✓", 0: "✗", -1: ""}


class Samples(NamedTuple):
    """N continuations of one prompt by L tokens each."""

    prompt: np.ndarray                  # (P,) ids
    tokens: np.ndarray                  # (N, L) ids that were drawn
    probs: np.ndarray                   # (N, L): the probability that each was drawn with
    verdicts: np.ndarray                # (N, L): 1 follows the rule, 0 breaks it, -1 the rule says nothing


def write_on(model, prompt, count, length, temperature=1.0):
    """Samples of a model, the same at every call.

    prompt: (P,) ids; temperature: the logits are divided by it, so below 1 the likely tokens gain; at 0 the
    likeliest is taken. A token is drawn, and judged, by the block_size tokens before it.
    """
    block_size = model.config.model.block_size
    rng = np.random.default_rng(model.config.training.seed)
    written = np.tile(prompt, (count, 1))
    probs = np.zeros((count, length))
    rows = np.arange(count)
    for t in range(length):
        logits = model.forward(written[:, -block_size:]).logits[:, -1]                  # (N, V)
        shares = softmax(logits, temperature)
        chosen = pick(shares, rng.random(count))
        probs[:, t] = shares[rows, chosen]
        written = np.column_stack([written, chosen])
    verdicts = [judge_sequence(model.rule, model.data.vocabulary, row, block_size) for row in written]
    start = len(prompt)
    return Samples(prompt, written[:, start:], probs, np.array(verdicts).reshape(count, -1)[:, start:])


def softmax(logits, temperature):
    """Probabilities of (N, V) logits at a temperature; at 0 all goes to the first of the largest."""
    if temperature == 0:
        return np.eye(logits.shape[1])[logits.argmax(axis=1)]
    scaled = (logits - logits.max(axis=1, keepdims=True)) / temperature
    weights = np.exp(scaled)
    return weights / weights.sum(axis=1, keepdims=True)


def describe_samples(model, samples):
    """The Samples as text: a line each, then how many follow the rule."""
    prompt = " ".join(model.vocabulary[i] for i in samples.prompt)
    lines = []
    for tokens, probs, verdicts in zip(samples.tokens, samples.probs, samples.verdicts, strict=True):
        words = [
            f"{model.vocabulary[token]}{MARKS[int(verdict)]} {prob:.0%}"
            for token, prob, verdict in zip(tokens, probs, verdicts, strict=True)
        ]
        lines.append(f"{prompt} | {'  '.join(words)}")
    asked, right = int((samples.verdicts >= 0).sum()), int((samples.verdicts == 1).sum())
    verdict = f"{right} of {asked} follow it (✓)" if asked else "it says nothing here"
    return "\n".join([*lines, f"each token with its probability; where the rule says what comes: {verdict}"])
