"""Sequences sampled from the model before training and after: whether it can follow the rule unaided."""

from scratchformer.analysis.answers import count_right, judge_sequences
from scratchformer.analysis.sources import answer_sources
from scratchformer.figures.cells import draw_cells, name_rule, share, verdict_legend
from scratchformer.figures.style import figure_title, panel

HEADING = "Generated sequences"
QUESTION = "Can the model follow the rule when it writes by itself?"
LOOK = "red cells: there are many above, before training, and few below"
SIZE = (10, 8.2)
SHOWN, LENGTH = 6, 40


def draw(fig, model):
    """Above the model of step 0, below this one if it is another; judged by what the model could see."""
    start = model.run.at(model.run.steps[0])
    shown = [start] if model.step == start.step else [start, model]
    texts = [written(one) for one in shown]
    figure_title(fig, model, finding([count_right(verdicts) for _, verdicts, _ in texts]))
    name_rule(fig, model)
    verdict_legend(fig, 7.0, sum((verdicts for _, verdicts, _ in texts), []),
                   sum((sources for _, _, sources in texts), []))
    if len(shown) == 1:
        fig.text(0.5, 2.6 / SIZE[1], "At a later step, that model's sequences are shown here.", ha="center",
                 fontsize=10)
    for bottom, one, (sequences, verdicts, sources) in zip((3.9, 0.55), shown, texts, strict=False):
        ax = panel(fig, 0.5, bottom, 9.35, 2.6)
        draw_cells(ax, model, sequences, verdicts, sources)
        ax.set_title(f"{when(one.step)}: {share(*count_right(verdicts))}", loc="left", fontweight="bold")
        ax.set_ylabel("sequence")


def finding(counts):
    """How many of the tokens shown break the rule, in words: (right, constrained) before, if it is another,
    and now."""
    wrong = [f"{constrained - right} of {constrained}" for right, constrained in counts]
    if not counts[-1][1]:
        return "The model writes by itself, and the rule constrains none of its tokens"
    if len(counts) == 1:
        return f"Untrained, the model breaks the rule at {wrong[0]} tokens"
    return f"The model writes by itself: {wrong[1]} tokens break the rule (untrained: {wrong[0]})"


def written(model):
    """(sequences sampled from the model, their verdicts, where their answers are taken from)."""
    sequences, sight = model.generate(SHOWN, LENGTH), model.config.model.block_size
    sources = [answer_sources(model, sequence, sight) for sequence in sequences]
    return sequences, judge_sequences(model, sequences, sight), sources


def sight(model):
    """What the model sees before a token, in words."""
    block_size = model.config.model.block_size
    return f"{block_size} tokens before it" if block_size > 1 else "token before it"


def when(at):
    """A step in words."""
    return "before training (step 0)" if at == 0 else f"step {at:,}"


def caption(model):
    """What the figure shows, and whether training made the model follow the rule."""
    start = model.run.at(model.run.steps[0])
    before, after = (count_right(written(one)[1]) for one in (start, model))
    if model.step == start.step:
        change = "At a later step, the sequences of that model are shown below these."
    elif not (before[1] and after[1]):
        change = "Where no token is constrained, the share of correct ones is open."
    else:
        gain = 100 * (after[0] / after[1] - before[0] / before[1])
        change = (
            f"Training raised the share by {gain:.1f} percentage points." if gain > 0
            else f"Training did not raise the share: it changed by {gain:.1f} percentage points."
        )
    models = f"above: {when(start.step)}, below: {when(model.step)}"
    result = f"Above, {share(*before)}; below, {share(*after)}"
    if model.step == start.step:
        models, result = when(start.step), f"There, {share(*before)}"
    return (
        f"Each row is a sequence of {LENGTH} tokens that the model wrote itself, every token sampled from "
        f"its probabilities given the {sight(model)}; {models}. Colours and "
        "marks are those of the training data, and a token is judged only by what the model could see. "
        f"{result}. {change} {larger_sample(model)}Unlike the rule error of the learning "
        "curve, a sampled mistake need not be the likeliest token. How the model decides is what all further "
        "figures are about, beginning with its embeddings."
    )


def larger_sample(model):
    """The generated rule error, in a sentence, or nothing."""
    error = model.run.judge.generated_error(model.params)
    return "" if error is None else (
        f"In the larger sample of the learning curve, {error:.1%} of the model's own constrained tokens "
        "break the rule. "
    )
