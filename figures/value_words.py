"""What the value demos say of a sequence: what comes of it, of each next token, and how far it is moved."""

import numpy as np

from scratchformer.analysis.followed import likeliest_at, mean_move
from scratchformer.figures.style import MARKS


def missing(model, number):
    """Why there is no sequence of that number."""
    return (
        f"There is no value demo {number}: the held-out windows of this run give only "
        f"{len(model.demos)} to follow."
    )


def heading(demo, token):
    """Lines on a next token: its probability at two positions at most, and where it is an answer."""
    probs, labels = demo.cache.probs[0, :, token], demo.labels
    if not len(demo.where):
        return [f"at most {probs.max():.1%}", f"at {labels[probs.argmax()]}"]
    answers = np.flatnonzero(demo.allowed[:, token])
    lines = [f"at {labels[t]}: {probs[t]:.1%}" for t in np.sort(likeliest_at(demo, token, 2))]
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
    what = "Constrained positions move" if len(demo.where) else "A position moves"
    return f"{what} by {mean_move(demo):.1f} on average."
