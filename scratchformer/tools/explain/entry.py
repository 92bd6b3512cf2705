"""One entry of a forward or backward pass as an expression of other entries.

An expression is a list of pieces: operands (named entries with their values), and the text between
them. It is written out with names or with numbers, and evaluated from the same pieces.
"""

from math import exp, log, sqrt
from typing import NamedTuple

import numpy as np

from scratchformer.engine.lm_head import TINY
from scratchformer.engine.names import TABLE

FORMULAS = {
    "token_embed": "token_embed[t,c] = W_token[tokens[t],c]",
    "pos_embed": "pos_embed[t,c] = W_pos[t,c]",
    "embed": "embed[t,c] = token_embed[t,c] + pos_embed[t,c]",
    "q": "q[h,t,d] = Σ_c embed[t,c] W_q[c,h,d]",
    "k": "k[h,s,d] = Σ_c embed[s,c] W_k[c,h,d]",
    "v": "v[h,s,d] = Σ_c embed[s,c] W_v[c,h,d]",
    "scores": "scores[h,t,s] = (Σ_d q[h,t,d] k[h,s,d]) / sqrt(D)",
    "attention": (
        "attention[h,t,s] = exp(scores[h,t,s] - m) / Σ_s' exp(scores[h,t,s'] - m) over s' <= t, "
        "with m the largest of them; 0 for s > t"
    ),
    "mixed": "mixed[h,t,d] = Σ_s attention[h,t,s] v[h,s,d]",
    "attn_out": "attn_out[t,c] = Σ_h,d mixed[h,t,d] W_o[h,d,c]",
    "resid_mid": "resid_mid[t,c] = embed[t,c] + attn_out[t,c]",
    "ffn_pre": "ffn_pre[t,f] = Σ_c resid_mid[t,c] W_in[c,f] + b_in[f]",
    "ffn_hidden": "ffn_hidden[t,f] = max(ffn_pre[t,f], 0)",
    "ffn_out": "ffn_out[t,c] = Σ_f ffn_hidden[t,f] W_out[f,c] + b_out[c]",
    "resid_post": "resid_post[t,c] = resid_mid[t,c] + ffn_out[t,c]",
    "logits": "logits[t,j] = Σ_c resid_post[t,c] W_unembed[c,j] + b_unembed[j]",
    "probs": "probs[t,j] = exp(logits[t,j] - m) / Σ_j' exp(logits[t,j'] - m), with m the largest of them",
    "loss": "loss = -log(probs[t,target]) at the last t",
}
WITHOUT_RESIDUAL = {
    "resid_mid": "resid_mid[t,c] = attn_out[t,c]",
    "resid_post": "resid_post[t,c] = ffn_out[t,c]",
}


class Operand(NamedTuple):
    """A number in an expression, and what it is called."""

    name: str                           # of the array, such as q or dq
    label: str                          # of the entry, such as q[3,0]
    value: float


class Entries:
    """The entries of one sequence's forward pass, and of its gradients as `d` + name, as operands.

    Indices have no batch axis. `entries("q", 0, 3, 1)` is head 0, position 3, dim 1; with one head its
    label is q[3,1].
    """

    def __init__(self, params, cache, dparams=None, dcache=None):
        self.tokens, self.targets, self.use_residual = cache.tokens[0], cache.targets[0], cache.use_residual
        self.arrays = {}
        for prefix, container in (("", params), ("", cache), ("d", dparams), ("d", dcache)):
            for name, array in () if container is None else container._asdict().items():
                first = array[0] if TABLE[name].dims.startswith("B") else array
                self.arrays[prefix + name] = first
        self.C, self.H, self.D = params.W_q.shape
        self.T, self.F, self.V = len(self.tokens), len(params.b_in), len(params.b_unembed)

    def __call__(self, name, *index):
        return Operand(name, self.label(name, index), self.arrays[name][tuple(index)].item())

    def dims(self, name):
        """Dims of a name without the batch axis, such as H T D."""
        return [dim for dim in TABLE[name if name in TABLE else name[1:]].dims.split() if dim != "B"]

    def label(self, name, index):
        """How an entry is written: with one head the head's index is left out."""
        shown = [str(i) for dim, i in zip(self.dims(name), index, strict=True) if dim != "H" or self.H > 1]
        return f"{name}[{','.join(shown)}]" if shown else name


def formula(x, name):
    """The formula of an activation in the model of these Entries."""
    text = FORMULAS[name]
    if not x.use_residual:
        text = WITHOUT_RESIDUAL.get(name, text)
    if name == "attn_out" and not x.arrays["W_o"].size:
        text = "attn_out[t,c] = mixed[t,c]"
    return text.replace("h,", "") if x.H == 1 else text


def total(*terms):
    """The sum of products: pieces. terms: tuples of operands; a term with a factor 0 is left out."""
    pieces = []
    for term in terms:
        if all(factor.value for factor in term):
            pieces.append("+")
            for factor in term:
                pieces += [factor, "*"]
            pieces.pop()
    return pieces[1:] or ["0"]


def softmax(row, i):
    """exp(row[i] - m) / Σ exp(row - m): pieces. row: operands"""
    largest = max(row, key=lambda operand: operand.value)
    powers = []
    for operand in row:
        powers += ["+", "exp(", operand, "-", largest, ")"]
    return ["exp(", row[i], "-", largest, ")", "/", "(", *powers[1:], ")"]


def over_root(x, pieces):
    """The pieces divided by √D."""
    return ["(", *pieces, ")", "/", Operand("", f"sqrt({x.D})", sqrt(x.D))]


def not_tiny(p):
    """A probability as log is taken of it: at least TINY."""
    return [p] if p.value >= TINY else ["max(", p, ",", Operand("", "TINY", TINY), ")"]


def evaluate(pieces):
    """The value of an expression, from full precision.

    `a + b + ...` is read as `sum([a, b, ...])`: Python cannot parse some thousand + in a row.
    """
    text, closing = "sum([", ["])"]
    for piece in pieces:
        if isinstance(piece, Operand):
            text += repr(piece.value)
        elif piece == ")":
            text += closing.pop()
        elif piece.endswith("("):
            text += "sum([" if piece == "(" else piece
            closing.append("])" if piece == "(" else ")")
        else:
            text += "," if piece == "+" else piece
    return float(eval(text + closing.pop(), {"exp": exp, "log": log, "max": max, "sum": sum}))


def forward_entry(x, name, index):
    """The expression that computes an activation's entry; a parameter is its own."""
    return FORWARD[name](x, *index) if name in FORWARD else [x(name, *index)]


def projection(name):
    """The expression of q, k or v."""
    return lambda x, h, t, d: total(*((x("embed", t, c), x(f"W_{name}", c, h, d)) for c in range(x.C)))


def residual(stream, branch):
    """The expression of resid_mid or resid_post."""
    return lambda x, t, c: total(
        *([(x(stream, t, c),)] if x.use_residual else []), (x(branch, t, c),)
    )


def attn_out(x, t, c):
    if not x.arrays["W_o"].size:
        return [x("mixed", 0, t, c)]
    heads = np.ndindex(x.H, x.D)
    return total(*((x("mixed", h, t, d), x("W_o", h, d, c)) for h, d in heads))


def attention(x, h, t, s):
    return softmax([x("scores", h, t, i) for i in range(t + 1)], s) if s <= t else ["0"]


FORWARD = {
    "token_embed": lambda x, t, c: [x("W_token", x.tokens[t], c)],
    "pos_embed": lambda x, t, c: [x("W_pos", t, c)],
    "embed": lambda x, t, c: total((x("token_embed", t, c),), (x("pos_embed", t, c),)),
    "q": projection("q"),
    "k": projection("k"),
    "v": projection("v"),
    "scores": lambda x, h, t, s: over_root(
        x, total(*((x("q", h, t, d), x("k", h, s, d)) for d in range(x.D)))
    ),
    "attention": attention,
    "mixed": lambda x, h, t, d: total(*((x("attention", h, t, s), x("v", h, s, d)) for s in range(x.T))),
    "attn_out": attn_out,
    "resid_mid": residual("embed", "attn_out"),
    "ffn_pre": lambda x, t, f: total(
        *((x("resid_mid", t, c), x("W_in", c, f)) for c in range(x.C)), (x("b_in", f),)
    ),
    "ffn_hidden": lambda x, t, f: ["max(", x("ffn_pre", t, f), ",", "0", ")"],
    "ffn_out": lambda x, t, c: total(
        *((x("ffn_hidden", t, f), x("W_out", f, c)) for f in range(x.F)), (x("b_out", c),)
    ),
    "resid_post": residual("resid_mid", "ffn_out"),
    "logits": lambda x, t, j: total(
        *((x("resid_post", t, c), x("W_unembed", c, j)) for c in range(x.C)), (x("b_unembed", j),)
    ),
    "probs": lambda x, t, j: softmax([x("logits", t, i) for i in range(x.V)], j),
    "loss": lambda x: ["-log(", *not_tiny(x("probs", x.T - 1, x.targets[-1])), ")"],
}
