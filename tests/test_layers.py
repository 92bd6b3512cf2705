"""The rooms of the package: imports point one way, and a public function's name is found in one place."""

import ast
from collections import defaultdict

import pytest
from conftest import REPO

BELOW = {                               # what each room may import, besides itself
    "engine": set(),
    "system": set(),
    "run": {"engine", "system"},
    "analysis": {"engine", "system", "run"},
    "tools": {"engine", "system", "run", "analysis"},
    "figures": {"engine", "system", "run", "analysis"},
    "commands": {"engine", "system", "run", "analysis", "tools", "figures"},
}
FACES = ("__init__", "face")            # modules of scratchformer/ itself: they may import everything


def folder_of(room):
    """Where a room's modules lie: in a checkout figures/ is beside the package."""
    inside = REPO / "scratchformer" / room
    return inside if inside.is_dir() else REPO / room


def modules(room):
    """{dotted name: syntax tree} of a room's modules."""
    folder = folder_of(room)
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        name = ".".join(("scratchformer", room, *parts)).removesuffix(".__init__")
        found[name] = ast.parse(path.read_text("utf-8"))
    return found


def imported(name, tree, is_package=False):
    """Dotted names of all that a module imports, inside functions as well; relative imports made absolute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = name.split(".")
            base = parts[: len(parts) - node.level + is_package] if node.level else []
            source = ".".join([*base, *filter(None, [node.module])])
            yield from (f"{source}.{alias.name}" for alias in node.names)


def rooms_of(names):
    """The rooms that dotted names lie in; "face" for what lies in none, such as scratchformer.train."""
    for name in names:
        top, *rest = name.split(".")
        if top in ("scratchformer", "figures", "run"):          # a checkout's other doors to the same code
            room = top if top == "figures" else (rest or ["face"])[0]
            yield room if room in BELOW else "face"


@pytest.mark.parametrize("room", BELOW)
def test_imports_point_one_way(room):
    found = modules(room)
    assert found
    wrong = [
        f"{name} imports {other}" for name, tree in found.items()
        for other in sorted(set(rooms_of(imported(name, tree)))) if other not in BELOW[room] | {room}
    ]
    assert not wrong, "\n".join(wrong)


def test_every_module_is_in_a_room():
    package = REPO / "scratchformer"
    assert {path.stem for path in package.glob("*.py")} <= set(FACES)
    folders = {path.parent.relative_to(package).parts[0] for path in package.glob("*/**/*.py")}
    assert folders <= set(BELOW)


def test_wrong_imports_are_seen():
    tree = ast.parse(
        "import scratchformer.tools.quiz\nfrom .. import figures\ndef f():\n    from ..commands.x import y\n"
        "from scratchformer import train\nimport numpy\nfrom figures import style\n"
    )
    assert list(rooms_of(imported("scratchformer.run.job", tree))) == [
        "tools", "figures", "face", "figures", "commands",
    ]


def test_public_functions_have_names_of_their_own():
    places = defaultdict(list)
    for room in set(BELOW) - {"figures"}:
        for module, tree in modules(room).items():
            for node in tree.body:
                if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                    places[node.name].append(module)
    del places["run"]                   # every command has one, as every figure has a draw and a caption
    shared = {name: sorted(found) for name, found in places.items() if len(found) > 1}
    assert not shared, "\n".join(f"{name}: {', '.join(found)}" for name, found in sorted(shared.items()))
