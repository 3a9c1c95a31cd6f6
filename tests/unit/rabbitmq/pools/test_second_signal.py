"""What a second signal ends on threads and solo, and what it does not begin."""

import threading
from collections.abc import Callable

import pytest

from qt_events.rabbitmq.pools.second_signal import OneAtATime, ThreadsLeftBehind


@pytest.fixture
def gate() -> threading.Event:
    """Return what the calls of a test wait for."""
    return threading.Event()


def test_a_shutdown_waits_for_what_has_begun(gate: threading.Event) -> None:
    """Calls that wait are left out, as Celery asks: the broker delivers their events again."""
    threads, begun = ThreadsLeftBehind(1, is_hurried=lambda: False), threading.Event()

    def call() -> None:
        begun.set()
        gate.wait()

    running = threads.submit(call)
    waiting = threads.submit(call)
    assert begun.wait(5)
    stopping = threading.Thread(target=threads.shutdown, kwargs={"cancel_futures": True})
    stopping.start()
    stopping.join(0.2)
    assert stopping.is_alive()
    gate.set()
    stopping.join(5)
    assert not stopping.is_alive()
    assert (running.done(), waiting.done()) == (True, False)


def test_a_shutdown_that_is_hurried_waits_for_nothing(gate: threading.Event) -> None:
    """A second signal ends the wait, or comes before it; then no lock is taken."""
    hurried = threading.Event()
    threads = ThreadsLeftBehind(1, hurried.is_set)
    running = threads.submit(gate.wait)
    stopping = threading.Thread(target=threads.shutdown)
    stopping.start()
    hurried.set()
    stopping.join(5)
    assert not stopping.is_alive()
    with threads._lock:  # noqa: SLF001  # a signal's handler may have interrupted its owner
        threads.shutdown(cancel_futures=True)
    assert not running.done()
    gate.set()


def test_solo_begins_nothing_inside_of_a_handler_or_after_a_second_signal() -> None:
    """A handler that was interrupted holds up no later one."""
    hurried, begun = threading.Event(), list[str]()

    def call(request: tuple[str, Callable[[], None]]) -> None:
        begun.append(request[0])
        request[1]()

    def interrupted() -> None:
        alone(("inner", lambda: None))
        raise KeyboardInterrupt

    alone = OneAtATime(call, hurried.is_set)
    with pytest.raises(KeyboardInterrupt):
        alone(("outer", interrupted))
    alone(("next", lambda: None))
    hurried.set()
    alone(("late", lambda: None))
    assert begun == ["outer", "next"]
