"""The engine's own source as plain Python, with a say in every intermediate.

`forward_with(edit, ...)` runs the very lines of the forward functions, and calls
`edit(name, array)` as soon as each named activation is complete, before anything reads it.
What `edit` writes into the array is what the rest of the pass sees. So one asks what an activation
does to the loss (gradient checks) or to the answer (interventions), and the functions that train
stay free of hooks. Complex parameters work as well, for the complex step.
"""

import ast
import cmath
import functools
import math
from pathlib import Path

import numpy as np

from scratchformer.engine.lm_head import TINY
from scratchformer.engine.model import empty_cache
from scratchformer.engine.names import ACTIVATION_NAMES

MODULES = ("linear", "embedding", "attention", "feed_forward", "lm_head", "adam", "model")
WATCHED = (
    "forward_pass", "forward_from_resid_mid", "embedding_forward", "attention_forward",
    "feed_forward_forward", "lm_head_forward",
)


def forward_with(edit, params, tokens, targets, use_residual=True):
    """The forward pass in plain Python, each activation handed to `edit(name, array)` when complete.

    params: real or complex; tokens, targets: (B, T) ids -> Cache in the params' dtype
    """
    cache = empty_cache(params, tokens, targets, use_residual)
    done = set()

    def after(name, array):
        if name not in done:
            done.add(name)
            edit(name, array)

    functions = plain_functions()
    if np.iscomplexobj(params.W_token):
        functions.update(exp=cmath.exp, log=cmath.log)
    functions["after"] = after
    functions["forward_pass"](params, cache)
    return cache


def plain_functions():
    """All functions of the engine as plain Python, in one dict that is their global namespace."""
    functions = {
        "np": np, "exp": math.exp, "log": math.log, "sqrt": math.sqrt, "nan": math.nan, "TINY": TINY,
        "after": lambda name, array: None,
    }
    for code in compiled_modules():
        exec(code, functions)
    return functions


@functools.cache
def compiled_modules():
    """Code objects of the engine's modules, holding their jitted functions only, with the calls to
    `after` put in. Lines keep their numbers and files, so a debugger shows the source as it is."""
    codes = []
    for name in MODULES:
        path = Path(__file__).with_name(f"{name}.py")
        tree = ast.parse(path.read_text("utf-8"))
        tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and is_jitted(node)]
        for function in tree.body:
            function.decorator_list = []
            if function.name in WATCHED:
                function.body = [new for node in function.body for new in (node, *calls_after(node))]
        codes.append(compile(ast.fix_missing_locations(tree), path, "exec"))
    return codes


def is_jitted(function):
    """Whether a function definition carries the engine's decorator."""
    return any(isinstance(d, ast.Name) and d.id == "jit" for d in function.decorator_list)


def calls_after(statement):
    """`after("q", q)` for every activation that a statement handles, in forward order."""
    found = {}
    shapes = {id(n.value) for n in ast.walk(statement) if isinstance(n, ast.Attribute) and n.attr == "shape"}
    for node in ast.walk(statement):
        name = node.id if isinstance(node, ast.Name) else getattr(node, "attr", None)
        if name in ACTIVATION_NAMES and id(node) not in shapes:
            found.setdefault(name, node)
    for name in sorted(found, key=ACTIVATION_NAMES.index):
        value = ast.parse(ast.unparse(found[name]), mode="eval").body
        call = ast.Call(ast.Name("after", ast.Load()), [ast.Constant(name), value], [])
        yield ast.copy_location(ast.Expr(call), statement)
