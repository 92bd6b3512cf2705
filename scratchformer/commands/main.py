"""The command line from its first word to its exit code.

0 fine, 1 a check failed, training diverged or a process was lost, 2 a usage error (nothing is written), 70 an
error of the program's own, 130 interrupted (143 by SIGTERM, 129 by SIGHUP).
"""

import os
import sys
import traceback

from scratchformer.commands.arguments import UsageError
from scratchformer.commands.help import help_text, wants_help
from scratchformer.commands.parsing import choose_command, command_name, parse_arguments
from scratchformer.system import environment, signals, supervise
from scratchformer.system.errors import ConfigError, Diverged, RunError, WorkerLost, plain, shown
from scratchformer.system.program import command_line, program_name

BUG = 70


def main(argv=None):
    """Run a command line (by default the program's own); returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    supervise.open_standard_files()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")   # for terminals that cannot show every sign
    with signals.answered():
        try:
            return run_told(words)
        except BaseException as error:
            if signals.received() is None and not isinstance(error, KeyboardInterrupt):
                raise
            from scratchformer.system.files import sweep_held

            sweep_held()
            advice = error.args if isinstance(error, KeyboardInterrupt) else ()
            supervise.report(supervise.DONE)    # that it is said, and need not be again
            return fail("; ".join(["interrupted", *map(str, advice)]), signals.exit_code())


def run_told(words):
    """Run a command line; returns the exit code, and says in a line what went wrong."""
    try:
        code = run_command(words)
        print(end="", flush=True)
        return code
    except UsageError as error:
        return fail(f"{error}; see {command_line(f'{error.verb} --help'.strip())}", 2)
    except (ConfigError, RunError) as error:
        return fail(error, 2)
    except Diverged as error:
        return fail(error, 1)
    except BrokenPipeError:             # whoever read our output has left
        silence(sys.stdout)
        return 0
    except ImportError as error:
        return fail(missing(error), 2)
    except OSError as error:
        return fail(f"cannot write: {error}", 2)
    except MemoryError as error:
        return fail(f"not enough memory: {error}", 1)
    except WorkerLost as error:
        return fail(error, 1)
    except Exception as error:          # an error of ours: one line, and all of it to who asks
        if signals.received() is not None or "--debug" in words or "--pdb" in words:
            raise                       # of a compiler that swallowed a Ctrl-C, or for a debugger
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(frame.filename)}:{frame.lineno}"
        return fail(f"an error of the program's own, {type(error).__name__} at {where}: "
                    f"{shown(' '.join(str(error).split()), quote=False)}; --debug shows where it comes from",
                    BUG)


def run_command(words):
    """Do what the words of a command line ask for; returns the exit code."""
    if wants_help(words):
        print(help_text(words))
        return 0
    command, words, by_verb = choose_command(words)
    try:
        args = parse_arguments(command, words, by_verb)
        wrong = environment.tidy()
        if wrong:
            fail(f"{plain(', '.join(wrong)[:200])}: left out, no setting that Numba could use here", 0)
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")      # the matrices are too small to share out
        if command.ARGUMENTS:           # it does more than print a list
            supervise.die_with_watcher()
        if getattr(args, "trust", False):
            from scratchformer.run.foreign import trust

            trust()
        if getattr(args, "debug", False) or getattr(args, "pdb", False):
            os.environ["NUMBA_DISABLE_JIT"] = "1"
        return command.run(args)
    except UsageError as error:
        error.verb = command_name(command) if words else ""
        raise


def fail(message, code):
    """Say what went wrong on stderr, where the progress line may be; return the exit code."""
    from scratchformer.system.progress import Progress

    try:
        Progress().clear()
        print(f"{program_name()}: {plain(message)}", file=sys.stderr, flush=True)
    except OSError:                     # nor can it be said
        silence(sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:
        silence(sys.stdout)
    return code


def silence(stream):
    """Have what is still to be written to a stream go nowhere, so that Python's end has nothing to say."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except (OSError, ValueError):       # a stream without a file
        pass


NEEDED = ("numpy", "numba", "llvmlite", "scipy", "matplotlib", "imageio", "PIL")


def missing(error):
    """What to say of a package that cannot be imported; any other ImportError is raised again."""
    package = (error.name or "").partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and package in NEEDED:
        return f"needs {package}, which is not installed: python -m pip install -e ."
    if package in NEEDED or any(name in str(error).lower() for name in NEEDED):
        return f"a package that it needs cannot be used: {' '.join(str(error).split())}"
    raise error
