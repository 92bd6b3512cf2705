"""The course: twelve lessons from softmax to Adam, each functions of the engine for the learner to write.

`course(name)` first hands out a file under course/; each later call judges what has become of it
(`judge.py`). What was right, and with how much help, is kept in course/progress.json.
"""

import inspect
import json
from pathlib import Path

from scratchformer.engine.names import TABLE
from scratchformer.engine.plain import plain_functions
from scratchformer.system.errors import RunError, nearest
from scratchformer.system.files import read_file, write_atomically
from scratchformer.system.program import command_line
from scratchformer.tools.course.judge import judge_functions, step_for
from scratchformer.tools.course.lessons import LESSONS
from scratchformer.tools.quiz.answer import judge_file, rebound

NAMES = list(LESSONS)
FRESH = {"right": False, "hints": 0, "solution": False}
ARGUMENTS = {                           # of the functions that the passes do not call themselves
    "softmax_forward": {
        "x": "(N, I, J), read", "causal": "True or False", "p": "(N, I, J), to be filled",
    },
    "adam_update": {
        "theta": "(P,), the parameters, to be changed", "gradient": "(P,), read",
        "m": "(P,), to be changed", "v": "(P,), to be changed", "step": "which update this is, from 1 on",
        "learning_rate": "a number", "settings": "beta1, beta2, epsilon, weight_decay",
    },
}


def course(name=None, folder="course", hint=False, solution=False, fresh=False):
    """One call of the course: where one is, or a lesson handed out, or judged -> (text, exit code).

    name: of a lesson, or its number, or "train": train with the learner's functions; hint: the next stronger
    one, after those before; solution: the engine's own source; fresh: hand the lesson out again
    The code is 0 if what was asked for is right or was done, else 1.
    Raises RunError for an unknown name or a file that cannot be read, OSError if none can be written.
    """
    folder = Path(folder)
    if name is None:
        return overview(folder), 0
    if name == "train":
        from scratchformer.tools.course.train import train_with

        paths = {each: lesson_path(each, folder) for each in NAMES if state_of(each, folder)["right"]}
        return train_with({each: path for each, path in paths.items() if path.exists()})
    name = find_lesson(name)
    if solution:
        keep_progress(folder, name, solution=True)
        return engine_source(name), 0
    path, again = lesson_path(name, folder), command_line(f"--course {name}")
    if path.exists() and not fresh:
        lines, code = judge_file(path, LESSONS[name].functions, judge_functions)
        if code == 0:
            keep_progress(folder, name, right=True)
            return "\n".join([*lines, next_line(folder)]), 0
        if path.read_text("utf-8") == lesson_text(name):
            lines.append("the file is unchanged so far")
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lesson_text(name).encode())
        lines, code = [f"{path}: {LESSONS[name].task}", "Write it there, then check with", f"    {again}"], 0
    return "\n".join([*lines, *(hints(folder, name) if hint else [f"a hint: {again} --hint"])]), code


def judge_written(name, functions, folder="course"):
    """The verdict on functions of a lesson that were written in a notebook: (text, exit code).

    What is right is kept as the lesson's file, if there is none yet.
    Raises RunError if one that is asked for is missing.
    """
    name, given = find_lesson(name), {function.__name__: function for function in functions}
    wanted = LESSONS[name].functions
    missing = [each for each in wanted if each not in given]
    if missing:
        raise RunError(f"{name} asks for {', '.join(wanted)}: {missing[0]} is missing")
    lines, code = judge_functions(
        {each: given[each] for each in wanted},
        {each: rebound(source_of(given[each]), each) for each in wanted},
    )
    if code == 0:
        folder = Path(folder)
        keep_progress(folder, name, right=True)
        if not lesson_path(name, folder).exists():
            sources = "\n\n\n".join(source_of(given[each]) for each in wanted)
            write_atomically(lesson_path(name, folder), f"{sources}\n".encode())
        lines.append(next_line(folder))
    return "\n".join(lines), code


def show_lesson(name, hint, folder="course"):
    """A lesson, or its next hint, as a text for a notebook."""
    name = find_lesson(name)
    if hint:
        return "\n".join(hints(Path(folder), name)[:-1])
    return lesson_text(name, notebook=True)


def source_of(function):
    """The source of a function, "" where there is none to be had."""
    try:
        return inspect.cleandoc("\n" + inspect.getsource(function))
    except (OSError, TypeError):
        return ""


def find_lesson(name):
    """The name of a lesson that is named or numbered; RunError if there is none."""
    if name.isdecimal() and 1 <= int(name) <= len(NAMES):
        return NAMES[int(name) - 1]
    if name not in LESSONS:
        raise RunError(f"no lesson {name!r}{nearest(name, [*NAMES, 'train'])}")
    return name


def lesson_path(name, folder):
    """The learner's file of a lesson."""
    return folder / f"{name.replace('-', '_')}.py"


# progress

def read_progress(folder):
    """What was right, and with how much help: {name: {right, hints, solution}}; RunError if it is damaged."""
    path = folder / "progress.json"
    if not path.exists():
        return {}
    try:
        found = json.loads(read_file(path))
        return {name: FRESH | {key: type(FRESH[key])(state[key]) for key in FRESH if key in state}
                for name, state in found.items() if name in LESSONS}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: cannot be read ({error}); remove it, and judge your files again") from error


def state_of(name, folder):
    """The progress of one lesson."""
    return read_progress(folder).get(name, FRESH)


def keep_progress(folder, name, **changes):
    """Keep what has become of a lesson."""
    progress = read_progress(folder)
    progress[name] = progress.get(name, FRESH) | changes
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "progress.json", (json.dumps(progress, indent=1) + "\n").encode())


def hints(folder, name):
    """The hints of a lesson up to one more than last time."""
    count = min(state_of(name, folder)["hints"] + 1, len(LESSONS[name].hints))
    keep_progress(folder, name, hints=count)
    lines = [f"hint {number + 1} of 3: {text}" for number, text in enumerate(LESSONS[name].hints[:count])]
    more = f"a stronger one: {command_line(f'--course {name} --hint')}"
    last = f"the solution: {command_line(f'--course {name} --solution')}"
    return [*lines, more if count < 3 else last]


def overview(folder):
    """Where one is: every lesson with its state, and what comes next."""
    progress = read_progress(folder)
    lines = []
    for number, (name, lesson) in enumerate(LESSONS.items(), 1):
        state = progress.get(name, FRESH)
        words = ["right"] * state["right"] or ["begun"] * lesson_path(name, folder).exists()
        words += [f"{state['hints']} hint{'s' * (state['hints'] > 1)}"] * bool(state["hints"])
        words += ["solution seen"] * state["solution"]
        lines.append(f"{number:>2} {name:<13}{', '.join(words):<32}{lesson.task}".rstrip())
    return "\n".join([*lines, next_line(folder)])


def next_line(folder):
    """A line that says what to do next."""
    progress = read_progress(folder)
    left = [name for name in NAMES if not progress.get(name, FRESH)["right"]]
    train = f"{command_line('--course train')} trains a model with what you wrote"
    if not left:
        return f"all {len(NAMES)} are right: {train}"
    done = f"{len(NAMES) - len(left)} of {len(NAMES)} are right"
    return f"{done}; next: {command_line(f'--course {left[0]}')}" + f"; {train}" * (len(left) < len(NAMES))


# handing out

def lesson_text(name, notebook=False):
    """The text of a lesson's file: what to compute, how the derivation begins, the functions without body."""
    lesson = LESSONS[name]
    again, more = command_line(f"--course {name}"), "      (again: a stronger one)"
    ways = [f"Check:     {again}", f"Hint:      {again} --hint{more}", f"Solution:  {again} --solution"]
    loops = "Write loops or whole arrays."
    defined = f"np, exp, log, sqrt and the engine's other functions are defined here. {loops}"
    if notebook:
        call = f'sf.course("{name}"'
        ways = [f"Check:     {call}, {', '.join(lesson.functions)})", f"Hint:      {call}, hint=True){more}",
                f"Solution:  {call}, solution=True)"]
        defined = loops
    lines = [
        f"Course, {NAMES.index(name) + 1} of {len(NAMES)}, {name}: {lesson.task}", "",
        *lesson.start.splitlines(), "",
        *ways, "Theory:    docs/backprop.md", "", defined,
    ]
    if name != "adam":
        lines.append("Write into the array that is to be filled, p[...] = ...; it comes filled with nan.")
    functions = "".join(f"\n\n{empty_function(each)}" for each in lesson.functions)
    return "".join(f"# {line}".rstrip() + "\n" for line in lines) + functions


def empty_function(name):
    """A function of the engine without its body: its arguments, what each is, and where it is called."""
    labels = list(inspect.signature(plain_functions()[name]).parameters)
    if name in ARGUMENTS:
        about, called = ARGUMENTS[name], ""
    else:
        step = step_for(name)
        about = dict(zip(labels, (describe_argument(key, step) for key in step.arguments), strict=True))
        where = f"{'backward' if name.endswith('_backward') else 'forward'}_pass"
        called = f"    # as the {where} calls it for {step.name}\n"
    width = max(map(len, labels))
    lines = "".join(f"    # {label:<{width}}  {about[label]}\n" for label in labels)
    return f"def {name}({', '.join(labels)}):\n{called}{lines}    ...\n"


def describe_argument(key, step):
    """The shape of an argument of a step, what it is, and whether it is read or filled."""
    container, name = key
    if name == "use_residual":
        return TABLE[name].meaning
    dims = "block_size C" if name == "W_pos" else TABLE[name].dims
    shape = f"({', '.join(dims.split())}{',' * (len(dims.split()) == 1)})"
    if key not in step.fills:
        return f"{shape}, {container}.{name}"
    adds = container == "d" and name == "embed" and step.function.__name__ == "project_backward"
    return f"{shape}, {container}.{name}, {'to be added to' if adds else 'to be filled'}"


def engine_source(name):
    """The engine's own functions of a lesson, as they stand in its source."""
    parts = []
    for each in LESSONS[name].functions:
        function = plain_functions()[each]
        path = Path(inspect.getsourcefile(function.__code__))
        source = inspect.getsource(function.__code__).removeprefix("@jit\n")
        parts.append(f"# {path.parent.name}/{path.name}\n{source}")
    return "\n\n".join(parts).rstrip()
