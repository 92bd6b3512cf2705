"""How the user calls this program: `python run.py` in a checkout, `scratchformer` where it is installed."""

import sys
from pathlib import Path


def program_name():
    """run.py or scratchformer: what messages begin with."""
    return "run.py" if Path(sys.argv[0]).name == "run.py" else "scratchformer"


def command_line(arguments):
    """A command that the user can type, as in `python run.py --list`."""
    return f"{'python run.py' if program_name() == 'run.py' else 'scratchformer'} {arguments}"
