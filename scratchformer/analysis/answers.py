"""How a model does where the rule says what comes next: which answers it gets right, and how far the stream
moves for them."""

import numpy as np

from scratchformer.analysis.geometry import between_groups
from scratchformer.run.data import judge_sequence
from scratchformer.run.judge import lands_right


def judge_sequences(model, sequences, context=None):
    """Verdicts of sequences, each given at most `context` tokens before a token (None: all of them)."""
    return [
        judge_sequence(model.rule, model.data.vocabulary, sequence, context or len(sequence))
        for sequence in sequences
    ]


def count_right(verdicts):
    """(how many constrained tokens are correct, how many are constrained)."""
    flat = np.concatenate(verdicts)
    return int((flat == 1).sum()), int((flat >= 0).sum())


def landings(model):
    """(Cache of all held-out windows, what the rule allows, where the top prediction is allowed)."""
    cache, allowed = model.held_out, model.run.held_out.allowed
    return cache, allowed, lands_right(cache.logits, allowed)


def right_by_answer(right, allowed):
    """For each token, (how many positions whose answer it is land right, how many there are)."""
    return [
        (int(right[allowed[..., i]].sum()), int(allowed[..., i].sum())) for i in range(allowed.shape[-1])
    ]


def right_without_attention(model, embed, allowed):
    """At how many constrained positions the prediction would be right if `resid_mid` were `embed`.

    embed: (B, T, C); allowed: (B, T, V) bool
    """
    chosen = allowed.any(axis=-1)
    return int(lands_right(model.landscape(embed[chosen]), allowed[chosen]).sum())


def answer_share(model):
    """(mean probability of what the rule allows at constrained positions, how many they are, loss) of all
    held-out windows; the first is nan where the rule constrains none."""
    cache, allowed = model.held_out, model.run.held_out.allowed
    chosen = allowed.any(axis=-1)
    share = (cache.probs * allowed).sum(axis=-1)[chosen].mean() if chosen.any() else np.nan
    return float(share), int(chosen.sum()), float(cache.loss)


def single_answers(model):
    """The id of the one token that the rule allows next in held-out windows, else -1: (N, T)."""
    allowed = model.run.held_out.allowed
    return np.where(allowed.sum(axis=-1) == 1, allowed.argmax(axis=-1), -1)


def explained_by_answers(cache, answers):
    """{name: share} of the variance at positions with one answer that lies between the answers' means.

    answers: (B, T) ids, -1 where there is no single one
    """
    chosen = answers >= 0
    return {
        name: between_groups(getattr(cache, name)[chosen], answers[chosen])
        for name in ("embed", "attn_out", "resid_mid") if chosen.any()
    }


def mean_shifts(model):
    """{kind of position: (mean length of attn_out, how many)} over all held-out windows: constrained
    positions and unconstrained ones, where there are any."""
    chosen = model.run.held_out.allowed.any(axis=-1)
    lengths = np.linalg.norm(model.held_out.attn_out, axis=-1)
    return {
        name: (float(lengths[which].mean()), int(which.sum()))
        for name, which in (("constrained", chosen), ("unconstrained", ~chosen)) if which.any()
    }
