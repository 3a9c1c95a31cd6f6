"""What a second signal ends on threads and solo, and what it does not begin."""

import signal
import threading
from collections.abc import Callable, Iterator
from signal import SIG_DFL, SIGINT, SIGQUIT, SIGTERM
from types import SimpleNamespace
from typing import Any

import pytest

from qt_events.rabbitmq.pools.asyncio_pool import AsyncioPool
from qt_events.rabbitmq.worker.second_signal import (
    OneAtATime,
    ThreadsLeftBehind,
    heed_second_signal,
)


@pytest.fixture
def controller() -> Iterator[Any]:
    """Return a worker in the main thread, whose handlers a test replaces."""
    before = {each: signal.getsignal(each) for each in (SIGTERM, SIGINT, SIGQUIT)}
    pool = AsyncioPool.__new__(AsyncioPool)
    yield SimpleNamespace(pool=pool, exitcode=None, wait_for_soft_shutdown=lambda: None)
    for number, handler in before.items():
        signal.signal(number, handler)


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

    def interrupted_by_second_signal() -> None:
        hurried.set()
        raise KeyboardInterrupt

    alone(("hurried", interrupted_by_second_signal))
    alone(("late", lambda: None))
    assert begun == ["outer", "next", "hurried"]


def test_a_second_signal_at_once_undoes_nothing_of_the_first(
    controller: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It interrupts solo, and may come while the first one is being answered."""
    stopping, install = threading.Event(), signal.signal

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def install_and_send_again(number: signal.Signals, handler: Any) -> None:
        install(number, handler)
        if number == SIGTERM:
            signal.raise_signal(SIGTERM)

    install(SIGTERM, lambda *_: stopping.set())
    install(SIGQUIT, interrupt)
    heed_second_signal(controller, lambda: False)
    monkeypatch.setattr(signal, "signal", install_and_send_again)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(SIGTERM)
    monkeypatch.undo()
    assert controller.exitcode == 0
    assert stopping.is_set()


def test_a_signal_without_a_handler_stays_without(controller: Any) -> None:
    """A program that hosts the worker may have a handler of its own for SIGQUIT alone."""
    signal.signal(SIGTERM, SIG_DFL)
    signal.signal(SIGINT, lambda *_: None)
    signal.signal(SIGQUIT, lambda *_: None)
    heed_second_signal(controller, lambda: False)
    signal.raise_signal(SIGINT)
    assert signal.getsignal(SIGTERM) is SIG_DFL
    assert controller.exitcode == 1
