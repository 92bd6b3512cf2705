"""THE table of names: every parameter and every activation, once, in forward order.

`Params` and `Cache` are named tuples with these fields. A value and its gradient carry the same
name in two containers of the same type. How each is made, and by which equation, the passes say
(passes.py, read by steps.py); figures, gradient checks, `--explain`, quizzes and docs follow both.

Dims: B batch, T time (position in the window), C embedding, H heads, D head size,
F hidden units of the feed-forward layer, V vocabulary.
"""

import html
from collections import namedtuple

import numpy as np

Name = namedtuple("Name", "name dims symbol meaning transformer_lens")

PARAMETERS = (
    Name("W_token", "V C", "W_E", "one row a token: its embedding", "W_E"),
    Name("W_pos", "T C", "W_P", "one row a position: its embedding", "W_pos"),
    Name("W_q", "C H D", "W_Q", "embedding to query", "W_Q"),
    Name("W_k", "C H D", "W_K", "embedding to key", "W_K"),
    Name("W_v", "C H D", "W_V", "embedding to value", "W_V"),
    Name("W_o", "H D C", "W_O", "mixed values to embedding; empty if H = 1 and D = C", "W_O"),
    Name("W_in", "C F", "W_1", "residual stream to hidden units", "W_in"),
    Name("b_in", "F", "b_1", "bias of the hidden units", "b_in"),
    Name("W_out", "F C", "W_2", "hidden units to residual stream", "W_out"),
    Name("b_out", "C", "b_2", "bias of the feed-forward output", "b_out"),
    Name("W_unembed", "C V", "W_U", "residual stream to logits", "W_U"),
    Name("b_unembed", "V", "b_U", "bias of the logits", "b_U"),
)

INPUTS = (
    Name("tokens", "B T", "x", "token ids read", "tokens"),
    Name("targets", "B T", "y", "token ids to predict, -1 where there are none", ""),
    Name("use_residual", "", "", "whether attention and feed-forward are added to their input", ""),
)

ACTIVATIONS = (
    Name("token_embed", "B T C", "W_E[x]", "what the token is", "hook_embed"),
    Name("pos_embed", "T C", "W_P[t]", "where the token is", "hook_pos_embed"),
    Name("embed", "B T C", "e", "token plus position: the residual stream's start", "resid_pre"),
    Name("q", "B H T D", "q", "query: what a position looks for", "q"),
    Name("k", "B H T D", "k", "key: what a position offers", "k"),
    Name("v", "B H T D", "v", "value: what a position passes on", "v"),
    Name("scores", "B H T T", "q·k/√D", "query t against key s, before the mask", "attn_scores"),
    Name("attention", "B H T T", "A", "how much t reads from s; rows sum to 1", "pattern"),
    Name("mixed", "B H T D", "A v", "values averaged by attention", "z"),
    Name("attn_out", "B T C", "a", "what attention adds to the stream", "attn_out"),
    Name("resid_mid", "B T C", "r", "stream between attention and feed-forward", "resid_mid"),
    Name("ffn_pre", "B T F", "r W_1+b_1", "hidden units before ReLU", "pre"),
    Name("ffn_hidden", "B T F", "h", "hidden units after ReLU", "post"),
    Name("ffn_out", "B T C", "f", "what the feed-forward layer adds to the stream", "mlp_out"),
    Name("resid_post", "B T C", "z", "stream that the LM head reads", "resid_post"),
    Name("logits", "B T V", "u", "score of each next token", "logits"),
    Name("probs", "B T V", "p", "probability of each next token; rows sum to 1", ""),
    Name("loss", "", "L", "mean of -log p[target]", "loss"),
)

PARAMETER_NAMES = tuple(entry.name for entry in PARAMETERS)
ACTIVATION_NAMES = tuple(entry.name for entry in ACTIVATIONS)
TABLE = {entry.name: entry for entry in PARAMETERS + INPUTS + ACTIVATIONS}


def table_rows(container):
    """(name, dims, live shape, least, greatest, meaning) of each array of a `Params` or `Cache`, as texts."""
    for name, value in zip(container._fields, container, strict=True):
        array = np.asarray(value)
        shape = "scalar" if array.ndim == 0 else "x".join(map(str, array.shape))
        low, high = (f"{array.min():.4g}", f"{array.max():.4g}") if array.size else ("", "")
        yield name, TABLE[name].dims, shape, low, high, TABLE[name].meaning


class Named:
    """What `Params` and `Cache` share: shown as a table, in a terminal, a debugger and a notebook."""

    __slots__ = ()

    def __repr__(self):
        lines = [f"{'name':<13}{'dims':<9}{'shape':<16}{'min':>10}{'max':>10}  meaning"]
        for name, dims, shape, low, high, meaning in table_rows(self):
            lines.append(f"{name:<13}{dims:<9}{shape:<16}{low:>10}{high:>10}  {meaning}")
        return "\n".join(lines)

    __str__ = __repr__

    def _repr_html_(self):
        rows = [("name", "dims", "shape", "min", "max", "meaning"), *table_rows(self)]
        cells = ("".join(f"<td>{html.escape(text)}</td>" for text in row) for row in rows)
        return "<table>" + "".join(f"<tr>{row}</tr>" for row in cells) + "</table>"


class Params(Named, namedtuple("Params", PARAMETER_NAMES)):
    """The learned arrays by name, or their gradients."""

    __slots__ = ()


class Cache(Named, namedtuple("Cache", [entry.name for entry in INPUTS] + list(ACTIVATION_NAMES))):
    """Every intermediate of one forward pass by name, or its gradient.

    The inputs come first; a cache of gradients carries the same inputs.
    """

    __slots__ = ()
