"""Six training sequences: what the model learns from."""

import numpy as np

from scratchformer.analysis.answers import count_right, judge_sequences
from scratchformer.analysis.sources import answer_sources
from scratchformer.figures.cells import draw_cells, name_rule, share, verdict_legend
from scratchformer.figures.style import figure_title, panel
from scratchformer.figures.words import code, counted

HEADING = "Training data"
QUESTION = "What does the model learn from?"
LOOK = "the green cells, and the arc over each from the token that the answer is taken from"
SIZE = (10, 5.2)
SHOWN = 6


def draw(fig, model):
    """The first sequences of the training set, judged with all that came before each token."""
    everything = model.data.train_sequences
    verdicts = judge_sequences(model, everything)
    right, constrained = count_right(verdicts)
    tokens = sum(map(len, everything))
    follow = "and each follows it" if right == constrained else "and not all follow it"
    share_fixed = f"the rule fixes {constrained / tokens:.0%} of all {tokens:,} tokens"
    figure_title(fig, model, f"Training data: {share_fixed}, {follow}")
    shown = everything[:SHOWN]
    sources = [answer_sources(model, sequence, len(sequence)) for sequence in shown]
    name_rule(fig, model)
    ax = panel(fig, 0.5, 0.55, 9.35, 3.2)
    draw_cells(ax, model, shown, verdicts[:SHOWN], sources)
    ax.set_ylabel("sequence")
    verdict_legend(fig, 4.0, verdicts[:SHOWN], sources)


def caption(model):
    """What the figure shows, and how much of the data the rule constrains."""
    everything = model.data.train_sequences
    correct, constrained = count_right(judge_sequences(model, everything))
    tokens = np.concatenate(everything)
    counts = np.bincount(tokens, minlength=len(model.vocabulary))
    most, least = counts.argmax(), counts.argmin()
    if not constrained:
        facts = "The rule constrains none of them, so nothing here can teach it."
    else:
        facts = (
            f"The rule constrains {constrained / len(tokens):.1%} of them: {share(correct, constrained)}. "
            "The rest is drawn at random, and no model can do better there than to know how often each "
            "token is drawn."
        )
    return (
        "Each row is a sequence of the training set, read from left to right. A green cell with ✓ follows "
        "the rule, a red one with ✗ would break it, and at a grey one the rule says nothing about what the "
        "token may be. An arc comes from the token that the rule takes the answer from, if there is one: it "
        "holds the answer, and with another token there the rule would ask for something else. The "
        f"{counted(len(everything), 'sequence')} hold {counted(len(tokens), 'token')}. "
        f"{facts} The most frequent token is {code(model.vocabulary[most])} "
        f"({counts[most] / len(tokens):.1%}), the rarest {code(model.vocabulary[least])} "
        f"({counts[least] / len(tokens):.1%}). The same cells, filled by the model instead, follow."
    )
