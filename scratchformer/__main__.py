"""The program from its first moment: `python run.py`, `scratchformer`, `python -m scratchformer`.

What can take a while, imports included, happens in a process that is watched: see system/supervise.py.
"""

import sys

from scratchformer.system.supervise import supervised


def program():
    """Run the program's command line; returns the exit code."""
    return supervised(run)


def run():
    """The same, unwatched."""
    from scratchformer.commands.main import main

    return main()


if __name__ == "__main__":
    sys.exit(program())
