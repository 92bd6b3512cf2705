"""Which components the answers need: each knocked out in turn."""

from functools import lru_cache

from scratchformer.analysis.interventions import ablate
from scratchformer.analysis.selectors import ROUTES, parse_intervention

COMPONENTS = ("token_embed", "pos_embed", "attention", "attn_out", "ffn_out", *ROUTES)
VALUES = ("0", "mean")                  # what is put in their place


@lru_cache(maxsize=4)
def knock_outs(model):
    """{(component, value): Ablation} of every component, in order, that the model has."""
    return {
        (name, value): ablate(model, [parse_intervention(f"{name}={value}", model)])
        for name in COMPONENTS if name not in ROUTES or model.use_residual for value in VALUES
    }


def ablated_error(result, before=False):
    """The rule error after an Ablation, or before it."""
    return (result.wrong_before if before else result.wrong_after) / max(result.constrained, 1)
