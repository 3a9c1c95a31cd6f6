"""DaemonThreads: at most so many threads, none of which keeps the process alive."""

import threading
from concurrent.futures import wait

import pytest

from qt_events.delivery.threads import DaemonThreads


def test_work_is_done_in_at_most_so_many_threads() -> None:
    """Two threads: two at a time, and all of it in the end."""
    threads, gate, busy = DaemonThreads(2), threading.Event(), threading.Semaphore(0)

    def work(n: int) -> tuple[int, str]:
        busy.release()
        assert gate.wait(10)
        return n, threading.current_thread().name

    futures = [threads.submit(work, n) for n in range(6)]
    assert busy.acquire(timeout=10)
    assert busy.acquire(timeout=10)
    assert not busy.acquire(blocking=False)
    gate.set()
    assert [future.result(10)[0] for future in futures] == list(range(6))
    assert len({future.result()[1] for future in futures}) == 2
    threads.shutdown()


def test_idle_threads_are_used_again() -> None:
    """One after the other needs one thread."""
    threads = DaemonThreads(4)
    names = set()
    for _ in range(20):
        names.add(threads.submit(lambda: threading.current_thread().name).result(10))
        wait([threads.submit(lambda: None)], 10)
    assert len(names) <= 2
    threads.shutdown()


def test_an_error_belongs_to_the_future() -> None:
    """SystemExit too: the thread goes on."""
    threads = DaemonThreads(1)

    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        threads.submit(leave).result(10)
    assert threads.submit(lambda: 5).result(10) == 5
    threads.shutdown()
    with pytest.raises(RuntimeError, match="shut down"):
        threads.submit(print)


def test_threads_do_not_keep_the_process_alive() -> None:
    """They are daemons: a handler that never ends must not hold up the exit."""
    threads = DaemonThreads(1)
    assert threads.submit(lambda: threading.current_thread().daemon).result(10)
    threads.shutdown()


def test_more_threads_take_up_what_waits() -> None:
    """Grown from one to three, three run at once."""
    threads, gate, busy = DaemonThreads(1), threading.Event(), threading.Semaphore(0)

    def work() -> None:
        busy.release()
        assert gate.wait(10)

    futures = [threads.submit(work) for _ in range(3)]
    assert busy.acquire(timeout=10)
    threads.resize(3)
    assert busy.acquire(timeout=10)
    assert busy.acquire(timeout=10)
    assert len(threads) == 3
    gate.set()
    wait(futures, 10)
    threads.shutdown()


def test_fewer_threads_finish_what_they_do() -> None:
    """Shrunk from three to one, all is done, and then there is one left, which goes on."""
    threads, gate = DaemonThreads(3), threading.Event()
    futures = [threads.submit(gate.wait, 10) for _ in range(6)]
    threads.resize(1)
    gate.set()
    assert all(future.result(10) for future in futures)
    names = {threads.submit(lambda: threading.current_thread().name).result(10) for _ in range(5)}
    assert len(names) == 1
    threads.shutdown()
    assert len(threads) == 0
