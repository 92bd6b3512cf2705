"""The command line from its first word to its exit code.

0 fine, 1 a check failed or training diverged, 2 a usage error (nothing is written), 130 interrupted.
"""

import os
import sys
from concurrent.futures import BrokenExecutor

from scratchformer.commands.arguments import UsageError
from scratchformer.commands.help import help_text, wants_help
from scratchformer.commands.parsing import choose_command, command_name, parse_arguments
from scratchformer.system.errors import ConfigError, Diverged, RunError
from scratchformer.system.program import command_line, program_name


def main(argv=None):
    """Run a command line (by default the program's own); returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")   # for terminals that cannot show every sign
    try:
        code = run_command(words)
        print(end="", flush=True)
        return code
    except KeyboardInterrupt as interrupt:
        return fail("; ".join(["interrupted", *map(str, interrupt.args)]), 130)
    except UsageError as error:
        return fail(f"{error}; see {command_line(f'{error.verb} --help'.strip())}", 2)
    except (ConfigError, RunError) as error:
        return fail(error, 2)
    except Diverged as error:
        return fail(error, 1)
    except BrokenPipeError:             # whoever read our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return fail(f"cannot write: {error}", 2)
    except MemoryError as error:
        return fail(f"not enough memory: {error}", 1)
    except BrokenExecutor:
        return fail("a drawing process was killed (out of memory?)", 1)


def run_command(words):
    """Do what the words of a command line ask for; returns the exit code."""
    if wants_help(words):
        print(help_text(words))
        return 0
    command, words, by_verb = choose_command(words)
    try:
        args = parse_arguments(command, words, by_verb)
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")      # the matrices are too small to share out
        if getattr(args, "debug", False) or getattr(args, "pdb", False):
            os.environ["NUMBA_DISABLE_JIT"] = "1"
        return command.run(args)
    except UsageError as error:
        error.verb = command_name(command) if words else ""
        raise


def fail(message, code):
    """Say what went wrong on stderr, where the progress line may be; return the exit code."""
    from scratchformer.system.progress import Progress

    Progress().clear()
    print(f"{program_name()}: {message}", file=sys.stderr)
    return code
