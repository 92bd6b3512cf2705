"""One sequence on the landscapes of the next tokens: its values, where attention moves it, where it lands.

What figures 16 to 18 share: one figure a sequence, in it one column a token.
"""

from textwrap import fill

from matplotlib.ticker import MaxNLocator

from scratchformer.analysis.followed import follow
from scratchformer.analysis.landscape import frame, landscapes, values_in_stream
from scratchformer.figures.landscapes import add_bar, name_plane, probability_table
from scratchformer.figures.marks import legend, line, marker
from scratchformer.figures.regions import label_regions, landed_entries, region_colors, show_regions
from scratchformer.figures.sequences import draw_moves, mark_tokens, marked, written
from scratchformer.figures.style import ANSWER, GREY, INK, LINES, figure_title, panel
from scratchformer.figures.value_strips import GAP, draw_strip
from scratchformer.figures.value_words import heading, missing, moved, outcome
from scratchformer.figures.words import counted, minus

SIZE = (10, 16.0)
MOST, A_BAND = 12, 6                    # columns in all, and beside one another
LEFT, RIGHT, ABOVE, BELOW = 0.95, 0.95, 5.5, 0.95       # margins in inches
MAP = 4.1                               # side of the map of decisions
WRAP = 54                               # signs in a line beside it
HEADING = 0.84                          # above each band


def draw_demo(fig, model, number):
    """Draw the sequence of that number: rows are its v, embed -> resid_mid, and resid_mid."""
    if number >= len(model.demos):
        figure_title(fig, model, f"Value demo {number}")
        fig.text(0.5, 0.6, missing(model, number), ha="center", fontsize=12)
        return
    demo, C = follow(model, model.demos[number]), model.config.model.n_embd
    shown, in_stream = shown_tokens(demo), values_in_stream(model)
    figure_title(fig, model, f"Value demo {number}: {finding(demo)}")
    lines = [
        written(demo.words), "", *outcome(model, demo).split(";  "), "", *columns(model, shown, in_stream),
    ]
    beside_map = fig.text(
        (LEFT + MAP + 0.45) / SIZE[0], 1 - 0.95 / SIZE[1], "\n".join(fill(line, WRAP) for line in lines),
        va="top", fontsize=9.5, linespacing=1.6,
    )
    if C != 2:
        beside_map.set_x(LEFT / SIZE[0])
        table = probability_table(fig, model, demo.cache.probs[0], marked(demo), "position", ABOVE - MAP + 1)
        mark_tokens(table, demo)
        return
    box = frame(model)
    show_map(fig, model, demo)
    probs = landscapes(model, box)
    rows = [0, 1, 2] if in_stream else [1, 2]
    across, side = layout(len(shown), len(rows))
    top = SIZE[1] - ABOVE
    for first in range(0, len(shown), across):
        tokens = shown[first : first + across]
        for i, token in enumerate(tokens):
            write_heading(fig, LEFT + i * (side + GAP) + side / 2, top, model.vocabulary[token],
                          heading(demo, token))
        top -= HEADING
        for row in rows:
            top -= side
            ax = panel(fig, LEFT, top, len(tokens) * (side + GAP) - GAP, side)
            image = draw_strip(ax, model, demo, row, tokens, probs, box)
            name_row(fig, ax, row, box, row == 2 and first + across >= len(shown))
            top -= GAP
    add_bar(fig, image, ABOVE)
    explain_marks(fig)


def show_map(fig, model, demo):
    """The map of decisions with the sequence on its way over it, at the top."""
    ax = panel(fig, LEFT, SIZE[1] - 0.85 - MAP, MAP, MAP)
    show_regions(ax, model, region_colors(model), 0.6)
    names_at = label_regions(ax, model, 11)
    draw_moves(ax, demo.cache.embed[0], demo.cache.resid_mid[0], demo, names_at)
    name_plane(ax)


def finding(demo):
    """What comes of the sequence, in a sentence."""
    wrong = int((demo.state == 0).sum())
    if not len(demo.where):
        return "the rule says nothing in this sequence"
    if not wrong:
        return "attention moves the stream to where the right answer is predicted"
    return f"{wrong} of {counted(len(demo.where), 'answer')} wrong: the stream lands in another region"


def shown_tokens(demo):
    """The at most MOST tokens shown, ascending: answers first, then predictions, then the most probable."""
    probs = demo.cache.probs[0]
    answers, predicted = demo.allowed.any(axis=0), set(probs[demo.where].argmax(axis=1))
    highest = probs.max(axis=0)
    order = sorted(range(len(highest)), key=lambda i: (not answers[i], i not in predicted, -highest[i]))
    return sorted(order[:MOST])


def layout(count, rows):
    """(columns beside one another, side of a panel in inches) of so many columns, each of so many rows."""
    bands = -(-count // A_BAND)
    across = -(-count // bands)
    wide, tall = SIZE[0] - LEFT - RIGHT, (SIZE[1] - ABOVE - BELOW) / bands - HEADING
    return across, min((wide + GAP) / across, tall / rows) - GAP


def write_heading(fig, x, y, token, lines):
    """A column's token and lines, from y down."""
    width, height = SIZE
    fig.text(x / width, y / height, token, ha="center", va="top", fontsize=12, fontweight="bold")
    fig.text(
        x / width, (y - 0.23) / height, "\n".join(lines), ha="center", va="top", fontsize=9, linespacing=1.2,
        color=ANSWER if lines[-1].startswith("answer") else INK,
    )


def columns(model, shown, in_stream):
    """What map and columns show, and which tokens have a column, if not all: lines of text."""
    lines = []
    if len(shown) < len(model.vocabulary):
        lines.append(
            f"{len(shown)} of {len(model.vocabulary)} tokens: answers, predictions, then the most probable"
        )
    if model.config.model.n_embd == 2:
        lines += ["map: what is predicted wherever the stream lies after attention",
                  "columns: the probability of one next token, on the same plane"]
        if not in_stream:
            lines.append("the values v are left out: W_o leads from their own dimensions")
    return lines


def name_row(fig, ax, row, box, lowest):
    """A row's name at the left, numbers beside its first panel, and below it if it is the lowest."""
    bounds = ax.get_position()
    fig.text(
        0.22 / SIZE[0], (bounds.y0 + bounds.y1) / 2, ("values v", "embed →\nresid_mid", "resid_mid")[row],
        rotation=90, ha="center", va="center", fontsize=11, fontweight="bold", linespacing=1.2,
    )
    for axis, low, high in ((ax.xaxis, *box[:2]), (ax.yaxis, *box[2:])):
        numbers = MaxNLocator(4).tick_values(low, high)
        numbers = numbers[(numbers > low) & (numbers < high)]
        axis.set_ticks(numbers, [minus(f"{number:.3g}") for number in numbers])
    ax.xaxis.set_visible(lowest)
    name_plane(ax, x=0, ha="left")


def explain_marks(fig):
    """What colours and marks mean, below the panels."""
    meanings = ((1, "prediction follows the rule: ✓"), (0, "breaks it: ✗"), (-1, "the rule says nothing"))
    legend(fig, [
        *(line(LINES[s], text, linewidth=2.5, marker="o" if s >= 0 else "", markersize=7,
               markerfacecolor="white", markeredgewidth=1.7) for s, text in meanings),
        marker("o", GREY, "a position, in its token's colour", markersize=5),
        marker("s", "none", "the column's token is an answer in this sequence", markeredgecolor=ANSWER,
               markersize=9, markeredgewidth=2.5),
        marker("", INK, "✓ and ✗: in the column of the token predicted"),
        *landed_entries(),
    ], 0.27, ncols=3, handletextpad=0.5)


def demo_caption(model, number):
    """The paragraph under the figure of that number."""
    if number >= len(model.demos):
        return missing(model, number)
    demo = follow(model, model.demos[number])
    sequence = " ".join(demo.words)
    result = f"{outcome(model, demo)}."
    if model.config.model.n_embd != 2:
        return (
            f"The sequence `{sequence}` in the model of step {model.step:,}. What comes of it: {result} A "
            "landscape of probabilities needs a stream of two dimensions, so this model has none; the lines "
            "give each next token's probability where the rule says what comes next, or its highest where "
            "the rule says nothing. An answer is a token that the rule allows there; a model that follows "
            "the rule gives most of the probability to answers."
        )
    values = (
        "The values `v` in the top row alone are no places in the stream" if values_in_stream(model) else
        "The values `v` do not lie in this plane and are left out"
    )
    return (
        f"The sequence `{sequence}`, one column a next token; behind the points is the probability that the "
        f"model gives to that token if the stream after attention lies there. {values}; the arrows lead from "
        "`embed` to `resid_mid`, green where the prediction follows the rule, red where not, grey where the "
        "rule says nothing; the last row keeps `resid_mid`, all that feed-forward layer and LM head read. A "
        "frame marks a token that is an answer: the positions with a pink label should end in the bright "
        f"part of it, others need not. {moved(demo)} Result: {result}"
    )
