"""Quizzes: backward functions with one error planted, for a learner to repair.

`quiz(name)` first hands out a file under quiz/; each later call judges what has become of it. The
function is the engine's own source with a piece replaced (`quiz_errors.py`), and the engine's forward
function judges by central differences (`quiz_trial.py`).
"""

import ast
import traceback
from pathlib import Path

from scratchformer.system.errors import nearest
from scratchformer.engine.plain import plain_functions
from scratchformer.tools.quiz.errors import QUIZZES
from scratchformer.tools.quiz.trial import LAYERS, compare
from scratchformer.system.errors import RunError
from scratchformer.system.files import write_atomically


def quiz(name, folder="quiz", hint=False):
    """One call of a quiz: hands out `folder`/name.py if it is not there, else judges it -> (text, exit code).

    The code is 0 if the file was handed out or is right, else 1. "list" lists the quizzes.
    Raises RunError for an unknown name or a file that cannot be read, OSError if none can be written.
    """
    if name == "list":
        return list_quizzes(), 0
    if name not in QUIZZES:
        raise RunError(f"no quiz {name!r}{nearest(name, ['list', *QUIZZES])}")
    path = Path(folder) / f"{name}.py"
    backward = f"{QUIZZES[name].layer}_backward"
    if path.exists():
        lines, code = judge(path, QUIZZES[name].layer)
        if code == 0:
            return lines[0], 0
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, handed_out(name).encode())
        lines = [f"{path}: {backward} with one error planted in it", f"    {QUIZZES[name].question}",
                 "Repair it there; whether it is right says", f"    python run.py --quiz {name}"]
        code = 0
    if hint:
        lines.append(f"hint: {QUIZZES[name].hint}")
    else:
        lines.append(f"a hint: python run.py --quiz {name} --hint")
    return "\n".join(lines), code


def list_quizzes():
    """The quizzes as text, one line each, from the loss backwards."""
    lines = [f"{name:<16}{entry.question}" for name, entry in QUIZZES.items()]
    return "\n".join([*lines, "python run.py --quiz NAME hands one out; called again, it judges your repair"])


# handing out

def handed_out(name):
    """The text of a quiz's file: what to do, the forward pass, the function with its error."""
    layer = LAYERS[QUIZZES[name].layer]
    forward, backward = (f"{QUIZZES[name].layer}_{way}" for way in ("forward", "backward"))
    formula = ast.get_docstring(find_function(layer.module, forward)).splitlines()
    output = layer.fills.split()[-1]
    start = "The gradient of the loss itself is 1." if output == "loss" else f"d{output} is given."
    header = [
        f"Quiz {name}: one error is planted in {backward}. Find it and repair it.",
        QUIZZES[name].question, "",
        f"Check:   python run.py --quiz {name}", f"Hint:    python run.py --quiz {name} --hint",
        "Theory:  docs/backprop.md", "",
        f"The forward pass, {forward} of scratchformer/{layer.module}.py:", "",
        *("    " + line if line else "" for line in formula), "",
        "Each gradient is called d and the name of its value, and has its value's shape.",
        f"{start} The function fills the other gradients.",
        *([f"d{layer.adds} holds the gradient of another route already: add to it."] if layer.adds else []),
        "np, sqrt and the engine's other functions are defined here.",
    ]
    return "".join(f"# {line}".rstrip() + "\n" for line in header) + "\n\n" + plant(name)


def plant(name):
    """The source of a quiz's function with its error, without the docstring that tells the solution."""
    entry = QUIZZES[name]
    source = bare_source(LAYERS[entry.layer].module, f"{entry.layer}_backward")
    for right, wrong in entry.changes:
        assert source.count(right) == 1, f"quiz {name}: the engine does not hold once: {right}"
        source = source.replace(right, wrong)
    return source


def bare_source(module, name):
    """The source of an engine's function, without decorator and docstring."""
    function = find_function(module, name)
    lines = module_path(module).read_text("utf-8").splitlines(keepends=True)
    doc = function.body[0]
    return "".join(lines[function.lineno - 1 : doc.lineno - 1] + lines[doc.end_lineno : function.end_lineno])


def find_function(module, name):
    """The syntax tree of an engine's function."""
    tree = ast.parse(module_path(module).read_text("utf-8"))
    return next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)


def module_path(module):
    return Path(__file__).parent.parent.parent / "engine" / f"{module}.py"


# judging

def judge(path, layer):
    """What is to be said of a learner's file: (lines, exit code)."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: cannot be read: {error}") from error
    try:
        learned = plain_functions()
        del learned[f"{layer}_backward"]
        exec(compile(text, path, "exec"), learned)
        if f"{layer}_backward" not in learned:
            return [f"{path}: there is no function {layer}_backward in it"], 1
        return compare(learned[f"{layer}_backward"], layer)
    except (Exception, SystemExit) as error:
        return [complaint(path, error)], 1


def complaint(path, error):
    """What went wrong in a learner's file, and in which line."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    if isinstance(error, SyntaxError):
        lines, message = [error.lineno or 1], error.msg
    else:
        message = " ".join(str(error).split())
    where = f"{path}:{lines[-1]}" if lines else str(path)
    return f"{where}: {type(error).__name__}: {message}"
