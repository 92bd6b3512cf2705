"""A sequence in the model of a step: what the rule says of it, what the model predicts, also in words."""

from collections import namedtuple

import numpy as np

from scratchformer.figures.labels import at_position
from scratchformer.figures.sequences import MARKS, demo_caches, row_labels, verdicts
from scratchformer.run.data import allowed_next

Demo = namedtuple("Demo", "cache labels allowed state where")


def follow(model, number):
    """The run's sequence of that number, from 0, in the model of a step.

    cache: Cache of one row; labels: its tokens at positions, such as 8₇; allowed: (T, V) answers;
    state: (T,) verdicts; where: constrained positions
    """
    cache = demo_caches(model)[number]
    state = verdicts(model, cache)
    return Demo(
        cache, [at_position(token, t) for t, token in enumerate(row_labels(model, cache))],
        allowed_next(model.rule, model.data.vocabulary, cache.tokens)[0], state, np.flatnonzero(state >= 0),
    )


def follow_all(model):
    """All of the run's sequences in the model of a step: list of Demo."""
    return [follow(model, number) for number in range(len(model.demos))]


def missing(model, number):
    """Why there is no sequence of that number."""
    return (
        f"There is no value demo {number}: the held-out windows of this run give only "
        f"{len(model.demos)} to follow."
    )


def values_in_stream(model):
    """Whether v lies in the stream's plane: attention adds the mixed values as they are."""
    return model.params.W_o.size == 0


def likeliest(demo, token, count):
    """At most so many of the constrained positions: answers first, then where it gets most probability."""
    key = demo.allowed[:, token] + demo.cache.probs[0, :, token]
    return demo.where[np.argsort(-key[demo.where], kind="stable")][:count]


def heading(demo, token):
    """Lines on a next token: its probability at two positions at most, and where it is an answer."""
    probs, labels = demo.cache.probs[0, :, token], demo.labels
    if not len(demo.where):
        return [f"at most {probs.max():.1%}", f"at {labels[probs.argmax()]}"]
    answers = np.flatnonzero(demo.allowed[:, token])
    lines = [f"at {labels[t]}: {probs[t]:.1%}" for t in np.sort(likeliest(demo, token, 2))]
    if len(answers):
        times = f"{len(answers)} times" if len(answers) > 1 else f"at {labels[answers[0]]}"
        lines.append(f"answer {times}")
    return lines


def outcome(model, demo):
    """What the model predicts at constrained positions, and with what probability, in words."""
    probs, where = demo.cache.probs[0], demo.where
    if not len(where):
        return "the rule constrains no position"
    if len(where) > 3:
        mass = (probs * demo.allowed).sum(axis=1)[where].mean()
        return (
            f"{(demo.state == 1).sum()} of {len(where)} predictions at constrained positions right; "
            f"answers get {mass:.1%} of probability there on average"
        )
    clauses = []
    for t in where:
        answers = [model.vocabulary[i] for i in np.flatnonzero(demo.allowed[t])]
        answer = " or ".join(answers) if len(answers) <= 3 else f"one of {len(answers)} tokens"
        best = probs[t].argmax()
        clauses.append(
            f"{demo.labels[t]}: answer {answer}, predicted {model.vocabulary[best]} "
            f"{MARKS[int(demo.state[t])]} with probability {probs[t, best]:.1%}"
        )
    return ";  ".join(clauses)


def moved(demo):
    """How far attention moves the positions, in words."""
    lengths = np.linalg.norm(demo.cache.resid_mid[0] - demo.cache.embed[0], axis=-1)
    if len(demo.where):
        return f"Constrained positions move by {lengths[demo.where].mean():.1f} on average."
    return f"A position moves by {lengths.mean():.1f} on average."
