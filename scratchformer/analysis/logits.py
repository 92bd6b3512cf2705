"""What the LM head makes of the residual stream: of its parts, and of its stages."""

import numpy as np

from scratchformer.analysis.followed import follow, prediction_verdicts
from scratchformer.analysis.interventions import lens
from scratchformer.run.judge import count_wrong

STAGES = ("embed", "resid_mid", "resid_post")


def attribute_logits(model):
    """({component: its share of the right answer's logit}, what is allowed), at the constrained positions of
    all held-out windows: (N,) each, and (N, V).

    The logit is the mean of the allowed tokens' less the mean of all tokens'. The LM head is linear, so
    what it makes of each part of resid_post adds up to that: the last entry, sum, computed from the logits.
    """
    cache, allowed, params = model.held_out, model.run.held_out.allowed, model.params
    chosen = allowed.any(axis=-1)
    allowed = allowed[chosen]
    weights = allowed / allowed.sum(axis=-1, keepdims=True) - 1 / allowed.shape[1]      # (N, V)
    direction = weights @ params.W_unembed.T                                            # (N, C)
    parts = {}
    for name in ("token_embed", "pos_embed", "attn_out", "ffn_out") if model.use_residual else ("ffn_out",):
        part = np.broadcast_to(getattr(cache, name), cache.resid_post.shape)[chosen]
        parts[name] = (part * direction).sum(axis=-1)
    parts["b_unembed"] = weights @ params.b_unembed
    parts["sum"] = (cache.logits[chosen] * weights).sum(axis=-1)
    return parts, allowed


def lens_errors(model):
    """What the LM head reads off each of the STAGES in all held-out windows: (rule errors, [probability of an
    allowed token at each constrained position: (N,)] of the stages, how many such positions)."""
    cache, allowed = model.held_out, model.run.held_out.allowed
    chosen = allowed.any(axis=-1)
    errors, rights = [], []
    for name in STAGES:
        logits, probs = lens(model.params, getattr(cache, name))
        wrong, constrained = count_wrong(logits, allowed)
        errors.append(wrong / max(constrained, 1))
        rights.append((probs * allowed).sum(axis=-1)[chosen])
    return errors, rights, int(chosen.sum())


def lens_predictions(model):
    """(top predictions by stage: (T, 3) ids, verdicts: (T, 3), 1, 0, or -1 if open, labels) of the first of
    model.demos."""
    demo = follow(model, model.demos[0])
    found = [lens(model.params, getattr(demo.cache, name))[0] for name in STAGES]
    state = [prediction_verdicts(logits, demo.allowed[None])[0] for logits in found]
    top = np.stack([logits[0].argmax(axis=-1) for logits in found], axis=1)
    return top, np.stack(state, axis=1), demo.labels
