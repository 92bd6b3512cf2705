"""The program from its first moment: `python run.py` or `scratchformer`.

What can take a while, imports included, happens in a process that is watched: see system/supervise.py.
"""

from scratchformer.system.supervise import supervised


def program():
    """Run the program's command line; returns the exit code."""
    return supervised(run_unwatched)


def run_unwatched():
    """The same, unwatched."""
    try:
        from scratchformer.commands.main import main
    except OSError as error:            # its own files cannot be read
        from scratchformer.system.supervise import say

        return say(f"cannot start: {error}", 2)
    return main()
