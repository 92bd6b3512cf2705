"""A learner's file: run within a limit of time, its functions judged, its mistakes told in a line."""

import ast
import traceback

from scratchformer.engine.plain import plain_functions
from scratchformer.run.foreign import TooLong, limited
from scratchformer.system.errors import RunError

SECONDS = 10                            # that a learner's functions may take for all their trials


def judge_file(path, wanted, check):
    """What is to be said of a learner's file: (lines, exit code).

    wanted: names of the functions asked for; check(functions, rebound) -> (lines, exit code): the verdict on
    them, by name, and on the arguments that they rebind, {function: {argument: line}}

    Raises RunError for a file that cannot be read.
    """
    late = f"{path}: has not come to an end after {SECONDS} s: does a loop never end?"
    text = learners_text(path)
    try:
        with limited(SECONDS, lambda: late):
            learned = load_functions(text, path, wanted)
            missing = [name for name in wanted if name not in learned]
            if missing:
                return [f"{path}: there is no function {missing[0]} in it"], 1
            return check(
                {name: learned[name] for name in wanted}, {name: rebound(text, name) for name in wanted},
            )
    except TooLong:
        return [late], 1
    except (Exception, SystemExit) as error:
        return complaint(path, error), 1


def learners_text(path):
    """The text of a learner's file; RunError if there is none to be read."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: cannot be read: {error}") from error


def load_functions(text, path, wanted):
    """What a learner's file defines, among the engine's functions but for those wanted."""
    learned = plain_functions()
    for name in wanted:
        del learned[name]
    exec(compile(text, path, "exec"), learned)
    return learned


def rebound(text, function):
    """{argument: line} of the arguments of a function that are given another array, not written into."""
    found = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.name == function:
            arguments = {argument.arg for argument in node.args.args}
            for inner in ast.walk(node):
                for target in inner.targets if isinstance(inner, ast.Assign) else ():
                    if isinstance(target, ast.Name) and target.id in arguments:
                        found.setdefault(target.id, inner.lineno)
    return found


def complaint(path, error):
    """Lines on what went wrong in a learner's file, and where: with a syntax error also the line itself."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    shown = []
    if isinstance(error, SyntaxError):
        lines, message = [error.lineno or 1], error.msg
        if error.text:
            bare = error.text.rstrip()
            at = max(error.offset or 1, 1) - 1 - (len(bare) - len(bare.lstrip()))
            shown = ["    " + bare.strip(), "    " + " " * max(at, 0) + "^"]
    else:
        message = " ".join(str(error).split())
    where = f"{path}:{lines[-1]}" if lines else str(path)
    return [f"{where}: {type(error).__name__}: {message}", *shown]
