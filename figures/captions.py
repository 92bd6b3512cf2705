"""The captions of a run's figures in one Markdown text: the walkthrough of that run."""

import re

from scratchformer.figures.catalogue import every_figure, figure_module
from scratchformer.figures.words import harmless
from scratchformer.run.judge import LEARNED

CAPITALS = {"qk": "QK", "qkv": "QKV"}


def captions(model, names, format="png"):
    """The Markdown text: what the run is and whether it learned its rule; then, in reading order, heading,
    picture and caption of each figure in `names`. The pictures lie beside the text."""
    parts = [
        f"# {harmless(model.name)} at step {model.step:,}",
        f"Rule: {harmless(model.config.description or model.config.data.rule)}.",
        verdict(model),
    ]
    for name in sorted(names, key=every_figure().index):
        heading = describe_name(name)
        parts += [
            f"## {heading}", f"![{heading}]({name}.{format})", figure_module(name).caption(model),
        ]
    return "\n\n".join(parts) + "\n"


def verdict(model):
    """Whether the model of a step follows the rule on all held-out windows, in a paragraph."""
    (wrong, constrained), loss = model.count_wrong(), float(model.held_out.loss)
    if not constrained:
        return (
            "Verdict: none, as the rule constrains no position of the held-out windows. "
            f"The loss on them is {loss:.3f} nats a token."
        )
    error = wrong / constrained
    return (
        f"Verdict: the rule is {'learned' if error <= LEARNED else 'not learned'}. On held-out windows the "
        f"likeliest next token breaks it at {wrong:,} of {constrained:,} constrained positions, a rule error "
        f"of {error:.2%}, where up to {LEARNED:.0%} counts as learned; the loss is {loss:.3f} nats a token."
    )


def describe_name(name):
    """A figure's name as a heading: 08_qkv_transforms is 08 QKV transforms."""
    folder, _, stem = name.rpartition("/")
    number, *words = re.sub(r"(?<=[a-z])(?=\d)", "_", stem).split("_")
    words[0] = words[0].capitalize()
    text = " ".join([number, *(CAPITALS.get(word.lower(), word) for word in words)])
    return f"{folder.capitalize()}: {text}" if folder else text
