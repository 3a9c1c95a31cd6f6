"""within(): an attempt whose handler is called through middleware."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import pytest

from qt_events.delivery.deliver import deliver, within
from qt_events.delivery.middleware import CallHandler, MiddlewareStack
from qt_events.delivery.outcome import DeadLetter, Done, Outcome, Retry
from qt_events.delivery.retry import Reject, RetryLater
from qt_events.delivery.subscribing.subscription import EventHandler, Subscription
from qt_events.events.current import current_event
from qt_events.events.event import Event
from tests.unit.delivery.samples import EVENT, subscription

path: ContextVar[str] = ContextVar("path", default="")


class Tracing:
    """Middleware that leaves something in the context, and notes what it is called with."""

    def __init__(self, error: Exception | None = None) -> None:
        self.seen: list[tuple[Event[Any], Subscription, int]] = []
        self._error = error

    async def around_handle(
        self, event: Event[Any], subscription: Subscription, attempt: int, call_next: CallHandler
    ) -> None:
        self.seen.append((event, subscription, attempt))
        path.set("traced")
        await asyncio.sleep(0)
        if self._error is not None:
            raise self._error
        await call_next()


async def attempt(
    handler: EventHandler,
    middleware: object,
    number: int = 1,
    executor: ThreadPoolExecutor | None = None,
    **options: Any,
) -> Outcome:
    stack = MiddlewareStack()
    stack.add(middleware)
    target = subscription(handler, **options)
    view = within(stack, target, number, executor)
    return await deliver(EVENT, view, number, executor=executor)


@pytest.mark.parametrize("kind", ["async", "sync", "in a thread", "returning a coroutine"])
async def test_context_and_current_event_reach_every_kind_of_handler(
    kind: str, executor: ThreadPoolExecutor
) -> None:
    """A trace that middleware begins goes on in the handler."""
    seen: list[tuple[Event[Any] | None, str, bool]] = []

    def sync(_: Event[Any]) -> None:
        main = threading.current_thread() is threading.main_thread()
        seen.append((current_event(), path.get(), main))

    async def handler(event: Event[Any]) -> None:
        sync(event)

    def returning(event: Event[Any]) -> object:
        return handler(event)

    handlers: dict[str, EventHandler] = {"async": handler, "returning a coroutine": returning}
    threads = executor if kind == "in a thread" else None
    assert await attempt(handlers.get(kind, sync), Tracing(), executor=threads) == Done()
    assert seen == [(EVENT, "traced", kind != "in a thread")]
    assert path.get() == ""


async def test_middleware_is_called_with_event_subscription_and_attempt() -> None:
    """The subscription is the user's own, whatever handler is called in its place."""
    tracing, stack = Tracing(), MiddlewareStack()
    stack.add(tracing)
    called: list[Event[Any]] = []
    target = subscription(print)
    view = within(stack, target, 2, None, called.append)
    assert await deliver(EVENT, view, 2) == Done()
    assert tracing.seen == [(EVENT, target, 2)]
    assert called == [EVENT]


async def test_a_predicate_comes_before_middleware() -> None:
    """An event that the predicate refuses makes no attempt."""
    tracing = Tracing()
    outcome = await attempt(print, tracing, when=lambda _: False)
    assert outcome == Done(handled=False)
    assert tracing.seen == []


async def test_an_error_of_middleware_is_judged_by_the_retry_policy() -> None:
    """RetryLater and Reject mean there what they mean in a handler."""
    failed = await attempt(print, Tracing(OSError("away")))
    assert isinstance(failed, Retry)
    assert failed.failure.message == "away"
    later = await attempt(print, Tracing(RetryLater(77)))
    assert isinstance(later, Retry)
    assert later.delay == 77
    rejected = await attempt(print, Tracing(Reject("no")))
    assert isinstance(rejected, DeadLetter)
    assert rejected.reason == "rejected"


@pytest.mark.parametrize("error", [StopIteration("x"), SystemExit(3), KeyError("x")])
async def test_whatever_a_sync_handler_raises_is_an_outcome(
    error: BaseException, executor: ThreadPoolExecutor
) -> None:
    """In a thread, with middleware around it."""

    def fail(_: Event[Any]) -> None:
        raise error

    outcome = await attempt(fail, Tracing(), executor=executor)
    assert isinstance(outcome, Retry | DeadLetter)


@pytest.mark.parametrize("where", ["handler", "middleware"])
async def test_cancellation_passes_through(where: str) -> None:
    """A cancelled delivery has no outcome: it is given back."""
    began = asyncio.Event()

    async def wait(*_: object) -> None:
        began.set()
        await asyncio.Event().wait()

    class Waiting:
        async def around_handle(self, *about: Any) -> None:
            await (wait() if where == "middleware" else about[-1]())

    task = asyncio.create_task(attempt(wait, Waiting()))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_that_middleware_catches_is_one_all_the_same() -> None:
    """It cannot make an outcome of an attempt that was cancelled."""
    began = asyncio.Event()

    async def wait(_: Event[Any]) -> None:
        began.set()
        await asyncio.Event().wait()

    class Catching:
        async def around_handle(self, *about: Any) -> None:
            with pytest.raises(asyncio.CancelledError):
                await about[-1]()

    task = asyncio.create_task(attempt(wait, Catching()))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("kind", ["async", "sync", "in a thread"])
async def test_a_result_that_is_still_to_be_run_fails_within_middleware_too(
    kind: str, executor: ThreadPoolExecutor
) -> None:
    """Middleware sees the error, as it sees any other of the handler."""

    def generator() -> Iterator[None]:
        yield

    async def handler(_: Event[Any]) -> object:
        return generator()

    outcome = await attempt(
        handler if kind == "async" else lambda _: generator(),
        Tracing(),
        executor=executor if kind == "in a thread" else None,
    )
    assert isinstance(outcome, Retry)
    assert outcome.failure.exception_type == "qt_events.errors.InvalidHandlerError"
