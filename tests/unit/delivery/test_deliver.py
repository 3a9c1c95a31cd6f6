"""deliver(): the result or the error of a handler decides the outcome of the attempt."""

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import pytest

from qt_events.delivery.deliver import deliver
from qt_events.delivery.outcome import DeadLetter, Done, Failure, Retry
from qt_events.delivery.retry import Reject, RetryLater
from qt_events.errors import InvalidPolicyError
from qt_events.events.event import Event
from tests.unit.delivery.samples import EVENT, subscription


class Unheard(BaseException):
    """Error that is not even an Exception."""


async def test_a_handler_that_returns_is_done() -> None:
    """The return value does not matter: the delivery is Done."""
    for handler in (AsyncMock(return_value=5), MagicMock(return_value=False)):
        assert await deliver(EVENT, subscription(handler)) == Done()
        handler.assert_called_once_with(EVENT)


async def test_a_handler_that_fails_is_tried_again_by_its_policy() -> None:
    """A failed attempt is a Retry with the policy's delay, until the attempts are used up."""
    failing = subscription(AsyncMock(side_effect=OSError("away")))
    outcomes = [await deliver(EVENT, failing, attempt) for attempt in (1, 2, 3)]
    first, second, third = outcomes
    assert isinstance(first, Retry)
    assert isinstance(second, Retry)
    assert isinstance(third, DeadLetter)
    assert (first.delay, second.delay, third.reason) == (2, 4, "exhausted")
    assert (third.failure.exception_type, third.failure.message) == ("OSError", "away")


async def test_errors_to_give_up_on_are_dead_letters_at_once() -> None:
    """give_up_on ends it at the first attempt."""
    outcome = await deliver(EVENT, subscription(AsyncMock(side_effect=KeyError("x"))))
    assert isinstance(outcome, DeadLetter)
    assert (outcome.reason, outcome.failure.exception_type) == ("gave_up", "KeyError")


async def test_a_handler_may_decide_itself() -> None:
    """Reject is a dead letter at once, RetryLater a retry after its own delay."""
    rejected = await deliver(EVENT, subscription(AsyncMock(side_effect=Reject("closed"))))
    assert isinstance(rejected, DeadLetter)
    assert (rejected.reason, rejected.failure.message) == ("rejected", "closed")
    later = await deliver(EVENT, subscription(AsyncMock(side_effect=RetryLater(77))))
    assert isinstance(later, Retry)
    assert later.delay == 77


def generator() -> Iterator[None]:
    yield


async def async_generator() -> AsyncIterator[None]:
    yield


async def waiting(result: object) -> object:
    await asyncio.sleep(0)
    return result


UNRUN: dict[str, Callable[[], object]] = {
    "generator": generator,
    "async generator": async_generator,
    "context manager": contextlib.contextmanager(generator),
    "async context manager": contextlib.asynccontextmanager(async_generator),
    "function": lambda: generator,
    "method": lambda: EVENT.replace,
    "partial": lambda: functools.partial(generator),
    "map": lambda: map(str, [1]),
}


@pytest.mark.parametrize("make", UNRUN.values(), ids=UNRUN)
@pytest.mark.parametrize("kind", ["sync", "in a thread", "async", "that waits", "an awaitable"])
async def test_a_result_that_is_still_to_be_run_is_a_failed_attempt(
    make: Callable[[], object], kind: str
) -> None:
    """No line of it ran: such an event would be lost. A wrapper hides it when subscribing."""
    handlers: dict[str, Callable[[Event[Any]], object]] = {
        "async": AsyncMock(side_effect=lambda _: make()),
        "that waits": lambda _: waiting(make()),
        "an awaitable": lambda _: asyncio.ensure_future(waiting(make())),
    }
    handler = handlers.get(kind, lambda _: make())
    with ThreadPoolExecutor(1) as threads:
        executor = threads if kind == "in a thread" else None
        outcome = await deliver(EVENT, subscription(handler), executor=executor)
    assert isinstance(outcome, Retry)
    assert outcome.failure.exception_type == "qt_events.errors.InvalidHandlerError"
    assert "which nobody runs" in outcome.failure.message


@pytest.mark.parametrize("waits", [False, True])
async def test_a_forgotten_await_is_a_failed_attempt(waits: bool) -> None:
    """Python would warn of it at some later time, and the event would be lost."""

    async def work() -> None: ...

    async def handler(_: Event[Any]) -> object:
        if waits:
            await asyncio.sleep(0)
        return work()

    outcome = await deliver(EVENT, subscription(handler))
    assert isinstance(outcome, Retry)
    assert "await it" in outcome.failure.message


@pytest.mark.parametrize("waits", [False, True])
async def test_what_a_handler_returns_is_looked_at_each_time(waits: bool) -> None:
    """One that has ended well may return a generator the next time."""
    results: list[object] = [None, generator(), 5, generator()]

    async def handler(_: Event[Any]) -> object:
        if waits:
            await asyncio.sleep(0)
        return results.pop(0)

    again = subscription(handler)
    outcomes = [type(await deliver(EVENT, again)) for _ in range(4)]
    assert outcomes == [Done, Retry, Done, Retry]


async def test_an_impossible_delay_is_a_failure_like_any_other() -> None:
    """RetryLater(-1) raises in the handler: the attempt failed, with that error."""

    async def handler(event: Event[Any]) -> None:
        raise RetryLater(-1)

    outcome = await deliver(EVENT, subscription(handler))
    assert isinstance(outcome, Retry)
    assert outcome.failure.exception_type.endswith(InvalidPolicyError.__name__)


@pytest.mark.parametrize("in_thread", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        SystemExit(1),
        asyncio.CancelledError(),
        BaseExceptionGroup("group", [SystemExit(1)]),
        Unheard(),
    ],
    ids=repr,
)
async def test_any_error_of_a_handler_is_an_outcome(
    error: BaseException, in_thread: bool, executor: ThreadPoolExecutor
) -> None:
    """SystemExit, CancelledError and their like are dead letters, not the end of the bus."""
    handler: Any = MagicMock(side_effect=error) if in_thread else AsyncMock(side_effect=error)
    outcome = await deliver(EVENT, subscription(handler), executor=executor)
    assert isinstance(outcome, DeadLetter)
    assert outcome.failure.exception_type.endswith(type(error).__name__)


async def test_an_interrupt_is_for_the_whole_program() -> None:
    """KeyboardInterrupt is nobody's outcome."""
    with pytest.raises(KeyboardInterrupt):
        await deliver(EVENT, subscription(MagicMock(side_effect=KeyboardInterrupt)))


async def test_stop_iteration_is_a_failure() -> None:
    """Coroutines and futures treat StopIteration specially; here it is a failed attempt."""
    for handler in (AsyncMock(side_effect=StopIteration), MagicMock(side_effect=StopIteration)):
        outcome = await deliver(EVENT, subscription(handler))
        assert isinstance(outcome, Retry), handler


async def test_stop_iteration_in_a_thread_is_a_failure(executor: ThreadPoolExecutor) -> None:
    """A future cannot carry StopIteration, and the attempt has failed all the same."""
    async with asyncio.timeout(5):
        outcome = await deliver(
            EVENT, subscription(MagicMock(side_effect=StopIteration)), executor=executor
        )
    assert isinstance(outcome, Retry)


class Unprintable(Exception):
    def __str__(self) -> str:
        message = "no text"
        raise RuntimeError(message)


async def test_an_error_without_text_is_an_outcome_too() -> None:
    """An exception whose __str__ raises does not break the delivery."""
    outcome = await deliver(EVENT, subscription(AsyncMock(side_effect=Unprintable())))
    assert isinstance(outcome, Retry)
    assert outcome.failure.exception_type.endswith("Unprintable")


def test_a_failure_is_told_in_words() -> None:
    """Type with its module (builtins apart), message, traceback."""
    with pytest.raises(InvalidPolicyError) as caught:
        raise InvalidPolicyError("wrong")
    failure = Failure.of(caught.value)
    assert (failure.exception_type, failure.message) == (
        "qt_events.errors.InvalidPolicyError",
        "wrong",
    )
    assert "test_a_failure_is_told_in_words" in failure.traceback
    assert Failure.of(KeyError("k")).exception_type == "KeyError"


async def test_failures_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A retry is a warning with its delay, a dead letter an error with its traceback."""
    failing = subscription(AsyncMock(side_effect=OSError("away")))
    await deliver(EVENT, failing, 1)
    await deliver(EVENT, failing, 3)
    retry, dead = caplog.records
    assert (retry.levelno, dead.levelno) == (logging.WARNING, logging.ERROR)
    assert all(word in retry.getMessage() for word in ("unit", "attempt 1", "away", "2 s"))
    assert "attempt 3" in dead.getMessage()
    assert dead.exc_info
