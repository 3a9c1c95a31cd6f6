"""deliver(): one attempt to hand one event to one subscription, and its outcome.

This is the only place that calls a handler. Both buses and every worker pool come through here, so
that a handler, a predicate or a retry policy cannot behave differently by backend.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import Executor
from contextlib import suppress
from contextvars import copy_context
from copy import copy
from functools import partial
from inspect import isawaitable
from sys import modules
from time import monotonic
from types import CoroutineType, coroutine
from typing import Any

from qt_events.delivery.django_connections import DATABASES, in_its_thread, looked_after
from qt_events.delivery.middleware import MiddlewareStack
from qt_events.delivery.outcome import DEDUPLICATED, HANDLED, SKIPPED, Outcome
from qt_events.delivery.running_attempt import (
    HandledBeforeError,
    Rest,
    RunningAttempt,
    cancel_requests,
    further_steps,
)
from qt_events.delivery.stats import SLOW_AFTER, Watch
from qt_events.delivery.subscribing.subscription import EventHandler, Subscription, must_have_run
from qt_events.delivery.threads import call_in_thread
from qt_events.events.current import bind_attempt
from qt_events.events.event import Event
from qt_events.events.raw import as_raw

logger = logging.getLogger("qt_events")

_DEBUG = logging.DEBUG
#: The first step of a coroutine that waits for nothing. Unlike send(), next() with a default makes
#: no StopIteration.
ENDED = object()


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
    outcome: Outcome = HANDLED
    rest: Rest | None = None
    is_async, when = subscription.is_async, subscription.when
    started = monotonic()
    try:
        if subscription.raw:
            event = as_raw(event)
        # An async handler's first step does this too, cheaper.
        if when is not None or not is_async:
            context.run(bind_attempt, (event, subscription.name, attempt))
        if when is not None and not context.run(when, event):
            outcome = SKIPPED
        elif is_async:
            running = handling(event, subscription, attempt)
            waits_for = context.run(next, running, ENDED)
            if waits_for is not ENDED:
                rest = partial(further_steps, running, waits_for)
        elif executor is not None:
            rest = partial(_in_thread, executor)
        else:
            result = context.run(subscription.called, event)
            if result is not None:
                rest = _rest_of(result, subscription)
    except BaseException as error:  # noqa: BLE001  # a handler that breaks never stops the bus
        this = RunningAttempt(event, subscription, attempt, context, watch, slow_after, started)
        return this.failed(error)
    if rest is None and monotonic() - started <= slow_after and not logger.isEnabledFor(_DEBUG):
        return outcome
    this = RunningAttempt(event, subscription, attempt, context, watch, slow_after, started)
    return this.ended(outcome) if rest is None else this.finish(rest)


def within(
    middleware: MiddlewareStack,
    subscription: Subscription,
    attempt: int,
    executor: Executor | None,
    handler: EventHandler | None = None,
) -> Subscription:
    """Return the subscription for one attempt, its handler called through the middleware.

    `handler` is called in the place of what the subscription calls. An inbox is inside the
    middleware: what that does before and after is no part of the transaction.
    """
    threads = None if subscription.is_async else executor
    called = in_its_thread(subscription, handler or subscription.called)
    call = partial(_call, subscription, called, threads)
    view = copy(subscription)
    view.called = partial(_through, middleware, subscription, attempt, call)
    # What the view calls is a coroutine function, `_through`; `_call` looks at the results.
    view.is_async = True
    return view


async def _through(
    middleware: MiddlewareStack,
    subscription: Subscription,
    attempt: int,
    call: Callable[[Event[Any]], Awaitable[object]],
    event: Event[Any],
) -> object:
    return await middleware.handle(event, subscription, attempt, partial(call, event))


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
    must_have_run(subscription.handler, result)
    return result


@coroutine
def handling(
    event: Event[Any], subscription: Subscription, attempt: int
) -> Generator[Any, Any, None]:
    """Run an async handler, from its call on, and look at what it returns."""
    bind_attempt((event, subscription.name, attempt))
    result: Any = subscription.called(event)
    if type(result) is not CoroutineType:
        result = _await(result)
    # Here a result costs no StopIteration.
    returned: object = yield from result
    if returned is not None:
        _judge(subscription, returned)


@coroutine
def _looked_at(
    result: Coroutine[Any, Any, object], subscription: Subscription
) -> Generator[Any, Any, None]:
    """Run a handler's coroutine and look at what it returns."""
    returned: object = yield from result  # type: ignore[func-returns-value]
    if returned is not None:
        _judge(subscription, returned)


def _judge(subscription: Subscription, returned: object) -> None:
    """Raise what a handler's result says of the attempt, if it says anything."""
    if returned is DEDUPLICATED:
        raise HandledBeforeError
    must_have_run(subscription.handler, returned)


def _rest_of(result: object, subscription: Subscription) -> Rest | None:
    if isawaitable(result):
        return partial(_awaited, result)
    _judge(subscription, result)
    return None


async def _in_thread(executor: Executor, attempt: RunningAttempt) -> None:
    """Call a sync handler; a lambda or a decorated one may return a coroutine too."""
    handler, event = attempt.subscription.called, attempt.event
    before = cancel_requests()
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
    elif result is not None:
        _judge(attempt.subscription, result)


async def _awaited(result: Awaitable[object], attempt: RunningAttempt) -> None:
    """Await an object that a plain function returned."""
    coroutine = result if isinstance(result, CoroutineType) else _await(result)
    running = _looked_at(coroutine, attempt.subscription)
    with suppress(StopIteration):
        waits_for = attempt.step(running.send, None)
        await further_steps(running, waits_for, attempt)


async def _await(result: object) -> object:
    return await result if isawaitable(result) else result
