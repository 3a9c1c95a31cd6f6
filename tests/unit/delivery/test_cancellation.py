"""Cancellation: its origin decides whether the event is given back, handled or failed."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import MagicMock

import pytest

from qt_events.delivery.deliver import deliver
from qt_events.delivery.outcome import DeadLetter, Done
from qt_events.events.event import Event
from tests.unit.delivery.samples import EVENT, subscription


async def test_cancelling_the_delivery_cancels_the_handler() -> None:
    """CancelledError reaches the handler, which may clean up, and the caller: no outcome."""
    began, cleaned = asyncio.Event(), asyncio.Event()

    async def handler(event: Event[Any]) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    task = asyncio.create_task(deliver(EVENT, subscription(handler)))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned.is_set()


async def test_a_handler_that_swallows_the_cancellation_has_handled_the_event() -> None:
    """A handler that ends in spite of a cancellation has an outcome; a repeat would be wrong."""
    began = asyncio.Event()

    async def handler(event: Event[Any]) -> None:
        began.set()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.Event().wait()

    task = asyncio.create_task(deliver(EVENT, subscription(handler)))
    await began.wait()
    task.cancel()
    assert await task == Done()


async def test_a_child_that_was_cancelled_fails_the_attempt() -> None:
    """CancelledError from a task that a handler awaits is the handler's failure."""

    async def handler(event: Event[Any]) -> None:
        child = asyncio.create_task(asyncio.Event().wait())
        child.cancel()
        await child

    outcome = await deliver(EVENT, subscription(handler))
    assert isinstance(outcome, DeadLetter)
    assert outcome.failure.exception_type == "asyncio.exceptions.CancelledError"


async def test_only_a_cancellation_of_the_delivery_gives_it_back() -> None:
    """A thrown CancelledError counts, not a number: CPython 3.11's TaskGroup leaves it too high."""
    tries = 0

    async def fail() -> None:
        message = "a child"
        raise ValueError(message)

    async def handler(event: Event[Any]) -> None:
        nonlocal tries
        tries += 1
        with pytest.raises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
        child = asyncio.create_task(asyncio.Event().wait())
        child.cancel()
        await child

    assert isinstance(await deliver(EVENT, subscription(handler)), DeadLetter)
    assert tries == 1


async def test_a_delivery_that_is_cancelled_while_the_handler_cleans_up_is_given_back() -> None:
    """An error that `except` or `finally` raises in its place is that cancellation still."""
    began, cleaned = asyncio.Event(), asyncio.Event()

    async def handler(event: Event[Any]) -> None:
        began.set()
        try:
            async with asyncio.timeout(10):
                await asyncio.gather(asyncio.Event().wait(), asyncio.sleep(10))
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            cleaned.set()
            raise asyncio.CancelledError("another") from None

    task = asyncio.create_task(deliver(EVENT, subscription(handler)))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned.is_set()


async def test_a_cancellation_that_was_taken_back_gives_nothing_back() -> None:
    """asyncio.timeout takes its cancellation back: an error that comes after that is a failure."""

    async def handler(event: Event[Any]) -> None:
        child = asyncio.create_task(asyncio.Event().wait())
        try:
            async with asyncio.timeout(0.01):
                await asyncio.shield(child)
        except TimeoutError:
            child.cancel()
            await child

    assert isinstance(await deliver(EVENT, subscription(handler)), DeadLetter)


async def test_a_cancelled_delivery_whose_handler_cleans_up_with_a_timeout_is_given_back() -> None:
    """The cancellation of a timeout inside the clean-up does not hide the first one."""
    began = asyncio.Event()

    async def cancel_inside() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(10)
        task.uncancel()

    async def handler(event: Event[Any]) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await cancel_inside()  # as asyncio.timeout does from Python 3.12 on
            raise

    task = asyncio.create_task(deliver(EVENT, subscription(handler)))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_sync_handler_s_delivery_is_given_back_when_it_is_cancelled(
    executor: ThreadPoolExecutor,
) -> None:
    """The thread goes on; a CancelledError of the handler's own is its failure all the same."""
    may_end = threading.Event()
    task = asyncio.create_task(
        deliver(EVENT, subscription(lambda _: may_end.wait(5)), executor=executor)
    )
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    may_end.set()
    raises = subscription(MagicMock(side_effect=asyncio.CancelledError))
    assert isinstance(await deliver(EVENT, raises, executor=executor), DeadLetter)


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_delivery_that_is_closed_has_no_outcome(
    in_thread: bool, executor: ThreadPoolExecutor
) -> None:
    """Its loop is gone. What the handler raises while it is closed reaches nobody."""
    may_end, cleaned = threading.Event(), []

    async def handler(event: Event[Any]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(event)
            raise OSError("while it was closed")

    def sync(_: Event[Any]) -> None:
        may_end.wait(5)

    delivery = deliver(EVENT, subscription(sync if in_thread else handler), executor=executor)
    delivery.send(None)
    delivery.close()
    may_end.set()
    assert bool(cleaned) is not in_thread
