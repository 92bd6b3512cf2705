"""The one place where code of others is run: a rule's file is loaded here, and its function called.

It runs only if the user has named the file on this command line, or said --trust. It has a limit of time, and
whatever it raises, SystemExit as well, becomes one line. It finds the modules beside it, but nothing else of
ours or of Python's does.
"""

import hashlib
import importlib.machinery
import importlib.util
import os
import signal
import sys
import threading
import traceback
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from scratchformer.system import signals, supervise
from scratchformer.system.errors import ConfigError, Untrusted, shown
from scratchformer.system.files import read_file

LOADING, CALL = 30.0, 5.0               # seconds that a file may take to load, a rule to answer
AGAIN, TIMES = 0.5, 4                   # a rule that does not let itself be stopped is told this often

NAMED = set()                           # files that may be run
ANY = "any file"
FILES = set()                           # those that were: what they import is looked for beside them


def trust(path=ANY):
    """Let a file be run, for it was named by the user; without a path, any file."""
    NAMED.add(path if path is ANY else real_path(path))


def is_trusted(path):
    """Whether a file may be run."""
    return ANY in NAMED or real_path(path) in NAMED


def real_path(path):
    """A path without links; one that no file can have as it is."""
    try:
        return os.path.realpath(path)
    except ValueError:                  # a null byte
        return path


class TooLong(BaseException):
    """Code of others has taken longer than it may."""


class Clock:
    """The limit of time. Python's own steps can be broken into; a call that never comes back from C is ended
    by the process that watches (system/supervise.py)."""

    def __init__(self):
        self.what, self.told, self.main = None, 0, threading.main_thread().ident
        self.ready = False

    def start(self, seconds, what):
        """Raise TooLong after so many seconds; what(): the line that says what took too long."""
        if not hasattr(signal, "setitimer") or threading.get_ident() != self.main:
            return
        if not self.ready:
            signal.signal(signal.SIGALRM, self.ring)
            self.ready = True
        self.what, self.told = what, 0
        signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)

    def stop(self):
        """The time is not up."""
        if self.what is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self.what = None

    def ring(self, number, frame):
        """The time is up: say so to the code, and where it does not listen, end."""
        supervise.report(supervise.ANSWERED)
        if self.what is None or sys.gettrace():         # in a debugger there is time
            return
        self.told += 1
        if self.told > TIMES:
            code = supervise.say(self.what(), 2)
            supervise.report(supervise.DONE)
            os._exit(code)
        raise TooLong


CLOCK = Clock()


@contextmanager
def limited(seconds, what):
    """A limit of time for what is done in the block; see Clock."""
    CLOCK.start(seconds, what)
    try:
        yield
    finally:
        CLOCK.stop()


def load_file(path, who):
    """(module, 16 hex digits of the file) of a Python file. who: what names it, in messages.

    Raises Untrusted if the user has not named it, ConfigError if it cannot be read or raises.
    """
    if not is_trusted(path):
        raise Untrusted(f"{who}: {path} is code, and is run only if you name it (--rule {path}) or say "
                        "--trust")
    try:
        source = read_file(path)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"{who}: {path}: cannot be read: {why}") from error
    late = f"{who}: {path}: does not come to an end: it is still loading after {LOADING:.0f} s"
    try:
        with limited(LOADING, lambda: late):
            module = execute(path, source)
    except TooLong:
        raise ConfigError(late) from None
    except BaseException as error:
        if is_ours(error):
            raise
        raise ConfigError(f"{who}: {describe_error(error, path)}") from error
    return module, hashlib.sha256(source).hexdigest()[:16]


@cache
def execute(path, source):
    """The module that a file's bytes make, under a name that no other has; once for each content."""
    FILES.add(os.path.dirname(os.path.abspath(path)))
    if Beside not in sys.meta_path:
        sys.meta_path.append(Beside)            # last: nobody's modules are hidden
    spec = importlib.util.spec_from_file_location(f"own_rule_{len(sys.modules)}_{Path(path).stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module     # a dataclass in the file looks its module up
    exec(compile(source, path, "exec"), module.__dict__)
    return module


class Beside:
    """Finds what a rule's file imports among the files beside it, for no one else."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if path is not None or "." in name:
            return None
        frame = sys._getframe(1)
        while frame is not None and "importlib" in frame.f_code.co_filename:
            frame = frame.f_back
        folder = os.path.dirname(os.path.abspath(frame.f_code.co_filename)) if frame is not None else None
        file = os.path.join(folder or "", f"{name}.py")
        if folder not in FILES or not os.path.isfile(file):
            return None
        return importlib.util.spec_from_file_location(name, file, loader=Unkept(name, file))


class Unkept(importlib.machinery.SourceFileLoader):
    """Loads a module and leaves no compiled file beside it."""

    def set_data(self, path, data, *, _mode=0o666):
        pass


def call(function, history, problem):
    """function(history), whatever it may raise as a ConfigError; problem(text): that error.

    Its time is limited; its answer is not looked at.
    """
    CLOCK.start(CALL, lambda: problem(f"has not answered after {CALL:.0f} s").args[0])
    try:
        return function(history)
    except TooLong:
        raise problem(f"has not answered after {CALL:.0f} s") from None
    except BaseException as error:
        if is_ours(error):
            raise
        raise problem(f"raises {describe_error(error)}") from error
    finally:
        CLOCK.stop()


def is_ours(error):
    """Whether an error is not the code's: a signal that ends the program, a worker that is stopped."""
    if isinstance(error, KeyboardInterrupt):
        return signals.received() is not None or signal.getsignal(signal.SIGINT) is not signals.end_program
    return type(error).__name__ == "Stopped" and type(error).__module__ == "scratchformer.system.pool"


def describe_error(error, path=None):
    """One line for an error in the user's file: file, line, kind, message."""
    if isinstance(error, SyntaxError):
        line, message, path = error.lineno or 1, error.msg, path or error.filename
    else:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__)
                  if frame.filename == str(path) or path is None and os.path.dirname(frame.filename) in FILES]
        line, path = (frames[-1].lineno, frames[-1].filename) if frames else (1, path)
        try:
            message = shown(" ".join(str(error).split()), quote=False)
        except Exception:
            message = "an error that cannot be shown"
    where = f"{path}:{line}: " if path else ""
    return f"{where}{type(error).__name__}{': ' if message else ''}{message}"
