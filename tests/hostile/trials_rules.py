"""Rules of others: files that hang, end the program, answer anything, or are called as Python's own modules."""

from dataclasses import replace

from harness import GOOD, TINY, Fifo, Folder, Link, Trial


SHORT = ("--set training.steps=2 --set data.num_sequences=20 --set training.eval_windows=10 "
         "--set training.warmup_steps=0 --figure 5")


def rule(kind, name, body, line, code=2, head="", tail="", **more):
    """A trial of a rule whose function has this body."""
    lines = "".join(f"    {text}\n" for text in body.split("\n"))
    return Trial(kind, name, f"mine.py {SHORT}", code, line,
                 files={"mine.py": f"{head}\ndef rule(history):\n{lines}{tail}"}, **more)


def config(name, trust, line, code=2, **more):
    """A trial of a config that names a rule's file."""
    files = {"mine.py": "open('executed', 'w')\n" + GOOD, "a.toml": TINY + '[extra]\n'}
    files["a.toml"] = TINY.replace("[data]", '[data]\nrule = "mine.py"')
    return Trial("trust", name, f"a.toml {trust}", code, line, files=files | more.pop("files", {}), **more)


NEVER = "has not answered after 1 s, after the history \\["
QUICK = "from scratchformer.run import foreign\nforeign.CALL, foreign.LOADING = 1.0, 2.0"
HANGS = [
    rule("rules that hang", "while", "while True: pass", NEVER),
    rule("rules that hang", "while with sleep", "import time\nwhile True: time.sleep(0.1)", NEVER),
    rule("rules that hang", "sleep", "import time\ntime.sleep(1000)", NEVER),
    rule("rules that hang", "recursion of generators", "import itertools\nfor i in itertools.count(): pass", NEVER),
    rule("rules that hang", "input from a pipe", "import os\nr, w = os.pipe()\nos.read(r, 1)", NEVER),
    rule("rules that hang", "a lock", "import threading\nl = threading.Lock(); l.acquire(); l.acquire()", NEVER),
    rule("rules that hang", "a regular expression", "import re\nre.match('(a+)+b', 'a' * 60)", NEVER),
    rule("rules that hang", "catches everything",
         "while True:\n    try:\n        while True: pass\n    except BaseException: pass", NEVER),
    rule("rules that hang", "sum in C", "sum(iter(int, 1))", "does not return"),
    rule("rules that hang", "max in C", "import itertools\nmax(itertools.repeat(1))", "does not return"),
    rule("rules that hang", "late", "if len(history) > 12:\n    while True: pass\nreturn None", NEVER),
    rule("rules that hang", "only on one token", "while history[-1] == 7: pass\nreturn {1}", NEVER),
    rule("rules that hang", "at import", "return {1}", "still loading after 2 s", head="while True: pass"),
    rule("rules that hang", "sleep at import", "return {1}", "still loading after 2 s",
         head="import time\ntime.sleep(99)"),
]

HANGS = [replace(trial, before=QUICK) for trial in HANGS] + [
    rule("rules that hang", "as long as it may", "while True: pass", "has not answered after 5 s", slow=True),
    rule("rules that hang", "at import, as long as it may", "return {1}", "still loading after 30 s",
         head="while True: pass", slow=True),
]

ENDS = [
    rule("rules that end the program", name, body, line, code)
    for name, body, line, code in [
        ("sys.exit", "import sys\nsys.exit()", "raises .*SystemExit, after the history", 2),
        ("sys.exit with a code", "import sys\nsys.exit(0)", "SystemExit", 2),
        ("sys.exit with a text", "import sys\nsys.exit('bye')", "SystemExit: bye", 2),
        ("raise SystemExit", "raise SystemExit", "SystemExit", 2),
        ("KeyboardInterrupt", "raise KeyboardInterrupt", "raises .*KeyboardInterrupt", 2),
        ("GeneratorExit", "raise GeneratorExit", "GeneratorExit", 2),
        ("BaseException", "raise BaseException('x')", "BaseException: x", 2),
        ("os._exit", "import os\nos._exit(0)", "os._exit or the like", 1),
        ("os._exit with a code", "import os\nos._exit(7)", "os._exit or the like", 1),
        ("os.abort", "import os\nos.abort()", "ended by signal 6", 1),
        ("kill -9 itself", "import os\nos.kill(os.getpid(), 9)", "ended by signal 9", 1),
        ("a segmentation fault", "import ctypes\nctypes.string_at(0)", "ended by signal 11", 1),
        ("deep recursion", "def f(): return f()\nf()", "RecursionError", 2),
        ("memory", "return bytearray(10**15)", "MemoryError", 2),
        ("quit()", "quit()", "SystemExit|NameError", 2),
        ("stop iteration", "next(iter([]))", "StopIteration", 2),
    ]
] + [
    Trial("rules that end the program", f"at import: {name}", "mine.py", code, line, files={"mine.py": text + GOOD})
    for name, text, line, code in [
        ("sys.exit", "import sys\nsys.exit()\n", "mine.py:2: SystemExit", 2),
        ("os._exit", "import os\nos._exit(0)\n", "os._exit or the like", 1),
        ("raise", "raise ValueError\n", "mine.py:1: ValueError", 2),
        ("a missing module", "import nothing_of_that_name\n", "ModuleNotFoundError: No module named", 2),
        ("a syntax error", "def\n", "SyntaxError", 2),
        ("a tab", "if 1:\n\tx=1\n        y=2\n", "TabError|IndentationError", 2),
        ("an interrupt", "raise KeyboardInterrupt\n", "KeyboardInterrupt", 2),
        ("an error with a bad text", "class E(Exception):\n    def __str__(self): return 1/0\nraise E\n", "E", 2),
        ("a long message", "raise ValueError('x' * 100_000)\n", "100000 characters", 2),
        ("escape codes", "raise ValueError('\\x1b[31m red')\n", r"\\x1b\[31m red", 2),
        ("a null byte", "\0\n", "null bytes", 2),
        ("another coding", "# coding: nonsense\n", "unknown encoding", 2),
    ]
]

ANSWERS = [
    rule("what rules answer", name, body, line, code, head=head)
    for name, body, line, code, head in [
        ("bad repr", "return Bad()", "cannot be shown, not a set", 2,
         "class Bad:\n    def __repr__(self): return 1/0\n"),
        ("bad hash", "return {Bad()}", "ZeroDivisionError", 2, "class Bad:\n    def __hash__(self): return 1//0\n"),
        ("bad equality", "return {Bad()}", "no token", 2,
         "class Bad:\n    __hash__ = lambda self: 1\n    def __eq__(self, other): return 1/0\n"),
        ("bad truth", "return Bad([1])", "rule", 0,
         "class Bad(set):\n    def __bool__(self): return 1/0\n    def __iter__(self): return 1/0\n"),
        ("a coroutine", "return 1", "without async", 2, ""),
        ("a class", "return set", "not a set of tokens", 2, ""),
        ("a dict", "return {1: 2}", "not a set of tokens", 2, ""),
        ("an array", "import numpy\nreturn numpy.ones(3)", "not a set of tokens", 2, ""),
        ("floats", "return {1.0}", "allows 1.0, which is no token", 2, ""),
        ("a large set", "return set(range(10**6))", "which is no token", 2, ""),
        ("a long text", "return 'x' * 100_000", "100002 characters", 2, ""),
        ("escape codes", "return {'\\x1b[2J'}", r"\\x1b\[2J", 2, ""),
        ("NumPy booleans", "import numpy\nreturn {numpy.bool_(True)}", "no token", 2, ""),
        ("nothing", "return set()", "an empty set", 2, ""),
        ("nothing at all", "return None", "None after every history", 2, ""),
        ("takes away from the history", "history.pop()\nreturn None", "changes the history", 2, ""),
        ("adds to the history", "history.append(1)\nreturn None", "changes the history", 2, ""),
        ("random", "import random\nreturn {random.randrange(11)}", "answers", 2, ""),
        ("the time", "import time\nreturn {time.time_ns() // 1000 % 11}", "answers", 2, ""),
    ]
]
ANSWERS = [
    trial if trial.name != "a coroutine" else
    Trial(trial.kind, trial.name, "mine.py", 2, "without async", files={"mine.py": "async def r(history): pass\n"})
    for trial in ANSWERS
]

WORKS = [
    Trial("rules that work", name, f"mine.py {SHORT} {more}", (0, 1), "rule learned|rule NOT learned|contexts",
          files={"mine.py": f"{head}\ndef rule(history):\n    {body}\n"} | (files or {}))
    for name, head, body, more, files in [
        ("NumPy integers", "import numpy", "return {numpy.int64(5)} if history[-1] == 3 else None", "", None),
        ("NumPy's other integers", "import numpy", "return {numpy.uint8(5), 4} if history[-1] == 3 else None", "",
         None),
        ("a frozen set", "", "return frozenset({5}) if history[-1] == 3 else None", "", None),
        ("a kind of set", "class S(set): pass", "return S({5}) if history[-1] == 3 else None", "", None),
        ("copies", "", "h = history.copy(); return {5} if h[-1] == 3 else None", "", None),
        ("a longer history", "", "h = [0] * 3 + history; return {5} if h[-1] == 3 else None", "", None),
        ("a neighbour", "from helper import FIVE", "return {FIVE} if history[-1] == 3 else None", "",
         {"helper.py": "FIVE = 5\n"}),
        ("a neighbour, late", "", "import helper; return {helper.FIVE} if history[-1] == 3 else None", "",
         {"helper.py": "FIVE = 5\n"}),
        ("a neighbour's neighbour", "from helper import FIVE", "return {FIVE} if history[-1] == 3 else None", "",
         {"helper.py": "from other import FIVE\n", "other.py": "FIVE = 5\n"}),
        ("a neighbour called as ours", "import numpy", "return {numpy.int8(5)} if history[-1] == 3 else None", "",
         {"numpy.py": "raise SystemExit\n"}),
        ("prints", "print('loaded')", "return {5} if history[-1] == 3 else None", "", None),
        ("a dataclass", "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int = 5",
         "return {A().x} if history[-1] == 3 else None", "", None),
    ]
]

WORKS += [
    Trial("rules that work", f"{name}, proved", f"mine.py {SHORT.replace('--figure 5', '')} --prove", (0, 1), "contexts",
          files={"mine.py": f"{head}\ndef rule(history):\n    {body}\n"})
    for name, head, body in [
        ("copies", "", "h = history.copy(); return {5} if h[-1] == 3 else None"),
        ("a longer history", "", "h = [0] * 3 + history; return {5} if h[-1] == 3 else None"),
        ("a longer history behind", "", "h = history + [0]; return {5} if h[-2] == 3 else None"),
        ("a list", "", "h = list(history); return {5} if h[-1] == 3 else None"),
        ("NumPy integers", "import numpy", "return {numpy.int64(5)} if history[-1] == 3 else None"),
    ]
]

SHADOWS = [
    Trial("names of Python's modules", f"the rule is {name}.py{' in a process' if real else ''}", f"{name}.py {SHORT}",
          (0, 1), "rule learned|rule NOT learned", files={f"{name}.py": GOOD}, real=real, slow=real)
    for name in ("random", "token", "types", "re", "enum", "signal", "selectors", "numpy", "inspect")
    for real in (False, True)
] + [
    Trial("names of Python's modules", f"a file {name}.py lies here{' (really)' if real else ''}",
          "tiny.toml --figure 5 6", 0, "rule", files={f"{name}.py": "open('executed', 'w')\nraise SystemExit\n"},
          real=real, slow=real and name != "random", env={} if not real else {"NUMBA_CACHE_DIR": "{}/out/cache"}
          if name == "token" else {})
    for name in ("random", "token", "types", "pickle", "subprocess", "ctypes", "string", "socket", "numba", "llvmlite",
                 "scratchformer", "imageio_ffmpeg", "sitecustomize", "multiprocessing")
    for real in (False, True)
]

TRUST = [
    config("not named", "", "is code, and is run only if you name it"),
    config("named", "--rule mine.py --figure 5", "rule", (0, 1), made=("executed",)),
    config("--trust", "--trust --figure 5", "rule", (0, 1), made=("executed",)),
    config("another is named", "--rule other.py --figure 5", "rule", (0, 1), files={"other.py": GOOD}),
    config("--seeds", "--seeds 2", "is code"),
    config("--gradcheck", "--gradcheck", "is code", out=False),
    config("--explain", "--explain 5", "is code"),
    config("--set of another value", "--set training.seed=3", "is code"),
    config("--resume", "--resume", "is code|no run"),
    config("--prove", "--prove", "is code"),
    config("--video", "--video", "is code"),
    config("by a link", "", "is code", files={"link.py": Link("mine.py"), "a.toml": TINY.replace(
        "[data]", '[data]\nrule = "link.py"')}),
    config("of the system", "", "is code", files={"a.toml": TINY.replace(
        "[data]", '[data]\nrule = "/usr/lib/python3/x.py"')}),
    config("extends a rule", "", "is code", files={"a.toml": 'extends = "mine.py"\n'}),
    config("compared", "--seeds 1 --compare a.toml", "is code"),
    Trial("trust", "compared with one that is not named", "tiny.toml --seeds 1 --compare a.toml", 2, "is code", files={
        "mine.py": "open('executed', 'w')\n" + GOOD, "a.toml": TINY.replace("[data]", '[data]\nrule = "mine.py"')}),
]


def stranger(finished):
    """The config of a finished run, with a rule of someone's."""
    text = (finished / "config.toml").read_text()
    return text.replace('rule = "plus_last_even"', 'rule = "{}/mine.py:after_three"')


STRANGERS = [
    Trial("runs of strangers", name, command, code, line, run=True, files={
        "mine.py": "open('executed', 'w')\n" + GOOD, "out/tiny/config.toml": stranger, "tiny.toml": stranger})
    for name, command, code, line in [
        ("drawn", "tiny.toml --visualize --figure 5", 2, "is code"),
        ("explained", ("tiny.toml", "--visualize", "--explain", "5 3"), 0, "attention"),
        ("explained, one quantity", ("tiny.toml", "--visualize", "--explain", "5 3", "--name", "scores"), 0, "scores"),
        ("proved", "tiny.toml --visualize --prove", 2, "is code"),
        ("filmed", "tiny.toml --visualize --video", 2, "is code"),
        ("causal", "tiny.toml --visualize --causal", 2, "is code"),
        ("ablated", "tiny.toml --visualize --ablate v", 2, "is code"),
        ("trained on", "tiny.toml --figure 5", 2, "is code"),
    ]
] + [
    Trial("runs of strangers", f"{name}, by a config of one's own", command, 2, line, run=True, files={
        "mine.py": "open('executed', 'w')\n" + GOOD, "out/tiny/config.toml": stranger})
    for name, command, line in [
        ("drawn", "tiny.toml --visualize --figure 5", "is of another rule"),
        ("explained", ("tiny.toml", "--visualize", "--explain", "5 3"), "is of another rule"),
        ("trained on", "tiny.toml --figure 5", "holds a run of other settings"),
    ]
]

NO_FILES = [
    Trial("what is no rule", name, "mine.py", 2, line, files={"mine.py": content})
    for name, content, line in [
        ("a pipe", Fifo, "not a regular file"), ("a folder", Folder, "cannot be read"),
        ("a device", Link("/dev/zero"), "not a regular file"), ("a broken link", Link("nowhere"), "cannot be read"),
        ("a circle of links", Link("mine.py"), "mine.py"), ("empty", "", "must hold one function, holds none"),
        ("bytes", b"\xff\xfe\x00", "mine.py"), ("two functions", GOOD + GOOD.replace("three", "two"), "name it"),
        ("a class", "class A: pass\n", "holds none"), ("a lambda", "rule = 3\n", "holds none"),
        ("no argument", "def rule(): pass\n", r"must take \(history\)"),
        ("three arguments", "def rule(history, numbers, more): pass\n", "must take"),
    ]
]

TRIALS = [*HANGS, *ENDS, *ANSWERS, *WORKS, *SHADOWS, *TRUST, *STRANGERS, *NO_FILES]
