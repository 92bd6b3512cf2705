"""Quizzes: backward functions with one error planted, for a learner to repair.

`quiz(name)` first hands out a file under quiz/; each later call judges what has become of it. The
function is the engine's own source with a piece replaced (`errors.py`), and the engine's forward
function judges by central differences (`trial.py`, `answer.py`).
"""

import ast
import inspect
import re
import textwrap
from pathlib import Path

import numpy as np

from scratchformer.system.errors import RunError, nearest
from scratchformer.system.files import write_atomically
from scratchformer.system.program import command_line
from scratchformer.tools.quiz.answer import judge_file
from scratchformer.tools.quiz.errors import QUIZZES
from scratchformer.tools.quiz.trial import CASES, Trial, judge_backward, step_of


def quiz(name=None, folder="quiz", hint=False, fresh=False):
    """One call of a quiz: hands out `folder`/name.py if it is not there, else judges it -> (text, exit code).

    The code is 0 if the file was handed out or is right, else 1. None or "list" lists the quizzes; fresh:
    hand it out again, whatever the learner has made of it.
    Raises RunError for an unknown name or a file that cannot be read, OSError if none can be written.
    """
    if name in (None, "list"):
        return list_quizzes(), 0
    if name not in QUIZZES:
        raise RunError(f"no quiz {name!r}{nearest(name, ['list', *QUIZZES])}")
    path = Path(folder) / f"{name}.py"
    step, again = step_of(QUIZZES[name].step), command_line(f"--quiz {name}")
    wanted = step.function.__name__
    if path.exists() and not fresh:
        lines, code = judge_file(
            path, [wanted],
            lambda functions, rebound: judge_backward(functions[wanted], step.name, rebound[wanted]),
        )
        if code == 0:
            return "\n".join([lines[0], *next_quiz(name)]), 0
        if path.read_text("utf-8") == handed_out(name):
            lines.append("the file is unchanged so far")
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, handed_out(name).encode())
        lines = [f"{path}: {wanted} with one error planted in it",
                 f"    {QUIZZES[name].question}", "Fix it there, then check with", f"    {again}"]
        code = 0
    lines.append(f"hint: {QUIZZES[name].hint}" if hint else f"a hint: {again} --hint")
    return "\n".join(lines), code


def next_quiz(name):
    """A line that names the quiz after this one, if there is one."""
    names = list(QUIZZES)
    after = names[names.index(name) + 1 :]
    return [f"next: {command_line(f'--quiz {after[0]}')}"] if after else []


def list_quizzes():
    """The quizzes as text, one line each, from the loss backwards."""
    lines = [f"{name:<16}{entry.question}" for name, entry in QUIZZES.items()]
    return "\n".join([
        *lines, f"{command_line('--quiz NAME')} hands one out; called again, it judges your repair",
    ])


# handing out

def handed_out(name):
    """The text of a quiz's file: what to do, the forward pass, the function with its error."""
    step = step_of(QUIZZES[name].step)
    backward = step.function.__name__
    trial = Trial(step.name, CASES[0], np.random.default_rng(0))
    forward = trial.forward
    output = forward[-1].name
    start = "The gradient of the loss itself is 1." if output == "loss" else f"d{output} is given."
    header = [
        f"Quiz {name}: one error is planted in {backward}. Find it and fix it.",
        QUIZZES[name].question, "",
        f"Check:   {command_line(f'--quiz {name}')}", f"Hint:    {command_line(f'--quiz {name} --hint')}",
        "Theory:  docs/backprop.md", "", "The forward pass:", "",
        *(f"    {made.formula}" for made in forward), "",
        *(line for made in forward for line in described(made.function)), "",
        "Each gradient is called d and the name of its value, and has its value's shape. The backward pass",
        f"calls {called(step)}.",
        f"{start} The function fills the other gradients, which come filled with nan:",
        "write into them, dx[...] = ...; a new array under the same name is not seen by the caller.",
        *(f"d{fill} holds the gradient of another route already: add to it."
          for (_, fill), before in trial.before.items() if before.any()),
        "np, sqrt and the engine's other functions are defined here.",
    ]
    return "".join(f"# {line}".rstrip() + "\n" for line in header) + "\n\n" + plant(name)


def called(step):
    """The call of a step as the backward pass has it."""
    arguments = ", ".join(f"{container}.{name}" for container, name in step.arguments)
    return f"{step.function.__name__}({arguments})"


def described(function):
    """The docstring of a forward function as lines of a comment, after its name and arguments."""
    plain = getattr(function, "py_func", function)
    doc = inspect.getdoc(plain).splitlines()
    return [f"{plain.__name__}({', '.join(inspect.signature(plain).parameters)}):",
            *(textwrap.indent(line, "    ") for line in doc)]


def plant(name):
    """The source of a quiz's function with its error, without the docstring that tells the solution."""
    entry = QUIZZES[name]
    source = bare_source(step_of(entry.step).function)
    for right, wrong in entry.changes:
        assert source.count(right) == 1, f"quiz {name}: the engine does not hold once: {right}"
        source = source.replace(right, wrong)
    return source


def bare_source(function):
    """The source of an engine's function, without decorator and docstring; comments stand two spaces behind
    the code, so that none tells by its place what was replaced."""
    lines = inspect.getsource(getattr(function, "py_func", function)).splitlines(keepends=True)
    (node,) = ast.parse("".join(lines)).body
    doc = node.body[0]
    source = "".join(lines[node.lineno - 1 : doc.lineno - 1] + lines[doc.end_lineno :])
    return re.sub(r"(?<=\S) {2,}# ", "  # ", source)
