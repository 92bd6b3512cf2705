"""What the model computes for one input, with the numbers in it: `run.py CONFIG --explain "5 8 3 +"`.

    explain(model, "5 8 3 +")                           the forward pass: in brief, then layer by layer
    explain(model, "5 8 3 +", why="8")                  what the logit of 8 is made of
    explain(model, "5 8 3 +", "scores", "3,1")          one entry
    explain(model, "5 8 3 +", "scores", "3,1", "8")     and the routes of its gradient
"""

import numpy as np

from scratchformer.analysis.followed import at_position
from scratchformer.engine.model import backward
from scratchformer.engine.names import ACTIVATION_NAMES, PARAMETER_NAMES, TABLE
from scratchformer.engine.steps import forward_steps
from scratchformer.run.data import parse_tokens
from scratchformer.system.errors import RunError, nearest
from scratchformer.tools.explain.brief import brief_lines, why_lines
from scratchformer.tools.explain.term import Operand
from scratchformer.tools.explain.text import BOLD, Page, number
from scratchformer.tools.explain.trace import Trace, forward_entry, routes


def explain(
    model, tokens, name=None, at=None, target=None, width=80, color=False, brief=False, why=None,
):
    """The text that explains an input's forward pass, or with `name` one quantity or entry of it.

    tokens: text such as "5 8 3 +"; name: of an activation or parameter; at: its index such as "3,1", no
    batch axis, the head's index left out at will if there is one head; target: the next token, for the
    loss and with `name` for the gradient; width: columns, at least 60; color: with ANSI codes;
    brief: only what comes first; why: a token whose logit is to be followed back to what made it

    Raises RunError where the model has no such step, token, name or index.
    """
    ids = read_tokens(model, tokens)
    targets = np.full(len(ids), -1)
    if target is not None:
        targets[-1:] = read_tokens(model, target, 1, "--target: ")
    cache = model.forward(ids[None], targets[None])
    x = Trace(model.params, cache, *(backward(model.params, cache) if target is not None else ()))
    page = Page(width, color)
    for line in brief_lines(model, ids):
        page.wrapped(line)
    words = [at_position(model.vocabulary[i], t) for t, i in enumerate(ids)]
    if at is not None and name is None:
        raise RunError("--at needs --name: the array that it is an index of")
    if why is not None:
        (token,) = read_tokens(model, why, 1, "--why: ")
        page.lines += ["", *why_lines(model, cache, token)]
    elif name is not None:
        explain_entry(page, x, name, read_index(x, name, at), words, model.vocabulary, whole=at is None)
    elif not brief:
        page.prose("indices count from 0; a product with a factor 0 is left out of its sum")
        explain_forward(page, x, words, model.vocabulary)
    return page.text()


def explain_forward(page, x, words, vocabulary):
    """Every activation in forward order: what it is, all its values, one entry worked out."""
    page.table(["id"], words, [x.tokens])
    for name in ACTIVATION_NAMES if x.targets[-1] >= 0 else ACTIVATION_NAMES[:-1]:
        heading(page, x, name)
        index = usual_index(x, name)
        show_values(page, x, name, index, words, vocabulary)
        page.worked(x.label(name, index), forward_entry(x, name, index).pieces(), x.arrays[name][index])


def show_values(page, x, name, index, words, vocabulary):
    """All values of an activation as a table a head; the entry at the index stands out."""
    array = x.arrays[name]
    for h, head in enumerate(array.reshape(-1, *array.shape[-2:]) if array.ndim else ()):
        if array.ndim == 3 and x.H > 1:
            page.prose(f"head {h + 1} of {x.H} (index {h})", indent=2)
        columns = {"T": words, "V": vocabulary}.get(x.dims(name)[-1], range(head.shape[1]))
        cells = [[number(value) for value in row] for row in head]
        page.table(words, columns, cells, index[-2:] if index[:-2] in ((), (h,)) else None)


def explain_entry(page, x, name, index, words, vocabulary, whole):
    """One entry: its formula, operands and value; with a target also its gradient, route by route; with
    `whole` after all values of an activation."""
    heading(page, x, name)
    if whole and name in ACTIVATION_NAMES:
        show_values(page, x, name, index, words, vocabulary)
    entry = x(name, *index)
    pieces = forward_entry(x, name, index).pieces()
    page.worked(entry.label, pieces, entry.value, operands=name in ACTIVATION_NAMES)
    if x.targets[-1] < 0:
        return
    gradient, found = x(f"d{name}", *index), routes(x, name, index)
    target = vocabulary[x.targets[-1]]
    page.prose(f"gradient: {gradient.label} = dL/d{entry.label}, with L = -log p of the target {target}")
    shares = []
    for by, term in found:
        share = Operand(gradient.name, by, term.value)
        page.worked(f"{gradient.label} {by}", term.pieces(), share.value, operands=True)
        shares += ["+", share]
    if len(found) > 1:
        page.worked(f"{gradient.label} in all", shares[1:], gradient.value)


def heading(page, x, name):
    """What an array is, its formula, its dims, and where it is computed."""
    entry = TABLE[name]
    page.prose(f"  {entry.meaning}", first=page.named(name, name, BOLD))
    if name in ACTIVATION_NAMES:
        page.prose(forward_steps()[name].formula, indent=2)
    batch = "1 " if entry.dims.startswith("B") else ""
    sizes = " ".join(map(str, x.arrays[name].shape))
    dims = f"{entry.dims} = {batch}{sizes}" if sizes else "one number"
    page.prose(f"{dims}; {'%s:%d' % where(name) if name in ACTIVATION_NAMES else 'learned'}", indent=2)


def usual_index(x, name):
    """The entry shown if none is asked for: at the last position, and there the largest where that tells."""
    if name in PARAMETER_NAMES or name == "loss":
        return (0,) * x.arrays[name].ndim
    leading = {"scores": "attention", "ffn_pre": "ffn_hidden", "logits": "probs"}.get(name, name)
    row = x.arrays[leading][..., x.T - 1, :].reshape(-1, x.arrays[leading].shape[-1])[0]
    last = int(row.argmax()) if leading in ("attention", "ffn_hidden", "probs") else 0
    return (*[0] * (x.arrays[name].ndim - 2), x.T - 1, last)


def read_tokens(model, text, longest=None, option="--explain: "):
    """The ids of a text's tokens; RunError where they do not fit the model."""
    try:
        return parse_tokens(text, model.vocabulary, longest or model.config.model.block_size)
    except ValueError as error:
        raise RunError(f"{option}{error}") from error


def read_index(x, name, text):
    """The index that a text such as "3,1" gives into an array; the usual one for None.

    Raises RunError where there is no such array or entry.
    """
    check_name(name, ACTIVATION_NAMES + PARAMETER_NAMES)
    if name == "loss" and x.targets[-1] < 0:
        raise RunError("--name loss needs --target: the token whose probability it measures")
    array, dims = x.arrays[name], x.dims(name)
    if not array.size:
        raise RunError(f"--name {name}: this model has none: {TABLE[name].meaning}")
    if text is None:
        return usual_index(x, name)
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and len(part) < 10 for part in parts):
        raise RunError(f"--at {text}: write whole numbers from 0 up, with commas between, as in 3,1")
    index = [int(part) for part in parts]
    if "H" in dims and x.H == 1 and len(index) == array.ndim - 1:
        index.insert(dims.index("H"), 0)
    if len(index) != array.ndim or any(i >= size for i, size in zip(index, array.shape, strict=True)):
        ranges = [f"{dim} 0 to {size - 1}" for dim, size in zip(dims, array.shape, strict=True)]
        raise RunError(f"--at {text}: no entry of {name}; allowed are {', '.join(ranges) or 'no indices'}")
    return tuple(index)


def check_name(name, names):
    """RunError unless the name is one of those."""
    if name not in names:
        raise RunError(f"--name {name}: no such array{nearest(name, names)}")


def where(name):
    """(file, line) of the call in the forward pass that fills an activation."""
    return "scratchformer/engine/passes.py", forward_steps()[name].line
