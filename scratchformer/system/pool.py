"""Processes of this machine that share out work, and end with the one that started them.

Each worker has a pipe of its own. One that is killed, in the middle of a large result too, is seen at once:
its job goes to a new one, and raises WorkerLost if that is lost as well. There are no threads and no locks
that someone could die holding.
"""

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections import deque
from concurrent.futures import as_completed
from contextlib import contextmanager, nullcontext
from multiprocessing.connection import wait
from pathlib import Path
from types import ModuleType

from scratchformer.system import signals, supervise
from scratchformer.system.errors import WorkerLost

SHARED = None                   # in a worker: what its parent gave it to work from
TRIES = 2                       # of a job whose worker is lost
GRACE = 0.7                     # seconds that a worker has to clean up in


class Stopped(BaseException):
    """In a worker: it is to end now."""


@contextmanager
def fork_pool(shared, jobs):
    """A Pool of forks of this process for so many jobs, or None where the work stays here: one job, one
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
    """A Pool that an error or Ctrl-C in its block ends at once; None where no process can be started.
    method: fork or spawn"""
    pool = Pool(workers, method, shared)
    try:
        if not pool.workers:
            start(shared)
        yield pool if pool.workers else None
    except BaseException:
        pool.kill()
        raise
    pool.close()


class Worker:
    """A process and the pipe to it."""

    def __init__(self, context, shared, others):
        self.connection, its = context.Pipe()
        fork = context.get_start_method() == "fork"
        others = others if fork else ()                 # a fork has them open as well
        self.process = context.Process(
            target=serve, args=(its, shared, os.getpid(), others), daemon=True,
        )
        try:
            with signals.held_back(), safe_path(), nullcontext() if fork else no_main():
                self.process.start()
        except BaseException:
            self.connection.close()
            raise
        finally:
            its.close()


class Pool:
    """Workers that take jobs; fewer than asked for where the machine allows no more."""

    def __init__(self, workers, method, shared):
        self.context, self.shared, self.workers = multiprocessing.get_context(method), shared, []
        for _ in range(workers):
            try:
                self.add()
            except OSError:             # no more processes, files or memory
                break

    def add(self):
        """Start one more worker."""
        others = [worker.connection for worker in self.workers]
        self.workers.append(Worker(self.context, self.shared, others))
        return self.workers[-1]

    def run(self, function, jobs, may_start=lambda number: True):
        """(number of the job, result or None, error or None) of each function(*job), as they end.

        may_start(number): whether the job may be begun already; asked again after each result
        """
        jobs = enumerate(jobs)
        waiting, held, following = deque(), {}, next(jobs, None)
        while True:
            for worker in [worker for worker in self.workers if worker not in held]:
                if not waiting:
                    if following is None or not may_start(following[0]):
                        break
                    waiting.append((*following, 1))
                    following = next(jobs, None)
                held[worker] = waiting.popleft()
                send(worker, function, held[worker][1])
            if not held:
                return
            ready = wait([worker.connection for worker in held])
            for worker in [worker for worker in held if worker.connection in ready]:
                number, job, tries = held.pop(worker)
                try:
                    result, error = worker.connection.recv()
                except (EOFError, OSError):
                    self.replace(worker)
                    if tries < TRIES and self.workers:
                        waiting.append((number, job, tries + 1))
                        continue
                    result, error = None, WorkerLost("a process was killed (out of memory?)")
                yield number, result, error

    def replace(self, worker):
        """Have another worker for one that is lost, if one can be started."""
        end([worker])
        self.workers.remove(worker)
        try:
            self.add()
        except OSError:
            pass

    def close(self):
        """Let the workers go: they have nothing left to do."""
        end(self.workers)

    def kill(self):
        """End the workers, whatever they are doing."""
        for worker in self.workers:
            worker.process.terminate()
        end(self.workers)


def send(worker, function, job):
    """Hand a job to a worker; that it is lost will be seen when it is asked for the result."""
    try:
        worker.connection.send((function, job))
    except OSError:
        pass


def end(workers):
    """Close the pipes to workers, and wait for their end, but not for long."""
    for worker in workers:
        worker.connection.close()
    until = time.monotonic() + GRACE
    for worker in workers:
        worker.process.join(max(0.0, until - time.monotonic()))
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


@contextmanager
def safe_path():
    """Have Python processes that are started in the block not import from the current folder."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


@contextmanager
def no_main():
    """Have Python processes that are started in the block not run the program's main file again, which would
    do all that it does once more: a worker needs nothing of it."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def count_cores():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def can_fork():
    """Whether a copy of this process by fork is safe: Linux, and no second thread, which it would lack."""
    tasks = Path("/proc/self/task")
    return tasks.is_dir() and len(os.listdir(tasks)) == 1


def start(shared):
    """Keep what the jobs of this process work from."""
    global SHARED
    SHARED = shared


def stop(number, frame):
    """In a worker: clean up and end."""
    signal.signal(number, signal.SIG_IGN)
    sys.unraisablehook = lambda info: None      # in a destructor it is lost; then the parent's patience ends
    raise Stopped


def serve(connection, shared, parent, others):
    """In a worker: do jobs until there are no more. Ctrl-C is for the parent to answer."""
    for number in signals.ENDING:
        signal.signal(number, stop if number == signal.SIGTERM else signal.SIG_IGN)
    supervise.leave()
    supervise.die_with(parent)
    for other in others:
        other.close()
    start(shared)
    try:
        if hasattr(signal, "pthread_sigmask"):          # they were held back while this process was made
            signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.ENDING)
        while True:
            function, job = connection.recv()
            try:
                answer = function(*job), None
            except Stopped:
                raise
            except BaseException as error:
                error.add_note(f"in a process of its own:\n{traceback.format_exc()}")
                answer = None, error
            hand_over(connection, answer)
    except (Stopped, EOFError, OSError):
        pass


def hand_over(connection, answer):
    """Send a result, or why it cannot be sent."""
    try:
        connection.send(answer)
    except (TypeError, AttributeError, ValueError) as error:     # what cannot be pickled
        connection.send((None, RuntimeError(f"{type(error).__name__}: {error}")))


def in_order(pool, function, jobs, ahead=4):
    """Results of function(*job) in the order of the jobs, at most `ahead` of them waiting to be taken."""
    if pool is None:
        yield from (function(*job) for job in jobs)
        return
    taken, found = 0, {}
    for number, result, error in pool.run(function, jobs, lambda number: number < taken + ahead):
        if error is not None:
            raise error
        found[number] = result
        while taken in found:
            yield found.pop(taken)
            taken += 1


def as_they_end(pool, function, jobs):
    """(number of the job, result or None, error or None) of each function(*job), in the order of their ends.

    pool: a Pool, an Executor of concurrent.futures, or None for this very process
    """
    if isinstance(pool, Pool):
        yield from pool.run(function, jobs)
    elif pool is None:
        for number, job in enumerate(jobs):
            yield number, *outcome(lambda job=job: function(*job))
    else:
        futures = {pool.submit(function, *job): number for number, job in enumerate(jobs)}
        try:
            for future in as_completed(futures):
                yield futures[future], *outcome(future.result)
        finally:
            for future in futures:
                future.cancel()


def outcome(call):
    """(result or None, error or None) of a call."""
    try:
        return call(), None
    except Exception as error:
        return None, error
