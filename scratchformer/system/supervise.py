"""The program runs in a child of the process that the shell started, which watches it.

Python answers a signal between two of its own steps. In the middle of a compilation or of a rule that never
returns there may be none for long, an exception may be lost in a callback, and after a crash nothing can be
said at all. The watching process does nothing else, so it can always answer: a program that was told to end
and has not after PATIENCE seconds is killed, its temporary files are removed, and one line says what
happened.

Only on Linux, where a child can be made to end with its parent; elsewhere, and in a debugger, the program
runs unwatched. The child tells by a pipe: the signals that reach it (`set_wakeup_fd`), OVERDUE's end, its
end.
"""

import os
import select
import signal
import sys
import time

from scratchformer.system import signals

PATIENCE = 1.5                          # seconds that the program has to end in
ANSWERED, DONE = 200, 201               # besides numbers of signals: it goes on after SIGALRM; it ends
REPORT = None                           # in the child: the pipe's end
WATCHER = None                          # in the child: the process that watches
FOLDERS = None                          # shared memory: the folders that the program writes to
SIZE = 1 << 16


def supervised(work):
    """Run work(), which returns an exit code, in a child of this process; returns the exit code."""
    open_standard_files()
    if not sys.platform.startswith("linux") or in_debugger():
        return work()
    try:
        read, write = os.pipe()
        own, wake = os.pipe()
        share_folders()
    except OSError:                     # no more files: unwatched, then
        return work()
    os.set_blocking(wake, False)
    global WATCHER
    WATCHER = os.getpid()
    watched = {number for number in signals.ENDING if signal.getsignal(number) is not signal.SIG_IGN}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    try:
        child = os.fork()
    except OSError:                     # no more processes: unwatched, then
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return work()
    if not child:
        for end in (read, own, wake):
            os.close(end)
        return run_watched(work, write, before)
    os.close(write)
    for number in {*watched, signal.SIGCHLD}:
        signal.signal(number, lambda number, frame: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    code = Watch(child, read, own, watched).code()
    ignore_signals()                    # the end is near anyway
    return code


def in_debugger():
    """Whether someone steps through this process, or is about to."""
    return bool(sys.gettrace()) or "pdb" in sys.orig_argv or "--pdb" in sys.argv or "pydevd" in sys.modules


def run_watched(work, write, mask):
    """In the child: work(), telling the parent what comes and how it ends."""
    global REPORT
    REPORT = write
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    try:
        signals.install()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        code = work()
    except KeyboardInterrupt:           # before anything was begun, or after all was done
        code = say("interrupted", signals.exit_code())
    finally:
        ignore_signals()
        report(DONE)
    if signals.received() is not None:
        leave_at_once(code)
    return code


def leave_at_once(code):
    """End without Python's own end, which may crash where an exception has broken into a compiler."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass
    os._exit(code)


def ignore_signals():
    """Leave signals unanswered: it ends. Python resets its own handlers in its last moments, and a signal
    would then end it in another way; this it leaves as it is."""
    for number in signals.ENDING:
        signal.signal(number, signal.SIG_IGN)


def report(number):
    """Tell the watching process, if there is one."""
    if REPORT is not None:
        try:
            os.write(REPORT, bytes([number]))
        except OSError:
            pass


def die_with(parent):
    """Have this process killed when the one that started it is no more, where that can be."""
    if sys.platform.startswith("linux"):
        import ctypes                   # 10 ms, which the help and the list do without

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)      # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)


def die_with_watcher():
    """In the program: end with the process that watches, even if that is killed."""
    if REPORT is not None:
        die_with(WATCHER)


def leave():
    """In a process that the program has started: it is not watched, only the program is."""
    global REPORT
    if REPORT is not None:
        signal.set_wakeup_fd(-1)
        os.close(REPORT)
        REPORT = None


class Watch:
    """The watch over a child, until it ends.

    read: the pipe it tells by; own: the pipe of this process's signals; watched: which of them end it
    """

    def __init__(self, child, read, own, watched):
        self.child, self.read, self.own, self.watched = child, read, own, watched
        self.told = self.stuck_until = self.end_until = None
        self.done = False

    def code(self):
        """The exit code to return, once the child is no more."""
        while True:
            pid, status = os.waitpid(self.child, os.WNOHANG)
            if pid:
                self.hear(self.read)    # its last words
                return self.verdict(status)
            limits = [limit for limit in (self.stuck_until, self.end_until) if limit is not None]
            left = min(limits) - time.monotonic() if limits else None
            if left is not None and left <= 0:
                return self.end()
            pipes = [pipe for pipe in (self.read, self.own) if pipe is not None]
            for pipe in select.select(pipes, [], [], left)[0]:
                self.hear(pipe)

    def hear(self, pipe):
        """Take note of what has come through a pipe."""
        if pipe is None or not select.select([pipe], [], [], 0)[0]:
            return
        words = os.read(pipe, 1000)
        if not words and pipe == self.read:
            self.read = None
        for word in words:
            if word in self.watched:
                if self.told is None:
                    self.told, self.end_until = word, time.monotonic() + PATIENCE
                if pipe == self.own:    # the child may not have got it
                    os.kill(self.child, word)
            elif word == signal.SIGALRM and self.stuck_until is None:
                self.stuck_until = time.monotonic() + PATIENCE
            elif word == ANSWERED:
                self.stuck_until = None
            elif word == DONE:
                self.done = True

    def verdict(self, status):
        """The exit code of a child that ended in whatever way."""
        code = os.waitstatus_to_exitcode(status)
        if self.done and code >= 0:
            return code
        sweep_folders(self.child)
        if self.told is not None:
            return say("interrupted", 128 + self.told)
        if code < 0:
            why = " (out of memory?)" if -code == signal.SIGKILL else ""
            return say(f"ended by signal {-code}, {signal.Signals(-code).name}{why}", 1)
        if code == 0 or not self.done:
            return say("ended by a call of os._exit or the like, before it was done: does the rule's file do "
                       "that?", 1)
        return code

    def end(self):
        """Kill a child that did not end by itself, or not soon after its last line; returns the exit code."""
        self.hear(self.read)
        os.kill(self.child, signal.SIGKILL)
        os.waitpid(self.child, 0)
        sweep_folders(self.child)
        if self.told is not None:
            return 128 + self.told if self.done else say("interrupted", 128 + self.told)
        return say("a rule does not return, and does not let itself be stopped (an endless call of a "
                   "function in C?)", 2)


def share_folders():
    """Memory in which the child notes its folders."""
    global FOLDERS
    import mmap

    FOLDERS = mmap.mmap(-1, SIZE)


def note_folder(folder):
    """Have temporary files in a folder removed should this process be killed."""
    if FOLDERS is not None and REPORT is not None:
        path = os.fsencode(os.path.abspath(folder)) + b"\0"
        if FOLDERS.tell() + len(path) < SIZE:
            FOLDERS.write(path)


def sweep_folders(child):
    """Remove temporary files from the folders that the child had noted; its own children die with it."""
    paths = {os.fsdecode(path) for path in FOLDERS[:].split(b"\0") if path}
    if paths:
        from pathlib import Path

        from scratchformer.system.files import remove_leftovers

        time.sleep(0.05)                # until its children are gone
        for path in paths:
            remove_leftovers(Path(path))


def open_standard_files():
    """Have something stand for files 0, 1 and 2 where the shell closed them: what is opened next must not."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))


def say(message, code):
    """One line on stderr where that can be; returns the exit code."""
    from scratchformer.system.program import program_name

    try:
        clear = "\r\x1b[2K" if os.isatty(2) and os.environ.get("TERM", "dumb") != "dumb" else ""
        os.write(2, f"{clear}{program_name()}: {message}\n".encode())
    except OSError:
        pass
    return code
