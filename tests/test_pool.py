"""Worker processes: results in order, and no waiting for work that nobody wants any more."""

import os
import time

import pytest

from scratchformer.system import pool
from scratchformer.system.errors import WorkerLost


def double(number):
    return 2 * number + pool.SHARED


def identify():
    return os.getpid()


def nap(seconds):
    time.sleep(seconds)


def fickle(path):
    """Kills its process, but not the second time."""
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), 9)
    return path.name


def large():
    os.write(2, b"")
    return bytes(40_000_000)


def test_results_come_in_order():
    for jobs in (1, 5):
        with pool.fork_pool(100, jobs) as workers:
            assert list(pool.in_order(workers, double, [(i,) for i in range(5)])) == [100, 102, 104, 106, 108]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_error_ends_the_workers_at_once(error):
    start = time.monotonic()
    with pytest.raises(error):
        with pool.process_pool(2, "fork") as workers:
            pids = list(pool.in_order(workers, identify, [()] * 4))
            for _ in pool.in_order(workers, nap, [(0,), *[(30,)] * 6]):
                raise error
    assert time.monotonic() - start < 20
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_job_whose_worker_is_killed_is_done_by_another(tmp_path):
    with pool.process_pool(2, "fork") as workers:
        names = list(pool.in_order(workers, fickle, [(tmp_path / name,) for name in "abc"]))
    assert names == ["a", "b", "c"]


def test_a_job_that_kills_its_workers_ends_and_leaves_the_others(tmp_path):
    with pool.process_pool(2, "fork") as workers:
        jobs = [(number,) for number in range(5)]
        ends = {number: error for number, _, error in pool.as_they_end(workers, kill_at, jobs)}
    assert isinstance(ends[3], WorkerLost) and [ends[i] for i in (0, 1, 2, 4)] == [None] * 4


def kill_at(number):
    if number == 3:
        os.kill(os.getpid(), 9)


@pytest.mark.parametrize("signal", [9, 15])
def test_a_worker_killed_in_the_middle_of_a_large_result(signal):
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        with pool.process_pool(2, "fork") as workers:
            for worker in workers.workers:
                pool.send(worker, large, ())
            time.sleep(0.5)                                     # they wait for someone to read
            os.kill(workers.workers[0].process.pid, signal)
            raise KeyboardInterrupt
    assert time.monotonic() - start < 10


def test_where_no_process_can_be_started_the_work_is_done_here(monkeypatch):
    def refuse(self):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("multiprocessing.context.ForkProcess.start", refuse)
    with pool.fork_pool(100, 5) as workers:
        assert workers is None
        assert list(pool.in_order(workers, double, [(1,)])) == [102]


@pytest.mark.slow
def test_processes_started_from_nothing_do_not_import_from_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("random", "pickle", "selectors", "types"):
        (tmp_path / f"{name}.py").write_text("open('executed', 'w').close()\n")
    with pool.process_pool(1, "spawn") as workers:
        assert list(pool.in_order(workers, abs, [(-3,)])) == [3]
    assert not (tmp_path / "executed").exists()
