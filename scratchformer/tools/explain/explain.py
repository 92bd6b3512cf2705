"""What the model computes for one input, with the numbers in it: `run.py CONFIG --explain "5 8 3 +"`.

    explain(model, "5 8 3 +")                           the forward pass, layer by layer
    explain(model, "5 8 3 +", "scores", "3,1")          one entry
    explain(model, "5 8 3 +", "scores", "3,1", "8")     and the routes of its gradient
    stop_in_debugger(model, "5 8 3 +", "scores")        the line that computes it, in pdb
"""

import ast
import bdb
import inspect
import pdb
from functools import cache
from pathlib import Path

import numpy as np

from scratchformer.engine.model import backward, empty_cache, forward_pass
from scratchformer.engine.names import ACTIVATION_NAMES, PARAMETER_NAMES, TABLE
from scratchformer.engine.plain import WATCHED
from scratchformer.run.config import nearest
from scratchformer.run.data import parse_tokens
from scratchformer.system.errors import RunError
from scratchformer.tools.explain.entry import Entries, Operand, evaluate, formula, forward_entry
from scratchformer.tools.explain.routes import routes
from scratchformer.tools.explain.text import BOLD, Page, number

PACKAGE = Path(__file__).parent.parent.parent
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def explain(model, tokens, name=None, at=None, target=None, width=80, color=False):
    """The text that explains an input's forward pass, or with `name` one entry of it.

    tokens: text such as "5 8 3 +"; name: of an activation or parameter; at: its index such as "3,1", no
    batch axis, the head's index left out at will if there is one head; target: the next token, for the
    loss and with `name` for the gradient; width: columns, at least 60; color: with ANSI codes

    Raises RunError where the model has no such step, token, name or index.
    """
    ids = read_tokens(model, tokens)
    targets = np.full(len(ids), -1)
    if target is not None:
        targets[-1:] = read_tokens(model, target, 1, "--target: ")
    cache = model.forward(ids[None], targets[None])
    x = Entries(model.params, cache, *(backward(model.params, cache) if target is not None else ()))
    page = Page(width, color)
    page.prose(
        f"{model.name} at step {model.step:,} reads {' '.join(model.vocabulary[i] for i in ids)} "
        "(indices count from 0; a product with a factor 0 is left out of its sum)"
    )
    if name is not None:
        explain_entry(page, x, name, read_index(x, name, at), model.vocabulary)
    elif at is not None:
        raise RunError("--at needs --name: the array that it is an index of")
    else:
        explain_forward(page, x, model.vocabulary)
    return page.text()


def explain_forward(page, x, vocabulary):
    """Every activation in forward order: what it is, all its values, one entry worked out."""
    words = [f"{vocabulary[i]}{str(t).translate(SUBSCRIPTS)}" for t, i in enumerate(x.tokens)]
    page.table(["id"], words, [x.tokens])
    for name in ACTIVATION_NAMES if x.targets[-1] >= 0 else ACTIVATION_NAMES[:-1]:
        heading(page, x, name)
        index, array = usual_index(x, name), x.arrays[name]
        for h, head in enumerate(array.reshape(-1, *array.shape[-2:]) if array.ndim else ()):
            if array.ndim == 3 and x.H > 1:
                page.prose(f"head {h}", indent=2)
            columns = {"T": words, "V": vocabulary}.get(x.dims(name)[-1], range(head.shape[1]))
            cells = [[number(value) for value in row] for row in head]
            page.table(words, columns, cells, index[-2:] if index[:-2] in ((), (h,)) else None)
        page.worked(x.label(name, index), forward_entry(x, name, index), array[index])
    probs = x.arrays["probs"][-1]
    page.prose(f"likeliest next token: {vocabulary[probs.argmax()]} with probability {number(probs.max())}")


def explain_entry(page, x, name, index, vocabulary):
    """One entry: its formula, operands and value; with a target also its gradient, route by route."""
    heading(page, x, name)
    entry = x(name, *index)
    pieces = forward_entry(x, name, index)
    page.worked(entry.label, pieces, entry.value, operands=name in ACTIVATION_NAMES)
    if x.targets[-1] < 0:
        return
    gradient, found = x(f"d{name}", *index), routes(x, name, index)
    target = vocabulary[x.targets[-1]]
    page.prose(f"gradient: {gradient.label} = dL/d{entry.label}, with L = -log p of the target {target}")
    shares = []
    for by, pieces in found:
        share = Operand(gradient.name, by, evaluate(pieces))
        page.worked(f"{gradient.label} {by}", pieces, share.value, operands=True)
        shares += ["+", share]
    if len(found) > 1:
        page.worked(f"{gradient.label} in all", shares[1:], gradient.value)


def heading(page, x, name):
    """What an array is, its formula, its dims, and where it is computed."""
    entry = TABLE[name]
    page.prose(f"  {entry.meaning}", first=page.named(name, name, BOLD))
    if name in ACTIVATION_NAMES:
        page.prose(formula(x, name), indent=2)
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


@cache
def where(name):
    """(file, line) of the statement that fills an activation, found in the engine's source.

    It assigns to the array's entries, or is the first call with the array as `out` or last argument.
    """
    found = []
    for module in ("embedding", "attention", "feed_forward", "lm_head", "model"):
        path = PACKAGE / "engine" / f"{module}.py"
        for function in ast.parse(path.read_text("utf-8")).body:
            if isinstance(function, ast.FunctionDef) and function.name in WATCHED:
                found += [
                    (f"{PACKAGE.name}/engine/{path.name}", node.lineno)
                    for node in ast.walk(function) if name in filled_by(node)
                ]
        if found:
            return min(found)
    raise ValueError(f"no line computes {name}")


def filled_by(statement):
    """Names of the arrays that a statement fills: a set."""
    targets = []
    if isinstance(statement, ast.Assign):
        targets = [target for target in statement.targets if isinstance(target, ast.Subscript)]
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        call = statement.value
        targets = [keyword.value for keyword in call.keywords if keyword.arg == "out"] or call.args[-1:]
    arrays = [target.value if isinstance(target, ast.Subscript) else target for target in targets]
    return {
        getattr(part, "id", getattr(part, "attr", None)) for array in arrays for part in ast.walk(array)
    }


class Debugger(pdb.Pdb):
    """A pdb that asks for no command before its first breakpoint."""

    started = False

    def user_line(self, frame):
        if self.started:
            super().user_line(frame)
        else:
            self.started = True
            self.set_continue()


def stop_in_debugger(model, tokens, name):
    """Run the forward pass of an input and stop in pdb on the line that computes an activation.

    There the arrays are in scope under their names, or as `cache.name`. Raises RunError where the model
    has no such step, token or name, and if the engine is compiled: NUMBA_DISABLE_JIT=1 leaves it Python.
    """
    params, ids = model.params, read_tokens(model, tokens)
    check_name(name, ACTIVATION_NAMES)
    if not inspect.isfunction(forward_pass):
        raise RunError("a debugger sees no compiled code: set NUMBA_DISABLE_JIT=1 before Python starts")
    tokens = ids[None]
    cache = empty_cache(params, tokens, np.full(tokens.shape, -1), model.use_residual)
    file, line = where(name)
    debugger = Debugger()
    debugger.set_break(str(PACKAGE.parent / file), line, temporary=True)
    try:
        debugger.runcall(forward_pass, params, cache)
    except bdb.BdbQuit:
        return
