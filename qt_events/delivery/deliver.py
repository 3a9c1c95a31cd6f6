"""deliver(): one attempt to hand one event to one subscription, and its outcome.

This is the only place that calls a handler. Both buses and every worker pool come through here, so
that a handler, a predicate or a retry policy cannot behave differently by backend.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import Executor
from contextlib import suppress
from contextvars import Context, copy_context
from copy import copy
from dataclasses import dataclass
from functools import partial
from inspect import isawaitable
from sys import modules
from time import monotonic
from types import CoroutineType, coroutine
from typing import Any, ParamSpec, TypeVar

from qt_events.delivery.django_connections import DATABASES, in_its_thread, looked_after
from qt_events.delivery.ending import UnjudgedError, is_abandoned, is_ending
from qt_events.delivery.middleware import MiddlewareStack
from qt_events.delivery.outcome import HANDLED, SKIPPED, Outcome, consequences
from qt_events.delivery.stats import SLOW_AFTER, Watch
from qt_events.delivery.subscription import EventHandler, Subscription, must_have_run
from qt_events.delivery.threads import call_in_thread
from qt_events.events.current import bind_attempt
from qt_events.events.event import Event
from qt_events.events.raw import as_raw

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger("qt_events")

_DONE = "%s: attempt %d done"
# The first step of a coroutine that waits for nothing. Unlike send(), next() with a default makes
# no StopIteration.
_ENDED = object()
# The rest of a handler that waits for something.
_Rest = Callable[["_Attempt"], Awaitable[object]]


async def deliver(
    event: Event[Any],
    subscription: Subscription,
    attempt: int = 1,
    *,
    executor: Executor | None = None,
    watch: Watch | None = None,
    slow_after: float = SLOW_AFTER,
    middleware: MiddlewareStack | None = None,
) -> Outcome:
    """Call the handler with the event, unless the predicate says no, and return the outcome.

    Args:
        event: the event to deliver.
        subscription: the subscription to deliver it to.
        attempt: number of the attempt, from 1.
        executor: runs sync handlers; None calls them right here (a worker pool's own thread or
            process).
        watch: receives reports about slow handlers.
        slow_after: seconds from which a handler is slow.
        middleware: is called around the handler.

    Raises:
        asyncio.CancelledError, UnjudgedError: there is no outcome, and the event must be given
            back: the delivery was cancelled, or what failed is not the handler.
    """
    if middleware is not None and middleware.around_handle:
        subscription = within(middleware, subscription, attempt, executor)
    outcome = begin(event, subscription, attempt, executor, watch, slow_after)
    return outcome if isinstance(outcome, Outcome) else await outcome


def begin(  # noqa: C901, PLR0917  # by position: names would cost as much as the call
    event: Any,
    subscription: Subscription,
    attempt: int,
    executor: Executor | None,
    watch: Watch | None,
    slow_after: float,
) -> Outcome | Coroutine[Any, Any, Outcome]:
    """Do what `deliver` does, up to the first wait.

    Return the outcome, or a coroutine that this same task must await for it, at once. Most handlers
    wait for nothing: such a delivery costs a context, and no coroutine but the handler's own.
    """
    if DATABASES in modules:
        subscription = looked_after(subscription)
    context = copy_context()
    context.run(bind_attempt, (event, subscription.name, attempt))
    outcome: Outcome = HANDLED
    rest: _Rest | None = None
    started = monotonic()
    try:
        if subscription.raw:
            event = as_raw(event)
        if subscription.when is not None and not context.run(subscription.when, event):
            outcome = SKIPPED
        elif executor is not None and not subscription.is_async:
            rest = partial(_in_thread, executor)
        else:
            result = context.run(subscription.handler, event)
            if type(result) is CoroutineType and subscription.is_async:
                running = _looked_at(result, subscription)
                waits_for = context.run(next, running, _ENDED)
                if waits_for is not _ENDED:
                    rest = partial(_further_steps, running, waits_for)
            elif result is not None:
                rest = _rest_of(result, subscription)
    except BaseException as error:  # noqa: BLE001  # a handler that breaks never stops the bus
        this = _Attempt(event, subscription, attempt, context, watch, slow_after, started)
        return this.failed(error)
    if rest is None and monotonic() - started <= slow_after:
        if outcome is HANDLED and logger.isEnabledFor(logging.DEBUG):
            _within(context, logger.debug, _DONE, subscription.name, attempt)
        return outcome
    this = _Attempt(event, subscription, attempt, context, watch, slow_after, started)
    return this.ended(outcome) if rest is None else this.finish(rest)


def within(
    middleware: MiddlewareStack,
    subscription: Subscription,
    attempt: int,
    executor: Executor | None,
    handler: EventHandler | None = None,
) -> Subscription:
    """Return the subscription for one attempt, its handler called through the middleware.

    `handler` is called in the place of the subscription's own.
    """
    threads = None if subscription.is_async else executor
    called = in_its_thread(subscription, handler or subscription.handler)
    call = partial(_call, subscription, called, threads)
    view = copy(subscription)
    view.handler = partial(_through, middleware, subscription, attempt, call)
    # The view's handler is a coroutine function, `_through`; `_call` looks at the results.
    view.is_async = True
    return view


async def _through(
    middleware: MiddlewareStack,
    subscription: Subscription,
    attempt: int,
    call: Callable[[Event[Any]], Awaitable[object]],
    event: Event[Any],
) -> None:
    await middleware.handle(event, subscription, attempt, partial(call, event))


async def _call(
    subscription: Subscription,
    handler: EventHandler,
    executor: Executor | None,
    event: Event[Any],
) -> object:
    """Call a handler from a coroutine, in one of the executor's threads if there is one."""
    if executor is None:
        result = handler(event)
    else:
        result, error = await call_in_thread(executor, copy_context(), handler, event)
        if error is not None:
            raise error
    if isawaitable(result):
        result = await result
    must_have_run(subscription, result)
    return result


@coroutine
def _looked_at(
    result: Coroutine[Any, Any, object], subscription: Subscription
) -> Generator[Any, Any, None]:
    """Run a handler's coroutine and look at what it returns, which costs no StopIteration here."""
    returned: object = yield from result  # type: ignore[func-returns-value]
    if returned is not None:
        must_have_run(subscription, returned)


def _rest_of(result: object, subscription: Subscription) -> _Rest | None:
    if isawaitable(result):
        return partial(_awaited, result)
    must_have_run(subscription, result)
    return None


@dataclass(slots=True)
class _Attempt:
    """An attempt that waits, fails or is slow; the others do without this object."""

    event: Event[Any]
    subscription: Subscription
    number: int
    context: Context
    watch: Watch | None
    slow_after: float
    started: float
    #: Cancellations that somebody asked of this task, with the number of requests before each.
    cancellations: tuple[tuple[asyncio.CancelledError, int], ...] = ()
    #: The coroutine of this attempt was closed: there is nobody to give an outcome to.
    is_closed: bool = False

    def __post_init__(self) -> None:
        """Report an async handler that blocked the loop with its first step or its predicate."""
        if self.subscription.is_async:
            self._tell_if_blocked(self.started)

    async def finish(self, rest: _Rest) -> Outcome:
        """Await the rest of the handler and return the outcome."""
        try:
            await rest(self)
        except BaseException as error:  # noqa: BLE001  # as in begin()
            return self.failed(error)
        return self.ended(HANDLED)

    def failed(self, error: BaseException) -> Outcome:
        """Return the outcome of an error, or raise the error if it is not the handler's own."""
        try:
            if isinstance(error, KeyboardInterrupt | UnjudgedError):
                # Meant for the whole program, or for the bus.
                raise error
            if self.is_closed:
                raise GeneratorExit from error
            if isinstance(error, asyncio.CancelledError) and self._was_cancelled_with(error):
                raise error
            if is_ending(self.context):
                raise UnjudgedError.at_the_end(error) from error
            return _within(self.context, _decide, self.subscription, self.number, error)
        finally:
            self._tell_if_slow()

    def _was_cancelled_with(self, error: asyncio.CancelledError) -> bool:
        """Return True for a cancellation of this task, False for an error of the handler's own."""
        return any(
            _cancel_requests() > before and _comes_from(error, cancelled)
            for cancelled, before in self.cancellations
        )

    def cancelled(self, error: asyncio.CancelledError, before: int) -> None:
        """Note a CancelledError that was thrown in."""
        # If the count has not grown, something that the handler awaited was cancelled, not this
        # task.
        if _cancel_requests() > before:
            self.cancellations += ((error, before),)

    def ended(self, outcome: Outcome) -> Outcome:
        """Report a slow handler, log the end, and return the outcome."""
        self._tell_if_slow()
        if outcome is HANDLED and logger.isEnabledFor(logging.DEBUG):
            _within(self.context, logger.debug, _DONE, self.subscription.name, self.number)
        return outcome

    def _tell_if_slow(self) -> None:
        seconds = monotonic() - self.started
        if seconds > self.slow_after and self.watch is not None:
            _within(self.context, self.watch.slow, self.subscription, self.event, seconds)

    def _tell_if_blocked(self, since: float) -> None:
        seconds = monotonic() - since
        if seconds > self.slow_after and self.watch is not None:
            _within(self.context, self.watch.blocked, self.subscription, self.event, seconds)

    def step(self, step: Callable[[Any], T], value: object) -> T:
        """Run a step of a coroutine inside the context, and time it."""
        started = monotonic()
        try:
            return self.context.run(step, value)
        finally:
            self._tell_if_blocked(started)


def _within(context: Context, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in the context of the delivery: its log lines have the event."""
    # In a copy: a handler's thread may outlive its cancelled delivery, and still be in the context.
    return context.copy().run(function, *args, **kwargs)


async def _in_thread(executor: Executor, attempt: _Attempt) -> None:
    """Call a sync handler; a lambda or a decorated one may return a coroutine too."""
    handler, event = attempt.subscription.handler, attempt.event
    before = _cancel_requests()
    try:
        result, error = await call_in_thread(executor, attempt.context, handler, event)
    except asyncio.CancelledError as cancelled:
        attempt.cancelled(cancelled, before)
        raise
    except GeneratorExit:
        attempt.is_closed = True
        raise
    if error is not None:
        raise error
    if isawaitable(result):
        await _awaited(result, attempt)
    else:
        must_have_run(attempt.subscription, result)


async def _awaited(result: Awaitable[object], attempt: _Attempt) -> None:
    """Await an object that a plain function returned."""
    coroutine = result if isinstance(result, CoroutineType) else _await(result)
    running = _looked_at(coroutine, attempt.subscription)
    with suppress(StopIteration):
        waits_for = attempt.step(running.send, None)
        await _further_steps(running, waits_for, attempt)


async def _await(result: Awaitable[object]) -> object:
    return await result


def _comes_from(error: BaseException | None, cause: BaseException | None) -> bool:
    """Return True if `error` is `cause`, or was raised while `cause` was being handled."""
    while error is not None and error is not cause:
        error = error.__context__
    return error is not None


def _decide(subscription: Subscription, attempt: int, error: BaseException) -> Outcome:
    outcome = subscription.retry.decide(attempt, error)
    follows = consequences(outcome)
    if follows.again_after is None:
        message = "%s: attempt %d failed, dead letter"
        logger.error(message, subscription.name, attempt, exc_info=error)
    else:
        message = "%s: attempt %d failed with %s: %s; again in %.3g s"
        cause = (outcome.failure.exception_type, outcome.failure.message)
        logger.warning(message, subscription.name, attempt, *cause, follows.again_after)
    return outcome


@coroutine
def _further_steps(
    coroutine: Generator[Any, Any, None], waits_for: object, attempt: _Attempt
) -> Generator[Any, Any, None]:
    """Await the rest of a coroutine, which has come to a point where it `waits_for` something.

    It stays in the task that awaits it, so that asyncio.timeout and TaskGroup work in handlers; its
    context variables stay its own, as they would in a task of its own.
    """
    while True:
        before = _cancel_requests()
        try:
            step, value = coroutine.send, (yield waits_for)
        except GeneratorExit:
            attempt.is_closed = True
            attempt.context.run(coroutine.close)
            raise
        except asyncio.CancelledError as error:
            attempt.cancelled(error, before)
            if is_abandoned():
                # It may swallow this, too.
                with suppress(Exception):
                    attempt.context.run(coroutine.close)
                raise
            step, value = coroutine.throw, error
        except BaseException as error:  # noqa: BLE001  # all that is thrown in is the coroutine's
            step, value = coroutine.throw, error
        try:
            waits_for = attempt.step(step, value)
        except StopIteration:
            return


def _cancel_requests() -> int:
    """Return the number of cancellations of this task that nobody has taken back."""
    # That alone does not tell that somebody wants it to end: TaskGroup of 3.11 leaves its own.
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0
