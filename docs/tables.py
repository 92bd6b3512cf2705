"""The tables in docs/backprop.md, made from the engine's table of names, its passes and the quizzes."""

import re

from scratchformer.engine.names import TABLE
from scratchformer.engine.steps import backward_steps, forward_steps
from scratchformer.tools.quiz.errors import QUIZZES
from scratchformer.tools.quiz.trial import step_of

FIGURES = {                             # where the numbers of a name are drawn
    "W_token": "05, 06, 12", "W_pos": "05, 06, 12", "W_q": "08", "W_k": "08", "W_v": "08",
    "tokens": "03, 12", "use_residual": "01, 15", "token_embed": "05, 06, 12", "pos_embed": "05, 06, 12",
    "embed": "05, 06, 07, 12, 15", "q": "08, 09, 10, 13", "k": "08, 09, 10, 13", "v": "08, 14, 16, 17, 18",
    "scores": "10, 13", "attention": "13, 14, S14", "mixed": "14", "attn_out": "15",
    "resid_mid": "11, 15, 16, 17, 18", "ffn_pre": "S14", "ffn_hidden": "S14", "ffn_out": "S14",
    "resid_post": "S14", "logits": "S14", "probs": "07, 11, 16, 17, 18, S14", "loss": "02",
}


def names():
    """Every name with its equation, dims, and the functions that fill it and its gradient."""
    rows = [("equation", "name", "dims", "filled by", "its gradient by", "figures"), ("---",) * 6]
    for name, entry in TABLE.items():
        step = forward_steps().get(name)
        gradients = [
            code(back.function.__name__) for back in backward_steps()
            if {("d", name), ("dp", name)} & set(back.fills)
        ]
        rows.append((
            step.formula if step else "", code(name), entry.dims,
            code(step.function.__name__) if step else "", ", ".join(dict.fromkeys(gradients)),
            FIGURES.get(name, "01"),
        ))
    return markdown(rows)


def quizzes():
    """Every quiz with the function that it is about."""
    rows = [("quiz", "function", "what to think about"), ("---",) * 3]
    for name, entry in QUIZZES.items():
        rows.append((code(name), code(step_of(entry.step).function.__name__), entry.question))
    return markdown(rows)


def code(text):
    return f"`{text}`"


def markdown(rows):
    """Rows of cells as a table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in rows).replace("|  |", "| |")


def fill_tables(text):
    """The text of docs/backprop.md with its tables made anew."""
    for name, make in (("names", names), ("quizzes", quizzes)):
        text = re.sub(
            rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda m, table=make(): f"{m[1]}{table}\n{m[2]}",
            text, flags=re.S,
        )
    return text
