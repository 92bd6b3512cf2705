import ast
import re
import textwrap

import numpy as np
import pytest
from conftest import REPO, make_params

from scratchformer.engine.model import empty_cache
from scratchformer.engine.names import ACTIVATION_NAMES, PARAMETER_NAMES, TABLE, Params
from scratchformer.engine.plain import plain_functions
from scratchformer.figures.catalogue import figure_names
from scratchformer.figures.f01_architecture_overview import PLACES
from scratchformer.run.config import ModelConfig
from scratchformer.tools.quiz.errors import QUIZZES
from scratchformer.tools.quiz.quiz import find_function, module_path

TEXT = (REPO / "docs" / "backprop.md").read_text("utf-8")
SOURCE = re.compile(r"^`scratchformer/(\w+)\.py`, `(\w+)`:$")


def quoted():
    """(module, function, code) of every block of code, by the last source named before it."""
    blocks, code = [], None
    for line in TEXT.splitlines():
        if found := SOURCE.match(line):
            source = found.groups()
        elif line == "```python":
            code = []
        elif line == "```":
            blocks.append((*source, "\n".join(code)))
            code = None
        elif code is not None:
            code.append(line)
    return blocks


def rows(first):
    """The cells of the table whose first column is called `first`."""
    lines = TEXT[TEXT.index(f"\n| {first} |") + 1:].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize(("module", "function", "code"), quoted())
def test_code_is_quoted_from_the_source(module, function, code):
    node = find_function(module, function)
    source = "\n".join(module_path(module).read_text("utf-8").splitlines()[node.lineno - 1 : node.end_lineno])
    indents = [textwrap.indent(code, " " * n) for n in (4, 8, 12, 16)]
    assert code.strip() and any(f"\n{text}\n" in source + "\n" for text in indents), code


def test_every_backward_function_is_quoted():
    shown = {function for _, function, _ in quoted()}
    jitted = {name for name in plain_functions() if name.endswith("_backward")}
    assert jitted | {"adam_update", "backward_pass"} == shown
    assert TEXT.count("```") == 2 * len(quoted())


def test_every_name_is_in_the_table_with_its_dims():
    table = [(name.strip("`"), dims) for _, name, dims, *_ in rows("equation")]
    assert table == [(entry.name, entry.dims) for entry in TABLE.values()]
    assert set(PLACES) == set(TABLE) - {"use_residual"}         # figure 01 shows all of them


@pytest.mark.parametrize("heads", [1, 2])
def test_the_table_says_which_function_fills_what(heads):
    written = writers(ModelConfig(n_embd=3, num_heads=heads, head_size=2, block_size=3, ffn_mult=1))
    for _, name, _, forward, backward, _ in rows("equation"):
        name = name.strip("`")
        assert re.findall(r"`(\w+)`", forward) == written.get(name, []), name
        assert re.findall(r"`(\w+)`", backward) == written.get(f"d{name}", []), name


def writers(model):
    """Which functions write to which array in a forward and a backward pass: {name: functions, in order}.

    A function writes what has changed from one call of another function to the next.
    """
    rng = np.random.default_rng(0)
    params = make_params(model, 4, rng)
    tokens, targets = rng.integers(0, 4, (2, 3)), rng.integers(0, 4, (2, 3))
    cache, dcache = (empty_cache(params, tokens, targets, True) for _ in range(2))
    dparams = Params(*(np.empty_like(array) for array in params))
    arrays = {name: getattr(cache, name) for name in ACTIVATION_NAMES}
    arrays |= {f"d{name}": getattr(dcache, name) for name in ACTIVATION_NAMES}
    arrays |= {f"d{name}": getattr(dparams, name) for name in PARAMETER_NAMES}
    for array in arrays.values():
        array[...] = np.nan
    before = {name: array.copy() for name, array in arrays.items()}
    written, running = {}, []

    def note():
        for name, array in arrays.items():
            if not np.array_equal(array, before[name], equal_nan=True):
                before[name] = array.copy()
                written.setdefault(name, [])
                written[name] += [running[-1]] * (running[-1] not in written[name])

    def watched(name, function):
        def call(*args):
            note()
            running.append(name)
            result = function(*args)
            note()
            running.pop()
            return result

        return call

    functions = plain_functions()
    for name in [name for name in functions if name.endswith(("_forward", "_backward", "_pass", "_mid"))]:
        functions[name] = watched(name, functions[name])
    functions["forward_pass"](params, cache)
    functions["backward_pass"](params, cache, dparams, dcache)
    return written


def test_the_figures_are_there():
    names = figure_names()
    for _, name, _, _, _, numbers in rows("equation"):
        for number in numbers.split(", "):
            start = f"supplementary/{number[1:]}_" if number.startswith("S") else f"{number}_"
            assert any(figure.startswith(start) for figure in names), (name, number)
    (named,) = re.findall(r"--figure (supplementary/\w+)", TEXT)
    assert named in names


def test_exercises_are_the_quizzes():
    assert rows("quiz") == [
        [f"`{name}`", f"`{entry.layer}_backward`", entry.question] for name, entry in QUIZZES.items()
    ]


def test_functions_named_in_the_text_exist():
    names = set(re.findall(r"`(\w+_(?:forward|backward|pass|update|heads))`", TEXT)) - set(QUIZZES)
    assert len(names) > 15 and names <= set(plain_functions())
    for path in set(re.findall(r"scratchformer/\w+\.py", TEXT)):
        ast.parse((REPO / path).read_text("utf-8"))
