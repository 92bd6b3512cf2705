"""The JavaScript of the page that comes from Python: the engine, once to compute and once to explain."""

from math import prod
from pathlib import Path

from scratchformer.engine.names import ACTIVATIONS, INPUTS, PARAMETERS
from scratchformer.system.errors import RunError
from scratchformer.tools.explore.rule import rule_code
from scratchformer.tools.explore.translate import MODULES, function_names, translate_engine

HERE = Path(__file__).parent
MOST_PARAMETERS = 20_000
SYMBOLIC = ("add", "sub", "mul", "div", "pow", "neg", "exp", "log", "sqrt", "max", "dot", "empty", "add_to")


def check_explorable(run):
    """RunError if a model has too many numbers to be looked at one by one."""
    size = sum(prod(shape) for shape in run.files.shapes.values())
    if size > MOST_PARAMETERS:
        raise RunError(f"--explore: the page shows every number of a model; at most {MOST_PARAMETERS:,} "
                       f"parameters, this one has {size:,}")


def page_code(model):
    """All of it for a Model: `engine`, `symbolic`, and `allowed(history)`, the rule."""
    rule = rule_code(model.rule, list(model.run.data.vocabulary), model.config.model.block_size)
    rule = wrapped("rule_of_the_run", rule, ["allowed"]) + "const { allowed } = rule_of_the_run;\n"
    return "\n".join([engine_code(), symbolic_code(), rule])


def engine_code():
    """The arrays, the engine on numbers (`engine.scores_forward(...)`), and what allocates for it."""
    return "\n".join([
        read("ndarray.js"), wrapped("engine", translate_engine(), function_names(MODULES)), read("model.js"),
    ])


def symbolic_code():
    """The engine on numbers that remember how they came about: `symbolic.scores_forward(...)`."""
    passes = [module for module in MODULES if not module.__name__.endswith((".adam", ".training"))]
    given = f"const {{ {', '.join(SYMBOLIC)} }} = Terms;\n"
    code = translate_engine(symbolic=True, modules=passes)
    return "\n".join([read("terms.js"), wrapped("symbolic", given + code, function_names(passes))])


def table():
    """The table of names for the page: {parameters, inputs, activations}, each a list of rows."""
    groups = {"parameters": PARAMETERS, "inputs": INPUTS, "activations": ACTIVATIONS}
    return {
        group: [{"name": row.name, "dims": row.dims, "symbol": row.symbol, "meaning": row.meaning}
                for row in rows]
        for group, rows in groups.items()
    }


def read(name):
    return (HERE / name).read_text("utf-8")


def wrapped(name, code, functions):
    """JavaScript whose functions are those of one object."""
    return f"const {name} = (() => {{\n{code}\nreturn {{ {', '.join(functions)} }};\n}})();\n"
