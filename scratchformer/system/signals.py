"""What Ctrl-C, SIGTERM and SIGHUP do: each ends the program by KeyboardInterrupt, once.

The first to come raises it, and those that follow are left alone, so that nothing breaks into the cleaning
up.
"""

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
PATIENCE = 1.0                          # seconds in which an unwatched program ignores a second signal
RECEIVED = []                           # (signal, time) of the first that came


def received():
    """The number of the signal that ends the program, None if none came."""
    return RECEIVED[0][0] if RECEIVED else None


def exit_code():
    """130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP."""
    return 128 + (received() or signal.SIGINT)


def end_program(number, frame):
    """End the program by KeyboardInterrupt, unless that is under way."""
    from scratchformer.system import supervise

    if RECEIVED:
        if supervise.REPORT is None and time.monotonic() - RECEIVED[0][1] > PATIENCE:
            os._exit(exit_code())       # it was lost on the way, and nobody else watches
        return
    RECEIVED.append((number, time.monotonic()))
    sys.unraisablehook = lambda info: None      # whatever is broken off in a destructor is not worth a word
    raise KeyboardInterrupt


def install():
    """Answer signals from now on; what the program was started to ignore (nohup) stays ignored.

    Returns the handlers that were there.
    """
    before = {number: signal.getsignal(number) for number in ENDING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, end_program)
    return before


@contextmanager
def answered():
    """Answer signals in the block, and afterwards as before; in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    RECEIVED.clear()
    before = install()
    hook = sys.unraisablehook
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None and handler is not end_program:
                signal.signal(number, handler)
        sys.unraisablehook = hook


@contextmanager
def held_back():
    """Let Ctrl-C and the like wait until the end of a short block: Python loses one that comes in a fork."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
