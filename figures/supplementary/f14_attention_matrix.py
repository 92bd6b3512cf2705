"""Three sequences from attention to the next token: every activation on the way as one matrix a row."""

import numpy as np
from matplotlib.colors import FuncNorm, Normalize

from scratchformer.analysis.answers import answer_share
from scratchformer.analysis.followed import follow_all
from scratchformer.figures.labels import add_labels, outline
from scratchformer.figures.marks import legend, marker
from scratchformer.figures.sequences import (
    TALL, largest, mark_rows, mark_tokens, rows_of, square_map, vector_map,
)
from scratchformer.figures.style import (
    ANSWER, INK, LINES, MARKS, PROBABILITY, SIGNED, clear_frame, color_bar, figure_title, inches, panel,
    ticks,
)
from scratchformer.figures.words import head_shown, span

HEADING = "From attention to the next token"
QUESTION = "Through which numbers does a position come to its prediction?"
LOOK = "the framed rows, from left to right: dot and pink frame should meet"
SIZE = (12.3, 11.15)
ROWS = (7.72, 4.58, 1.44)               # lower edges of the rows of panels
PANELS = {                              # left edge and width in inches
    "attention": (0.75, 1.5), "ffn_pre": (2.68, 1.6), "ffn_hidden": (4.38, 1.6), "ffn_out": (6.15, 0.85),
    "resid_post": (7.1, 0.85), "logits": (8.32, 1.7), "probs": (10.27, 1.7),
}
NAMED = 14                              # tokens named under logits and probs, at most
BARS = (                                # from and to which panel a colour bar reaches, and its label
    ("attention", "attention", "share read"), ("ffn_pre", "ffn_hidden", "value of a hidden unit"),
    ("ffn_out", "resid_post", "value"), ("logits", "logits", "logit, square-root scale"),
    ("probs", "probs", "probability"),
)


def draw(fig, model):
    """One row a sequence: attention, the feed-forward layer, what the LM head reads, logits, probs."""
    demos = follow_all(model)
    figure_title(fig, model, f"From attention to probabilities{head_shown(model)}: {result(demos)}")
    limits = {
        first: largest([getattr(demo.cache, name)[0] for demo in demos for name in names])
        for first, *names in (
            ("ffn_pre", "ffn_pre", "ffn_hidden"), ("ffn_out", "ffn_out", "resid_post"), ("logits", "logits"),
        )
    }
    limits |= {"ffn_hidden": limits["ffn_pre"], "resid_post": limits["ffn_out"], "probs": 1}
    for _, bottom, demo in rows_of(fig, model, demos, ROWS):
        images = draw_row(fig, bottom, model, demo, limits)
    for first, last, label in BARS:
        left, width = PANELS[first][0], sum(PANELS[last]) - PANELS[first][0]
        color_bar(
            images[first], label, (left, 0.92, width, 0.1), max(2, int(1.6 * width)), orientation="horizontal"
        )
    explain_marks(fig)


def draw_row(fig, bottom, model, demo, limits):
    """The matrices of one sequence: {name: image}."""
    cache, images = demo.cache, {}
    axes = {name: panel(fig, left, bottom, width, TALL) for name, (left, width) in PANELS.items()}
    images["attention"] = square_map(
        axes["attention"], cache.attention[0, 0], demo.labels, "attention", PROBABILITY, 0, 1
    )
    ticks(axes["attention"].xaxis, demo.words, inches(axes["attention"])[0])
    mark_rows(axes["attention"], demo, cache.attention[0, 0])
    for name in ("ffn_out", "resid_post"):
        images[name] = vector_map(axes[name], getattr(cache, name)[0], [], limits[name], name)
    for name in ("ffn_pre", "ffn_hidden", "logits", "probs"):
        colors, low = (PROBABILITY, 0) if name == "probs" else (SIGNED, -limits[name])
        scale = FuncNorm((root, square)) if name == "logits" else Normalize()
        scale.vmin, scale.vmax = low, limits[name]
        images[name] = axes[name].imshow(
            getattr(cache, name)[0], cmap=colors, norm=scale, aspect="auto", interpolation="nearest",
        )
        axes[name].set_title(name)
        clear_frame(axes[name])
        axes[name].set_yticks([])
    for name in ("ffn_pre", "ffn_hidden"):
        axes[name].set_xticks([0, cache.ffn_pre.shape[-1] - 1])
        for tick, side in zip(axes[name].get_xticklabels(), ("left", "right"), strict=True):
            tick.set_horizontalalignment(side)
        axes[name].set_xlabel("hidden unit", labelpad=-6)
    for name in ("logits", "probs"):
        each = -(-len(model.vocabulary) // NAMED)
        axes[name].set_xticks(range(0, len(model.vocabulary), each), model.vocabulary[::each])
        axes[name].set_xlabel("next token", labelpad=2)
        mark_tokens(axes[name], demo)
    for name in list(PANELS)[1:]:
        mark_rows(axes[name], demo)
    ticks(axes["logits"].yaxis, demo.labels, TALL)
    judge_rows(axes["probs"], demo)
    return images


def root(values):
    """The square root, with the values' sign: small logits keep a colour beside large ones."""
    return np.sign(values) * np.sqrt(np.abs(values))


def square(values):
    """The inverse of `root`."""
    return np.sign(values) * values**2


def judge_rows(ax, demo):
    """✓ or ✗ to the right of each row where the rule says what comes next."""
    for state, color in LINES.items():
        (rows,) = np.nonzero(demo.state == state)
        if state >= 0 and len(rows):
            right = ax.get_xlim()[1]
            per_inch = (right - ax.get_xlim()[0]) / inches(ax)[0]
            points = np.column_stack([np.full(len(rows), right + 0.12 * per_inch), rows])
            add_labels(ax, points, [MARKS[state]] * len(rows), color, 10, bold=True).set_clip_on(False)


def result(demos):
    """The probability of what the rule allows in these sequences, in words."""
    shares = [demo.cache.probs[0, t][demo.allowed[t]].sum() for demo in demos for t in demo.where]
    if not shares:
        return "the rule asks for nothing"
    return f"where the rule asks, the answer gets {span(shares)}"


def in_numbers(model):
    """The numbers of `answer_share` in a sentence."""
    share, count, loss = answer_share(model)
    if not count:
        return f"The rule constrains no position there; the loss at all positions is {loss:.3f}."
    return (
        f"At their {count:,} constrained positions, tokens that the rule allows get {share:.1%} of "
        f"probability on average; the loss at all positions is {loss:.3f}."
    )


def explain_marks(fig):
    """What the marks mean, at the bottom."""
    legend(fig, [
        marker("o", "white", "likeliest next token", markeredgecolor=INK, markersize=5.5),
        marker("s", "none", "what the rule allows next", markeredgecolor=ANSWER, markeredgewidth=2,
               markersize=8),
        *(
            marker(outline(MARKS[state], bold=True)[0], LINES[state], text, markersize=7)
            for state, text in ((1, "prediction follows the rule"), (0, "breaks it"))
        ),
    ])


def caption(model):
    """What is to be seen, with this run's numbers."""
    hidden = model.held_out.ffn_hidden
    active = (hidden > 0).sum(axis=-1).mean()
    return (
        "Each row follows one sequence, one line a position. `attention` says from which tokens a position "
        "reads (blank: the future); the stream after it goes into the feed-forward layer, whose hidden units "
        "are shown before ReLU (`ffn_pre`) and after it (`ffn_hidden`, where what was negative is zero). "
        "`ffn_out` is what they add up to, `resid_post` is what the LM head reads, `logits` and `probs` are "
        "its scores and probabilities of the next token. A dot is the likeliest token, a frame what the rule "
        f"allows: they should meet. On average {active:.1f} of {hidden.shape[-1]} hidden units are active in "
        f"the held-out windows. {in_numbers(model)}"
    )
