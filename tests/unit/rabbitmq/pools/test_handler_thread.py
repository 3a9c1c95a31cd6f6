"""HandlerThread runs sync handlers, has a loop beside it, and obeys the soft time limit."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from billiard.pool import SIG_SOFT_TIMEOUT, soft_timeout_sighandler

from qt_events.delivery.deliver import deliver
from qt_events.delivery.outcome import Deduplicated, Done, Outcome
from qt_events.delivery.subscribing.subscription import EventHandler, Subscription
from qt_events.events.event import Event
from qt_events.rabbitmq.pools.handler_thread import HandlerThread


def strike() -> None:
    """Send what billiard sends a child at its soft time limit."""
    os.kill(os.getpid(), SIG_SOFT_TIMEOUT)


@pytest.fixture
def thread() -> Iterator[HandlerThread]:
    """Return one as in a prefork child: on the main thread, with billiard's signal handler."""
    before = signal.signal(SIG_SOFT_TIMEOUT, soft_timeout_sighandler)
    yield HandlerThread()
    signal.signal(SIG_SOFT_TIMEOUT, before)


def handled(thread: HandlerThread, handler: EventHandler) -> Outcome:
    exposed = thread.exposed(Subscription("each", handler))
    with thread.attempting():
        return thread.run(deliver(Event("it.happened"), exposed, executor=thread))


def failure(outcome: Outcome) -> str:
    assert not isinstance(outcome, Done | Deduplicated)
    return outcome.failure.exception_type


def test_sync_handlers_run_here_and_async_ones_beside(thread: HandlerThread) -> None:
    """A sync handler may start an event loop, for there is none on its thread."""
    seen: list[int] = []

    def here(_: Event[Any]) -> None:
        asyncio.run(asyncio.sleep(0))
        seen.append(threading.get_ident())

    async def beside(_: Event[Any]) -> None:
        seen.append(threading.get_ident())

    assert [handled(thread, here), handled(thread, beside), handled(thread, beside)] == [Done()] * 3
    assert seen[0] == threading.get_ident() != seen[1] == seen[2]


def test_the_soft_limit_is_raised_in_a_sync_handler(thread: HandlerThread) -> None:
    """The attempt fails, and the next one is not concerned."""

    def overdue(_: Event[Any]) -> None:
        strike()
        threading.Event().wait(60)

    assert failure(handled(thread, overdue)) == "billiard.exceptions.SoftTimeLimitExceeded"
    assert handled(thread, lambda _: None) == Done()


def test_the_soft_limit_cancels_an_async_handler_where_it_awaits(thread: HandlerThread) -> None:
    """Children in a TaskGroup are cancelled too; its own cancellations stay what they are."""
    children: list[asyncio.Task[None]] = []

    async def overdue(_: Event[Any]) -> None:
        strike()
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            children.append(group.create_task(asyncio.sleep(60)))

    async def cancelled(_: Event[Any]) -> None:
        raise asyncio.CancelledError

    assert failure(handled(thread, overdue)) == "billiard.exceptions.SoftTimeLimitExceeded"
    assert children[0].cancelled()
    assert failure(handled(thread, cancelled)) == "asyncio.exceptions.CancelledError"


def test_an_async_handler_may_tidy_up(thread: HandlerThread) -> None:
    """A handler that has caught the cancellation may await again, and return."""

    async def tidy(_: Event[Any]) -> None:
        strike()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0)

    assert handled(thread, tidy) == Done()


def test_a_handler_that_returns_a_coroutine_is_within_reach(thread: HandlerThread) -> None:
    """A lambda or a decorated handler may do so."""

    async def overdue() -> None:
        strike()
        await asyncio.sleep(60)

    assert (
        failure(handled(thread, lambda _: overdue())) == "billiard.exceptions.SoftTimeLimitExceeded"
    )


def test_nothing_but_handlers_is_within_reach(thread: HandlerThread) -> None:
    """Publishing an outcome is not interrupted."""

    async def publish() -> str:
        strike()
        await asyncio.sleep(0.01)
        return "confirmed"

    with thread.attempting():
        assert thread.run(publish()) == "confirmed"


def test_between_attempts_the_limit_is_celerys(thread: HandlerThread) -> None:
    """A plain task of the app runs in the same child."""
    with pytest.raises(SoftTimeLimitExceeded):
        strike()


def test_without_celerys_signal_handler_the_signal_is_left_alone() -> None:
    """The app may use SIGUSR1 on threads and solo."""
    before = signal.getsignal(SIG_SOFT_TIMEOUT)
    HandlerThread()
    assert signal.getsignal(SIG_SOFT_TIMEOUT) is before
