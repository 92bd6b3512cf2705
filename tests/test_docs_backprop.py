import ast
import re
import sys
import textwrap

import pytest
from conftest import REPO

from scratchformer.engine.names import TABLE
from scratchformer.engine.plain import plain_functions
from scratchformer.figures.catalogue import figure_names
from scratchformer.figures.f01_architecture_overview import PLACES
from scratchformer.tools.quiz.errors import QUIZZES

sys.path.insert(0, str(REPO / "docs"))
import tables  # noqa: E402

TEXT = (REPO / "docs" / "backprop.md").read_text("utf-8")
SOURCE = re.compile(r"^`(scratchformer/[\w/]+\.py)`, `(\w+)`:$")


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
    lines = TEXT[TEXT.index(f"\n| {first} |") + 1:].split("\n<!--")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize(("path", "function", "code"), quoted())
def test_code_is_quoted_from_the_source(path, function, code):
    source = (REPO / path).read_text("utf-8")
    (node,) = (
        node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == function
    )
    lines = source.splitlines()[node.lineno - 1 : node.end_lineno]
    if path.endswith("passes.py"):              # the equations beside its calls are in the table
        lines = [line.partition("  # ")[0].rstrip() for line in lines]
    bare = "\n".join(lines)
    indents = [textwrap.indent(code, " " * n) for n in (4, 8, 12, 16)]
    assert code.strip() and any(f"\n{text}\n" in bare + "\n" for text in indents), code


def test_every_backward_function_is_quoted():
    shown = {function for _, function, _ in quoted()}
    jitted = {name for name in plain_functions() if name.endswith("_backward")}
    assert jitted | {"adam_update", "backward_pass"} == shown
    assert TEXT.count("```") == 2 * len(quoted())


def test_the_tables_are_those_of_the_engine():
    assert tables.fill_tables(TEXT) == TEXT
    assert [name.strip("`") for _, name, *_ in rows("equation")] == list(TABLE)
    assert set(PLACES) == set(TABLE) - {"use_residual"}         # figure 01 shows all of them
    assert [name.strip("`") for name, *_ in rows("quiz")] == list(QUIZZES)


def test_the_figures_are_there():
    names = figure_names()
    for _, name, _, _, _, numbers in rows("equation"):
        for number in numbers.split(", "):
            start = f"supplementary/{number[1:]}_" if number.startswith("S") else f"{number}_"
            assert any(figure.startswith(start) for figure in names), (name, number)
    (named,) = re.findall(r"--figure (supplementary/\w+)", TEXT)
    assert named in names


def test_functions_named_in_the_text_exist():
    names = set(re.findall(r"`(\w+_(?:forward|backward|pass|update|heads))`", TEXT)) - set(QUIZZES)
    assert len(names) > 15 and names <= set(plain_functions())
    for path in set(re.findall(r"scratchformer/[\w/]+\.py", TEXT)):
        ast.parse((REPO / path).read_text("utf-8"))
