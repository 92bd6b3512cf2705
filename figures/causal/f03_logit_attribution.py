"""Who speaks for the right answer: its logit as an exact sum of what each component says."""

import numpy as np

from scratchformer.analysis.logits import attribute_logits
from scratchformer.figures.style import GREY, HELD_OUT, INK, figure_title, heatmap, panel
from scratchformer.figures.words import code, listed, number

HEADING = "Logits taken apart"
QUESTION = "Who speaks for the right answer?"
LOOK = "the longest bar on the left"
SIZE = (11, 5)


def draw(fig, model):
    """Bars of mean contributions with their spread, and the means by answer."""
    parts, allowed = attribute_logits(model)
    figure_title(fig, model, finding(parts))
    if not parts["sum"].size:
        return
    names = list(parts)
    ax = panel(fig, 1.3, 0.75, 3.9, 3.0)
    for y, name in enumerate(names):
        values = parts[name]
        low, high = np.quantile(values, [0.05, 0.95])
        ax.barh(y, values.mean(), 0.62, color=INK if name == "sum" else GREY)
        ax.plot([low, high], [y, y], color=HELD_OUT, linewidth=1.5)
    ax.set_yticks(range(len(names)), [f"{name}\n{signed(parts[name].mean())}" for name in names])
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.axvline(0, color=GREY, linewidth=0.7)
    ax.set(title="all constrained positions", xlabel="mean, and 5% to 95% of positions (line), in logits")
    answers = [i for i in range(allowed.shape[1]) if allowed[:, i].any()]
    means = np.array([[parts[name][allowed[:, i]].mean() for name in names] for i in answers])
    ax = panel(fig, 6.35, 0.75, 3.75, 3.0)
    columns = [name.replace("_", "\n") for name in names]
    heatmap(ax, means, [model.vocabulary[i] for i in answers], columns, "mean, in logits")
    ax.set(title="by answer", ylabel="token that the rule allows")


def signed(value):
    """A number with its sign."""
    return number(round(value, 2), "+.2f")


def finding(parts):
    """The sum and its largest part, in words."""
    if not parts["sum"].size:
        return "The rule constrains no position, so there is no answer to speak for"
    means = {name: values.mean() for name, values in parts.items() if name != "sum"}
    most = max(means, key=means.get)
    return f"{most} gives {signed(means[most])} of the right answer's {signed(parts['sum'].mean())} logits"


def caption(model):
    """What the figure shows, and which components speak for and against this run's answers."""
    parts, _ = attribute_logits(model)
    if not parts["sum"].size:
        return (
            "No logit is taken apart here: the rule constrains no position of the held-out windows, so there "
            "is no right answer to speak for."
        )
    means = {name: values.mean() for name, values in parts.items() if name != "sum"}
    said = listed([f"{code(name)} {signed(mean)}" for name, mean in means.items()])
    against = [code(name) for name, mean in means.items() if mean < 0]
    return (
        "The LM head is linear, so the logit of a token is an exact sum of what the components in "
        f"{code('resid_post')} contribute, and of the bias. What is taken apart is the logit of the right "
        "answer (of several, their mean) less the mean of all tokens' logits, which softmax ignores. The "
        "left panel has the mean over all constrained positions as a bar and 5% to 95% of them as a line, "
        f"the right one the means for each answer. Here {said} make {signed(parts['sum'].mean())}. "
        + (f"On average {listed(against)} speak{'s' * (len(against) == 1)} against the answer. "
           if against else "On average none speaks against the answer. ")
        + "This counts direct effects only: what attention hands to the feed-forward layer counts there."
    )
