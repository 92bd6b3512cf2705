"""Worker processes that are forks of this one: what it has read and compiled they have too."""

import ctypes
import multiprocessing
import os
import signal
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

SHARED = None                   # in a worker: what its parent gave it to work from


@contextmanager
def fork_pool(shared, jobs):
    """A pool for so many jobs whose workers find `shared` in `SHARED`, or None where the work stays here:
    one job, one core, or no safe fork.

    A fork copies one thread only, so a process with more is not forked.
    """
    workers = min(len(os.sched_getaffinity(0)), jobs) if can_fork() else 1
    if workers < 2:
        start(shared)
        yield None
        return
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, context, start_worker, (shared,)) as pool:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:                            # Python loses a Ctrl-C that comes while it forks
            pool.submit(int)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield pool


def can_fork():
    """Whether a copy of this process by fork is safe: Linux, and no second thread."""
    tasks = Path("/proc/self/task")
    return tasks.is_dir() and len(os.listdir(tasks)) == 1


def start(shared):
    """Keep what the jobs of this process work from."""
    global SHARED
    SHARED = shared


def start_worker(shared):
    """The same in a worker; Ctrl-C is for its parent to answer, and it ends with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)          # PR_SET_PDEATHSIG: pools are Linux's alone
    start(shared)


def in_order(pool, function, jobs, ahead=4):
    """Results of function(*job) in the order of the jobs, at most `ahead` of them waiting to be taken."""
    if pool is None:
        yield from (function(*job) for job in jobs)
        return
    waiting = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(function, *job))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for job in waiting:
            job.cancel()
