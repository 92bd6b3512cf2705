"""The circuits of attention, from the parameters alone: who reads whom (QK) and what reading says (OV)."""

from scratchformer.analysis.circuits import count_copied, ov_circuit, qk_circuit, qk_spreads, strongest_pair
from scratchformer.figures.style import figure_title, heatmap, panel
from scratchformer.figures.words import code, head_shown, number, position_names

HEADING = "Circuits"
QUESTION = "What do the parameters say without any sequence?"
LOOK = "the upper left quarter of QK: who scores whom by token alone"
SIZE = (11, 6.6)


def draw(fig, model):
    """QK: queries down, keys across, tokens before positions. OV: what is read down, next token across."""
    params, names = model.params, rows(model)
    V = len(model.vocabulary)
    figure_title(fig, model, f"The circuits of attention{head_shown(model)}: {finding(params)}")
    ax = panel(fig, 0.75, 0.75, 4.6, 4.6)
    heatmap(ax, qk_circuit(params), names, names, "score of query with key, in parts")
    for line in (ax.axhline, ax.axvline):
        line(V - 0.5, color="black", linewidth=1)
    ax.set(title="QK: score = sum of four parts", xlabel="key: token, then position", ylabel="query")
    if model.use_residual:
        ax = panel(fig, 7.0, 0.75, 3.1, 4.6)
        heatmap(ax, ov_circuit(params), names, model.vocabulary, "logit less the mean of all logits")
        ax.axhline(V - 0.5, color="black", linewidth=1)
        ax.set(title="OV: straight to the logits", xlabel="next token", ylabel="read: token, then position")


def rows(model):
    """The rows of both circuits: tokens, then positions."""
    return [*model.vocabulary, *position_names(model.config.model.block_size)]


def finding(params):
    """The part of the scores that varies most over the keys, in words."""
    spread = qk_spreads(params)
    widest = max(spread, key=spread.get)
    return f"scores differ most by {widest.replace('–', ' and ')} (spread {number(spread[widest], '.3g')})"


def caption(model):
    """What the figure shows, and what this run's first head looks for and says."""
    query, key = (model.vocabulary[i] for i in strongest_pair(model.params))
    size = qk_spreads(model.params)
    widest = max(size, key=size.get)
    told = (
        "The right panel is the OV circuit: what reading a token or position adds to each logit straight "
        f"through the LM head. It ignores the feed-forward layer, which changes much of it. "
        f"{count_copied(model.params)} of {len(model.vocabulary)} tokens raise their own logit most."
        if model.use_residual else
        "An OV table straight to the logits is left out, as without residual connections all goes through "
        "the feed-forward layer."
    )
    return (
        f"Both circuits{head_shown(model, ' of ')} are products of parameters, no sequence is run. An "
        "embedding is a token's plus a position's, so the score of a query with a key is a sum of four "
        "parts, the quarters of the left panel: add the entries of the query's token and position rows in "
        f"the key's token and position columns. The part that varies most over the keys is {widest} "
        f"({size[widest]:.3g}); the largest token–token score is that of query {code(query)} with key "
        f"{code(key)}. Softmax only sees differences within a row. {told}"
    )
