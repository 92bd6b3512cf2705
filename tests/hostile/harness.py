"""The harness of the hostile trials: each is data, run as a process of its own, and judged the same way.

A trial fails on: a traceback, another exit code than expected, silence with a code other than 0, a missing
line, a file outside of the run's own folder, a process that lives on, a temporary file left over, more than 5
lines on stderr, or more time than it may take.

Trials run in a fork of this process, which has the program imported and compiled: the same program in a
process that is its own, without the second that its start takes. `real=True` starts `python run.py` from
nothing.
"""

import faulthandler
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib

REPO = Path(__file__).resolve().parent.parent.parent
MOST_LINES = 5
TINY = """
extends = "plus_last_even"
[data]
num_sequences = 40
[training]
steps = 20
checkpoint_every = 5
eval_every = 10
eval_windows = 50
"""
LONG = TINY.replace("steps = 20", "steps = 50_000_000").replace("eval_every = 10", "eval_every = 10_000_000")
LONG = LONG.replace("checkpoint_every = 5", "checkpoint_every = 1_000_000")
GOOD = "def after_three(history):\n    return {5} if history[-1] == 3 else None\n"


@dataclass(frozen=True)
class Link:
    """A symbolic link, in place of a file's content."""

    target: str


class Fifo:
    """A named pipe."""


class Folder:
    """A folder."""


@dataclass(frozen=True)
class Trial:
    """One hostile trial.

    command: words, {} is the trial's folder; files: {path: content} made before, over the shared run out/tiny
    if `run`; strike: (signal, when, times, to the group), `when` a pattern of a file to wait for, seconds, or
    a word of the program's (see `strike`); line: a pattern that stderr, or stdout where the code is 0, must
    hold; keep: files that must be untouched; gone: patterns of files that must not be there afterwards
    """

    kind: str
    name: str
    command: str | tuple
    code: int | tuple = 2
    line: str = ""
    files: dict = field(default_factory=dict)
    env: dict = field(default_factory=dict)
    run: bool = False
    strike: tuple = ()
    out: bool = True
    real: bool = False
    slow: bool = False
    seconds: float = 60.0
    keep: tuple = ()
    made: tuple = ()
    stdio: str = ""
    before: str = ""
    python: str = ""
    check: object = None

    @property
    def id(self):
        """kind: name."""
        return f"{self.kind}: {self.name}"

    def words(self):
        """The command line."""
        words = self.command.split() if isinstance(self.command, str) else list(self.command)
        return [*words, *(["--out", "out"] if self.out else [])]


def prepare(trial, folder, finished):
    """Make the files of a trial in its folder: {path: bytes} of all there are."""
    for name in ("home", "temporary"):
        (folder / name).mkdir()
    (folder / "tiny.toml").write_text(TINY)
    (folder / "long.toml").write_text(LONG)
    if trial.run:
        shutil.copytree(finished, folder / "out" / "tiny")
    for name, content in trial.files.items():
        path = folder / os.fsdecode(name) if isinstance(name, bytes) else folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() or path.is_symlink():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        if isinstance(content, Link):
            path.symlink_to(content.target.replace("{}", str(folder)))
        elif isinstance(content, Fifo) or content is Fifo:
            os.mkfifo(path)
        elif isinstance(content, Folder) or content is Folder:
            path.mkdir()
        else:
            content = content(finished) if callable(content) else content
            text = content.replace("{}", str(folder)) if isinstance(content, str) else content
            path.write_bytes(text.encode() if isinstance(text, str) else text)
    return contents(folder)


def contents(folder):
    """{path within: bytes, or what it is} of all that lies in a folder, links not followed."""
    found = {}
    for root, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = os.path.join(root, name)
            mode = os.lstat(path).st_mode
            key = os.path.relpath(path, folder)
            if stat.S_ISLNK(mode):
                found[key] = f"-> {os.readlink(path)}"
            elif stat.S_ISREG(mode):
                with open(path, "rb") as file:
                    found[key] = file.read()
            else:
                found[key] = stat.S_IFMT(mode)
    return found


def environment(trial, folder):
    """The environment of a trial."""
    names = ("PATH", "LANG", "LC_ALL", "VIRTUAL_ENV")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    own = {"HOME": str(folder / "home"), "TMPDIR": str(folder / "temporary"), "OPENBLAS_NUM_THREADS": "1",
           "MPLCONFIGDIR": matplotlib.get_cachedir(), "PYTHONDONTWRITEBYTECODE": "1"}
    return kept | own | {name: value.replace("{}", str(folder)) for name, value in trial.env.items()}


def start(trial, folder, stdout, stderr):
    """Start a trial's process, in a session of its own: its number."""
    words = [word.replace("{}", str(folder)) for word in trial.words()]
    if trial.real:
        command = [trial.python or sys.executable, str(REPO / "run.py"), *words]
        if trial.before:
            command = ["sh", "-c", trial.before.replace("{}", str(folder)) + ' exec "$@"', "sh", *command]
        return subprocess.Popen(
            command, cwd=folder, env=environment(trial, folder), stdin=subprocess.DEVNULL, stdout=stdout,
            stderr=stderr, start_new_session=True,
        )
    pid = os.fork()
    if pid:
        return Forked(pid)
    try:
        run_forked(trial, folder, words, stdout, stderr)
    finally:
        os._exit(99)


class Forked:
    """What a Popen is, of a fork."""

    def __init__(self, pid):
        self.pid, self.returncode = pid, None

    def poll(self):
        """The exit code, None as long as it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


def run_forked(trial, folder, words, stdout, stderr):
    """In the fork: be the program."""
    from scratchformer.commands.door import program
    from scratchformer.run import foreign

    faulthandler.disable()              # what pytest has set up; the program has not
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment(trial, folder))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    for stream, number in ((os.open(os.devnull, os.O_RDONLY), 0), (stdout.fileno(), 1), (stderr.fileno(), 2)):
        os.dup2(stream, number)
    if trial.before:
        exec(trial.before, {"folder": folder})
    for number, name, mode in ((1, "stdout", "w"), (2, "stderr", "w")):
        stream = open(number, mode, closefd=False, errors="strict" if number == 1 else "backslashreplace")
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    warnings.resetwarnings()
    for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
        warnings.simplefilter("ignore", category)
    warnings.showwarning = lambda text, kind, *_: print(f"{kind.__name__}: {text}", file=sys.stderr)
    sys.argv = ["run.py", *words]
    sys.path[:] = [entry for entry in sys.path if entry not in ("", str(REPO))]
    sys.excepthook, sys.unraisablehook = sys.__excepthook__, sys.__unraisablehook__
    foreign.NAMED.clear()
    try:
        code = program()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 98
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = 120
    os._exit(code or 0)


def strike(trial, process, folder):
    """Send a trial's signal when its time has come.

    when: seconds; a pattern of a file that must be there; or "caught": as soon as the program answers signals
    """
    number, when, times, group = trial.strike
    until = time.monotonic() + 30
    if isinstance(when, str) and when != "caught":
        while not list(folder.glob(when)) and process.poll() is None and time.monotonic() < until:
            time.sleep(0.005)
    else:
        while not catches(process.pid, number) and process.poll() is None and time.monotonic() < until:
            time.sleep(0.001)
        if when != "caught":
            time.sleep(when)
    for n in range(times):
        if process.poll() is None:
            (os.killpg if group else os.kill)(process.pid, number)
        if n + 1 < times:
            time.sleep(0.05)
    return time.monotonic()


def catches(pid, number):
    """Whether a process has a handler for a signal of its own, not Python's for Ctrl-C alone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    caught = int(re.search(r"SigCgt:\s*(\w+)", text)[1], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1 and caught >> (number - 1) & 1)


def of_session(session):
    """Processes of a session that are not dead."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            try:
                text = Path(f"/proc/{entry}/stat").read_text()
            except OSError:
                continue
            state, _, _, its = text.rpartition(")")[2].split()[:4]
            if int(its) == session and state not in "ZX":
                found.append(int(entry))
    return found


def attempt(trial, folder, finished):
    """Run a trial: what is wrong, a list of lines; empty if it is passed."""
    before = prepare(trial, folder, finished)
    problems = []
    with open(folder.parent / f"{folder.name}.stdout", "w+b") as stdout, \
            open(folder.parent / f"{folder.name}.stderr", "w+b") as stderr:
        streams = [open("/dev/full", "wb") if trial.stdio == f"{name} full" else stream
                   for name, stream in (("stdout", stdout), ("stderr", stderr))]
        began = time.monotonic()
        process = start(trial, folder, *streams)
        for stream in {*streams} - {stdout, stderr}:
            stream.close()
        if trial.strike:
            began = strike(trial, process, folder)
        limit = began + (2.5 if trial.strike else trial.seconds)
        while process.poll() is None and time.monotonic() < limit + (20 if trial.strike else 0):
            time.sleep(0.005)
        took = time.monotonic() - began
        if process.poll() is None or trial.strike and took > 2.5 * slowness():
            problems.append(f"took {took:.1f} s")
        until = time.monotonic() + 1.0
        while of_session(process.pid) and time.monotonic() < until:
            time.sleep(0.02)
        orphans = of_session(process.pid)
        if orphans and process.poll() is not None:
            problems.append(f"processes live on: {orphans}")
        for pid in orphans:
            os.kill(pid, signal.SIGKILL)
        while process.poll() is None:
            time.sleep(0.01)
        stdout.seek(0)
        stderr.seek(0)
        said, told = (stream.read().decode(errors="replace") for stream in (stdout, stderr))
    return problems + list(judge(trial, folder, before, process.returncode, said, told))


def slowness():
    """How much more time a busy machine may take."""
    return max(1.0, min(4.0, os.getloadavg()[0] / (os.cpu_count() or 1) + 0.5))


def judge(trial, folder, before, code, said, told):
    """What is wrong with how a trial ended."""
    codes = trial.code if isinstance(trial.code, tuple) else (trial.code,)
    if code not in codes:
        yield f"exit code {code}, expected {codes}"
    both = said + told
    if "Traceback" in both or "Exception ignored" in both:
        yield "a traceback"
    killed = bool(trial.strike) and trial.strike[0] == signal.SIGKILL
    if code not in (0, None) and not both.strip() and not trial.stdio and not killed:
        yield f"silence with code {code}"
    if len(told.splitlines()) > MOST_LINES:
        yield f"{len(told.splitlines())} lines on stderr"
    if trial.line and not re.search(trial.line, both, re.S):
        yield f"no line that matches {trial.line!r}"
    if re.search("[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]", both):
        yield "signs that steer a terminal"
    after = contents(folder)
    for name in sorted({*before, *after}):
        inside = Path(name).parts[0] == "out" and len(Path(name).parts) > 1 or name == "out"
        allowed = inside or any(re.fullmatch(pattern, name) for pattern in trial.made)
        if before.get(name) != after.get(name) and (not allowed or name in trial.keep):
            yield f"{'gone' if name not in after else 'changed' if name in before else 'new'}: {name}"
        if (name.endswith(".tmp") or ".tmp." in name) and name not in before:
            if name in after and not killed:
                yield f"left over: {name}"
    if trial.check is not None:
        yield from trial.check(folder, said, told) or ()
    if os.environ.get("HOSTILE_VERBOSE"):
        print(trial.id, code, told, sep="\n")
