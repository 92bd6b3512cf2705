"""One line of progress on stderr; silent when stderr is not a terminal."""

import os
import sys
import time


class Progress:
    """A line that is rewritten in place, ten times a second at most."""

    def __init__(self):
        self.on = (sys.stderr is not None and sys.stderr.isatty()
                   and os.environ.get("TERM", "dumb") not in ("", "dumb"))     # which know no escape codes
        self.last = 0.0

    def show(self, text, force=False):
        """Replace the line by `text`."""
        now = time.monotonic()
        if self.on and (force or now - self.last > 0.1):
            self.last = now
            sys.stderr.write(f"\r\x1b[2K{text}")
            sys.stderr.flush()

    def clear(self):
        """Remove the line."""
        if self.on:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
