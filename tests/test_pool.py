"""Worker processes: results in order, and no waiting for work that nobody wants any more."""

import os
import time

import pytest

from scratchformer.system import pool


def double(number):
    return 2 * number + pool.SHARED


def test_results_come_in_order():
    for jobs in (1, 5):
        with pool.fork_pool(100, jobs) as workers:
            assert list(pool.in_order(workers, double, [(i,) for i in range(5)])) == [100, 102, 104, 106, 108]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_error_ends_the_workers_at_once(error):
    start = time.monotonic()
    with pytest.raises(error):
        with pool.process_pool(2, "fork") as workers:
            pids = [workers.submit(os.getpid).result() for _ in range(4)]
            for _ in range(6):
                workers.submit(time.sleep, 30)
            raise error
    assert time.monotonic() - start < 20
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
