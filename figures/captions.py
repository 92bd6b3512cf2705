"""The captions of a run's figures in one Markdown text: the walkthrough of that run."""

from scratchformer.figures.catalogue import every_figure, figure_module
from scratchformer.figures.words import harmless
from scratchformer.run.judge import LEARNED


def captions(model, names, format="png"):
    """The Markdown text: what the run is and whether it learned its rule; then, in reading order, of each
    figure in `names` heading, picture, question, what to look at, and caption. The pictures lie beside it."""
    parts = [
        f"# {harmless(model.name)} at step {model.step:,}",
        f"Rule: {harmless(model.config.description or model.config.data.rule)}.",
        verdict(model),
    ]
    for name in sorted(names, key=every_figure().index):
        module = figure_module(name)
        parts += [
            f"## {describe_name(name)}", f"![{module.HEADING}]({name}.{format})",
            f"**{module.QUESTION}** Look at {module.LOOK}.", module.caption(model),
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
    """A figure's heading with its number: 08_qkv_transforms is 08 Queries, keys and values."""
    folder, _, stem = name.rpartition("/")
    text = f"{stem.partition('_')[0]} {figure_module(name).HEADING}"
    return f"{folder.capitalize()}: {text}" if folder else text
