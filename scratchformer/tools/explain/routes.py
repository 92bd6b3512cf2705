"""The routes by which the loss's gradient arrives at an entry, each as an expression.

The loss is that of one target, after the last position. What several later entries read collects a
term from each of them: the sum of the routes is the gradient that `model.backward` computes.
"""

from scratchformer.tools.explain.entry import Operand, not_tiny, over_root, total


def routes(x, name, index):
    """(route, expression) for each route to an entry: a list. x: Entries with gradients."""
    found = [(by, expression(x, *index)) for by, expression in ROUTES[name].items()]
    return [(by, pieces) for by, pieces in found if x.use_residual or not by.startswith("around")]


def handed(name):
    """The gradient of an entry that another one takes over as it is."""
    return lambda x, *index: [x(f"d{name}", *index)]


def is_target(x, t, j):
    return t == x.T - 1 and j == x.targets[-1]


def logits(x, t, j):
    if t < x.T - 1:
        return ["0"]
    return [x("probs", t, j), *(["-", "1"] if is_target(x, t, j) else [])]


def mixed(x, h, t, d):
    if not x.arrays["W_o"].size:
        return [x("dattn_out", t, d)]
    return total(*((x("dattn_out", t, c), x("W_o", h, d, c)) for c in range(x.C)))


def scores(x, h, t, s):
    row = total(*((x("dattention", h, t, i), x("attention", h, t, i)) for i in range(x.T)))
    return [x("attention", h, t, s), "*", "(", x("dattention", h, t, s), "-", "(", *row, ")", ")"]


def through_projection(name):
    """What embed gets back by way of q, k or v."""
    return lambda x, t, c: total(*(
        (x(f"d{name}", h, t, d), x(f"W_{name}", c, h, d)) for h in range(x.H) for d in range(x.D)
    ))


def projection_weights(name):
    """What W_q, W_k or W_v collects from every position."""
    return lambda x, c, h, d: total(*((x("embed", t, c), x(f"d{name}", h, t, d)) for t in range(x.T)))


def weights(read, written):
    """What W_in, W_out or W_unembed collects from every position."""
    return lambda x, i, j: total(*((x(read, t, i), x(f"d{written}", t, j)) for t in range(x.T)))


def bias(written):
    """What a bias collects from every position."""
    return lambda x, i: total(*((x(f"d{written}", t, i),) for t in range(x.T)))


def relu(x, t, f):
    slope = float(x("ffn_pre", t, f).value > 0)
    return [x("dffn_hidden", t, f), "*", Operand("", f"slope of ReLU at {x.label('ffn_pre', (t, f))}", slope)]


ROUTES = {
    "W_token": {"through token_embed": lambda x, i, c: total(
        *((x("dtoken_embed", t, c),) for t in range(x.T) if x.tokens[t] == i)
    )},
    "W_pos": {"through pos_embed": lambda x, t, c: [x("dpos_embed", t, c)] if t < x.T else ["0"]},
    "W_q": {"through q": projection_weights("q")},
    "W_k": {"through k": projection_weights("k")},
    "W_v": {"through v": projection_weights("v")},
    "W_o": {"through attn_out": lambda x, h, d, c: total(
        *((x("mixed", h, t, d), x("dattn_out", t, c)) for t in range(x.T))
    )},
    "W_in": {"through ffn_pre": weights("resid_mid", "ffn_pre")},
    "b_in": {"through ffn_pre": bias("ffn_pre")},
    "W_out": {"through ffn_out": weights("ffn_hidden", "ffn_out")},
    "b_out": {"through ffn_out": bias("ffn_out")},
    "W_unembed": {"through logits": weights("resid_post", "logits")},
    "b_unembed": {"through logits": bias("logits")},
    "token_embed": {"through embed": handed("embed")},
    "pos_embed": {"through embed": handed("embed")},
    "embed": {
        "around attention": handed("resid_mid"),
        "through q": through_projection("q"),
        "through k": through_projection("k"),
        "through v": through_projection("v"),
    },
    "q": {"through scores": lambda x, h, t, d: over_root(
        x, total(*((x("dscores", h, t, s), x("k", h, s, d)) for s in range(x.T)))
    )},
    "k": {"through scores": lambda x, h, s, d: over_root(
        x, total(*((x("dscores", h, t, s), x("q", h, t, d)) for t in range(x.T)))
    )},
    "v": {"through mixed": lambda x, h, s, d: total(
        *((x("attention", h, t, s), x("dmixed", h, t, d)) for t in range(x.T))
    )},
    "scores": {"through attention": scores},
    "attention": {"through mixed": lambda x, h, t, s: total(
        *((x("dmixed", h, t, d), x("v", h, s, d)) for d in range(x.D))
    )},
    "mixed": {"through attn_out": mixed},
    "attn_out": {"through resid_mid": handed("resid_mid")},
    "resid_mid": {
        "around feed-forward": handed("resid_post"),
        "through feed-forward": lambda x, t, c: total(
            *((x("dffn_pre", t, f), x("W_in", c, f)) for f in range(x.F))
        ),
    },
    "ffn_pre": {"through ffn_hidden": relu},
    "ffn_hidden": {"through ffn_out": lambda x, t, f: total(
        *((x("dffn_out", t, c), x("W_out", f, c)) for c in range(x.C))
    )},
    "ffn_out": {"through resid_post": handed("resid_post")},
    "resid_post": {"through logits": lambda x, t, c: total(
        *((x("dlogits", t, j), x("W_unembed", c, j)) for j in range(x.V))
    )},
    "logits": {"through probs and loss together": logits},
    "probs": {"through loss": lambda x, t, j: (
        ["-1", "/", *not_tiny(x("probs", t, j))] if is_target(x, t, j) else ["0"]
    )},
    "loss": {"itself": lambda x: ["1"]},
}
