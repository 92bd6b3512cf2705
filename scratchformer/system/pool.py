"""Processes of this machine that share out work, and end with the one that started them."""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

SHARED = None                   # in a worker: what its parent gave it to work from


@contextmanager
def fork_pool(shared, jobs):
    """A pool of forks of this process for so many jobs, or None where the work stays here: one job, one
    core, or no safe fork. Workers have all that this process has read and compiled, and find `shared` in
    `SHARED`."""
    workers = min(count_cores(), jobs) if can_fork() else 1
    if workers < 2:
        start(shared)
        yield None
        return
    with process_pool(workers, "fork", shared) as pool:
        yield pool


@contextmanager
def process_pool(workers, method, shared=None):
    """A ProcessPoolExecutor that an error or Ctrl-C in its block ends at once. method: fork or spawn"""
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(workers, context, start_worker, (shared,)) as pool:
        start_all(pool)
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in set(multiprocessing.active_children()) - others:
                worker.terminate()
                worker.join()
            raise


def start_all(pool):
    """Have the workers started, without a Ctrl-C meanwhile: Python loses one that comes while it forks."""
    if not hasattr(signal, "pthread_sigmask"):
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        pool.submit(int)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def count_cores():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def can_fork():
    """Whether a copy of this process by fork is safe: Linux, and no second thread, which it would lack."""
    tasks = Path("/proc/self/task")
    return tasks.is_dir() and len(os.listdir(tasks)) == 1


def start(shared):
    """Keep what the jobs of this process work from."""
    global SHARED
    SHARED = shared


def start_worker(shared):
    """The same in a worker; Ctrl-C is for its parent to answer, and it ends with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)      # PR_SET_PDEATHSIG
    start(shared)


def in_order(pool, function, jobs, ahead=4):
    """Results of function(*job) in the order of the jobs, at most `ahead` of them waiting to be taken."""
    if pool is None:
        yield from (function(*job) for job in jobs)
        return
    waiting = deque()
    for job in jobs:
        waiting.append(pool.submit(function, *job))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
