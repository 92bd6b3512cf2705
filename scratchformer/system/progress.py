"""One line of progress: on stderr where that is a terminal, below the cell in a notebook, else nowhere."""

import os
import sys
import time

LATER = 1.0                             # seconds after which a notebook's cell shows it


class Progress:
    """A line that is rewritten in place, ten times a second at most."""

    def __init__(self):
        self.on = (sys.stderr is not None and sys.stderr.isatty()
                   and os.environ.get("TERM", "dumb") not in ("", "dumb"))     # which know no escape codes
        self.cell = None if self.on else notebook_cell()
        self.start, self.last = time.monotonic(), 0.0

    def show(self, text, force=False):
        """Replace the line by `text`."""
        now = time.monotonic()
        if not (self.on or self.cell) or not (force or now - self.last > 0.1):
            return
        if self.cell and now - self.start > LATER:
            self.last = now
            self.cell.show(text)
        elif self.on:
            self.last = now
            sys.stderr.write(f"\r\x1b[2K{text}")
            sys.stderr.flush()

    def clear(self):
        """Remove the line."""
        if self.cell:
            self.cell.show("")
        if self.on:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


def notebook_cell():
    """The line below the cell of a notebook that runs, None where there is no notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return Cell() if hasattr(shell, "kernel") else None


class Cell:
    """A line in the output of a notebook's cell; it appears when it is first shown something."""

    def __init__(self):
        self.handle = None

    def show(self, text):
        """Show the text in place of the one before."""
        if self.handle is None and text:
            from IPython.display import display

            self.handle = display({"text/plain": text}, raw=True, display_id=True)
        elif self.handle is not None:
            self.handle.update({"text/plain": text}, raw=True)
