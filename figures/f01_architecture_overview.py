"""The computation graph with the shape of every array, read from a live forward pass."""

import numpy as np
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from scratchformer.engine.names import PARAMETER_NAMES, TABLE
from scratchformer.figures.sequences import written
from scratchformer.figures.style import GREY, INK, K, Q, V, figure_title, panel
from scratchformer.figures.words import counted, listed

HEADING = "The whole model"
QUESTION = "What is computed from what, and in which shape?"
LOOK = "the thick stream on the left: each layer reads it and adds to it"
SIZE = (10, 10.5)                               # all places below are in inches
STREAM, TRUNK = "#7b4fa3", 1.5                  # colour and x of the residual stream
DIMS = {
    "B": "sequences at once", "T": "time: positions in the window", "C": "embedding", "H": "attention heads",
    "D": "head size", "F": "hidden units", "V": "vocabulary",
}
BLOCKS = {                                      # left, bottom, width, height
    "self-attention": (3.02, 4.05, 6.88, 3.6), "feed-forward": (3.02, 1.68, 6.88, 2.24),
    "LM head": (3.02, 0.08, 6.88, 1.5),
}
PLACES = {                                      # centre and width of every box
    "tokens": (TRUNK, 9.5, 2.3), "token_embed": (TRUNK, 8.7, 2.3), "W_token": (4.05, 8.7, 1.76),
    "pos_embed": (4.05, 7.98, 1.76), "W_pos": (6.3, 7.98, 1.76), "embed": (TRUNK, 7.0, 2.3),
    "W_q": (4.05, 7.0, 1.76), "W_k": (4.05, 6.25, 1.76), "W_v": (4.05, 5.5, 1.76),
    "q": (6.3, 7.0, 2.1), "k": (6.3, 6.25, 2.1), "v": (6.3, 5.5, 2.1),
    "scores": (8.75, 7.0, 2.1), "attention": (8.75, 6.25, 2.1), "mixed": (8.75, 5.5, 2.1),
    "W_o": (6.3, 4.5, 1.76), "attn_out": (4.05, 4.5, 1.76),
    "resid_mid": (TRUNK, 3.4, 2.3), "W_in": (4.05, 3.4, 1.76), "b_in": (4.05, 2.92, 1.76),
    "ffn_pre": (6.3, 3.4, 2.1), "ffn_hidden": (8.75, 3.4, 2.1), "W_out": (6.3, 2.49, 1.76),
    "b_out": (6.3, 2.01, 1.76), "ffn_out": (4.05, 2.25, 1.76),
    "resid_post": (TRUNK, 1.02, 2.3), "W_unembed": (4.05, 1.02, 1.76), "b_unembed": (4.05, 0.54, 1.76),
    "logits": (6.3, 1.02, 2.1), "probs": (8.75, 1.02, 2.1), "targets": (6.3, 0.36, 2.1),
    "loss": (8.75, 0.36, 2.1),
}
OPERATION = {"boxstyle": "round,pad=0.22", "facecolor": "#dfe4e9", "edgecolor": "none"}
TALL = 0.46                                     # height of a box
COLORS = {"q": Q, "k": K, "v": V, "W_q": Q, "W_k": K, "W_v": V}
ROUTES = (                                      # straight arrows from box to box
    "tokens token_embed", "W_token token_embed", "W_pos pos_embed", "W_q q", "W_k k", "W_v v", "q scores",
    "scores attention", "attention mixed", "v mixed", "resid_mid W_in", "W_in ffn_pre", "ffn_pre ffn_hidden",
    "resid_post W_unembed", "W_unembed logits", "logits probs", "probs loss", "targets loss", "embed W_q",
)


def draw(fig, model):
    """Boxes for arrays, arrows for what is computed from what; shapes are those of the live arrays."""
    windows = model.data.train_windows[:1]
    params = model.params
    cache = model.forward(windows[:, :-1], windows[:, 1:])
    arrays = params._asdict() | cache._asdict()
    learned = counted(size(params), "parameter")
    figure_title(fig, model, f"The whole model: {learned}, and every shape on the way")
    ax = panel(fig, 0, 0, *SIZE)
    ax.set(xlim=(0, SIZE[0]), ylim=(0, SIZE[1]))
    ax.set_axis_off()
    for name, (left, bottom, width, height) in BLOCKS.items():
        ax.add_patch(box(left, bottom, width, height, "#f3f5f7", "#d5dade", 0.12))
        ax.text(left + 0.13, bottom + height - 0.06, name, va="top", color="#5a6672", fontweight="bold")
    has_output = params.W_o.size > 0
    for name, place in PLACES.items():
        if name != "W_o" or has_output:
            draw_box(ax, name, *place, arrays[name])
    sequence = written([model.vocabulary[token] for token in cache.tokens[0]])
    ax.text(TRUNK - 1.15, 9.77, f"here: {sequence}", fontsize=8.5, va="bottom", color="#5a6672")
    for route in ROUTES:
        arrow(ax, between(*route.split()))
    draw_turns(ax, has_output)
    draw_stream(ax, cache.use_residual)
    for y, text in ((6.625, "mask, softmax"), (5.875, "weighted mean")):
        ax.text(8.64, y, text, fontsize=8, ha="right", va="center", color="#5a6672", bbox=OPERATION)
    for x, y, text in ((7.525, 3.72, "ReLU"), (7.525, 1.34, "softmax")):
        ax.text(x, y, text, fontsize=8, ha="center", va="center", color="#5a6672", bbox=OPERATION)
    last = {"C": cache.embed.shape[2], "F": cache.ffn_pre.shape[2], "V": cache.logits.shape[2]}
    sizes = dict(zip("BHTD", cache.q.shape, strict=True)) | last
    draw_dims(ax, sizes, model.config.training.batch_size)


def size(arrays):
    """How many numbers there are in arrays."""
    return sum(array.size for array in arrays)


def box(left, bottom, width, height, fill, edge, rounding):
    """A box with round corners."""
    return FancyBboxPatch(
        (left, bottom), width, height, facecolor=fill, edgecolor=edge, linewidth=1,
        boxstyle=f"round,pad=0,rounding_size={rounding}", zorder=0 if rounding > 0.1 else 3,
    )


def draw_box(ax, name, x, y, width, array):
    """One array: its name, its symbol, its dims and their live values."""
    entry = TABLE[name]
    learned = name in PARAMETER_NAMES
    color = COLORS.get(name, INK)
    edge = COLORS.get(name, "#c09a2b" if learned else "#77818c")
    ax.add_patch(box(x - width / 2, y - TALL / 2, width, TALL, "#fdf1cf" if learned else "white", edge,
                     0.04 if learned else 0.1))
    left, right = x - width / 2 + 0.1, x + width / 2 - 0.1
    ax.text(left, y + 0.1, name, va="center", color=color, fontweight="bold", fontsize=8.5, zorder=4)
    if entry.symbol != name:
        ax.text(right, y + 0.1, entry.symbol, ha="right", va="center", color="#666666", fontsize=8, zorder=4)
    ax.text(left, y - 0.11, shape_text(entry.dims, array), va="center", fontsize=8, zorder=4)


def shape_text(dims, array):
    """Dims and their values, such as (B, T, C) = (1, 8, 2), or the one number that there is."""
    shape = np.shape(array)
    if not shape:
        return f"of this window: {array:.3f}"
    return f"({', '.join(dims.split())}) = ({', '.join(map(str, shape))})"


def between(start, end):
    """The two ends of a straight arrow from box to box, down or across."""
    (x, y, width), (to_x, to_y, to_width) = PLACES[start], PLACES[end]
    if x == to_x:
        down = np.sign(to_y - y)
        return (x, y + down * TALL / 2), (to_x, to_y - down * TALL / 2)
    right = np.sign(to_x - x)
    return (x + right * width / 2, y), (to_x - right * to_width / 2, to_y)


def arrow(ax, points, color="#56616c", width=1.1):
    """An arrow along points."""
    ax.add_patch(FancyArrowPatch(
        path=Path(points), arrowstyle="-|>", mutation_scale=8, color=color, linewidth=width,
        capstyle="butt", joinstyle="miter", zorder=2,
    ))


def draw_turns(ax, has_output):
    """The arrows that turn corners, and those into and out of pairs of a weight and its bias."""
    for y in (PLACES["W_k"][1], PLACES["W_v"][1]):
        arrow(ax, ((2.85, 7.0), (2.85, y), (3.17, y)))
    arrow(ax, ((7.35, 6.25), (7.53, 6.25), (7.53, 6.88), (7.7, 6.88)))
    y = PLACES["attn_out"][1]
    arrow(ax, ((8.75, 5.27), (8.75, y), (7.18 if has_output else 4.93, y)))
    if has_output:
        arrow(ax, between("W_o", "attn_out"))
    else:
        ax.text(6.7, y + 0.12, "no W_o: one head, D = C", fontsize=8, ha="center", color="#5a6672")
    arrow(ax, ((8.75, 3.17), (8.75, 2.25), (7.18, 2.25)))
    arrow(ax, ((5.42, 2.25), (4.93, 2.25)))


def draw_stream(ax, use_residual):
    """The residual stream down the left side: sums, and the routes around the two layers."""
    ways = (("token_embed", "pos_embed", "embed"), ("embed", "attn_out", "resid_mid"),
            ("resid_mid", "ffn_out", "resid_post"))
    for start, branch, end in ways:
        y = PLACES[branch][1]
        is_sum = use_residual or start == "token_embed"
        below, above = PLACES[end][1] + TALL / 2, PLACES[start][1] - TALL / 2
        if not is_sum:
            arrow(ax, ((3.17, y), (TRUNK, y), (TRUNK, below)))
        else:
            arrow(ax, ((3.17, y), (TRUNK + 0.16, y)))
            arrow(ax, ((TRUNK, above), (TRUNK, y + 0.16)), STREAM, 2.4)
            arrow(ax, ((TRUNK, y - 0.16), (TRUNK, below)), STREAM, 2.4)
            ax.add_patch(Circle((TRUNK, y), 0.15, fc="white", ec=STREAM, linewidth=1.6, zorder=3))
            ax.plot(TRUNK, y, marker="+", markersize=8, color=STREAM, markeredgewidth=1.4, zorder=4)
        if start != "token_embed":
            text = "residual\nconnection" if use_residual else "residual\nconnection\noff"
            ax.text(TRUNK - 0.2, (above + y) / 2 + 0.1, text, ha="right", va="center", fontsize=8,
                    color=STREAM if use_residual else GREY)


def draw_dims(ax, sizes, batch_size):
    """What the dims stand for, and their values; which boxes are learned."""
    for row, (dim, meaning) in enumerate(DIMS.items()):
        y = 9.62 - 0.19 * row
        ax.text(6.7, y, f"{dim} = {sizes[dim]}", fontweight="bold", va="center")
        ax.text(7.5, y, meaning, va="center")
    ax.text(9.0, 9.62, f"(in training {batch_size})", va="center", color="#5a6672")
    for x, fill, edge, rounding, text in (
        (3.35, "#fdf1cf", "#c09a2b", 0.04, "learned"), (4.6, "white", "#77818c", 0.1, "computed or given"),
    ):
        ax.add_patch(box(x, 9.42, 0.3, 0.18, fill, edge, min(rounding, 0.08)))
        ax.text(x + 0.38, 9.51, text, va="center")
    for y, text in ((9.27, "grey, at the right of a box: its symbol in formulas"),
                    (9.08, "mask: hides from a query the keys after it")):
        ax.text(3.35, y, text, va="center", color="#5a6672")


def caption(model):
    """What the figure shows, and this model's size."""
    params, C = model.params, model.config.model.n_embd
    parts = {
        "embeddings": params[:2], "attention": params[2:6], "the feed-forward layer": params[6:10],
        "the LM head": params[10:],
    }
    stream = (
        "each adding to what it finds there" if model.use_residual
        else "each replacing what it finds there, as this model has no residual connections"
    )
    plane = (
        "Since `C` is 2, the stream is a point on a plane, and the figures can draw it as it is." if C == 2
        else f"Since `C` is {C}, the figures draw the stream on its two leading principal axes." if C > 2
        else "Since `C` is 1, the stream is a point on a line."
    )
    return (
        "Every box is an array of the model, with its shape for one training window; yellow boxes are "
        "learned, white ones given or computed. Read it from the tokens down the left side: attention, with "
        f"its queries, keys and values, and the feed-forward layer read this stream, {stream}, and the LM "
        f"head turns it into a probability for each of {len(model.vocabulary)} next tokens. Of "
        f"{size(params):,} learned numbers, "
        + listed([f"{size(arrays):,} are in {name}" for name, arrays in parts.items()])
        + f". {plane} The first question is whether such a model learned its rule at all."
    )
