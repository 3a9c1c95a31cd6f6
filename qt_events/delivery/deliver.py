"""deliver(): one attempt to hand one event to one subscription, and what is to happen after it.

The one place that calls a handler. Both buses and every worker pool come through here, so that a
handler, a predicate or a retry policy cannot behave differently by backend.
"""

import asyncio
import logging
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import Executor
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass
from functools import partial
from inspect import isawaitable
from time import monotonic
from types import CoroutineType
from typing import Any, ParamSpec, Protocol, TypeVar

from qt_events.delivery.outcome import HANDLED, SKIPPED, DeadLetter, Failure, Outcome, Retry
from qt_events.delivery.retry import GiveUp, RetryAfter
from qt_events.delivery.subscription import EventHandler, Subscription
from qt_events.events.current import bind_attempt
from qt_events.events.event import Event

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger("qt_events")

SLOW_AFTER = 0.1  # seconds
_REPORT_EVERY = (
    10.0  # seconds between two log lines about one slow subscription; the counters count all
)


_DONE = "%s: attempt %d done"
_ENDED = object()  # where a coroutine waits for something, if it does not
_Rest = Callable[
    ["_Attempt"], Awaitable[object]
]  # what is left of a handler that waits for something


class SlowCounters(Protocol):
    """What counts by subscription name."""

    def count_slow(self, subscription: str, /) -> None:
        """One more slow delivery."""

    def count_blocked(self, subscription: str, /) -> None:
        """One more blocked loop."""


class Watch(Protocol):
    """Who is told about handlers that take long."""

    def slow(self, subscription: Subscription, event: Event[Any], seconds: float) -> None:
        """The handler took `seconds` from start to end."""

    def blocked(self, subscription: Subscription, event: Event[Any], seconds: float) -> None:
        """The handler kept the event loop from everything else for `seconds`."""


async def deliver(
    event: Event[Any],
    subscription: Subscription,
    attempt: int = 1,
    *,
    executor: Executor | None = None,
    watch: Watch | None = None,
    slow_after: float = SLOW_AFTER,
) -> Outcome:
    """Call the handler with the event, unless the predicate says no, and decide.

    Args:
        event: what to deliver.
        subscription: to whom.
        attempt: which attempt this is, from 1.
        executor: where sync handlers run; None calls them right here (a worker pool's own thread or process).
        watch: is told about slow handlers.
        slow_after: seconds from which a handler is slow.

    Raises:
        asyncio.CancelledError: the delivery itself was cancelled; it has no outcome then and must be given back.
    """
    outcome = begin(event, subscription, attempt, executor, watch, slow_after)
    return outcome if isinstance(outcome, Outcome) else await outcome


def begin(  # noqa: PLR0917  # six: names would cost as much as the call
    event: Event[Any],
    subscription: Subscription,
    attempt: int,
    executor: Executor | None,
    watch: Watch | None,
    slow_after: float,
) -> Outcome | Coroutine[Any, Any, Outcome]:
    """`deliver`, as far as it comes without waiting: the outcome, or what this same task is to await for it, at once.

    Most handlers wait for nothing. Such a delivery costs a context, and no coroutine but the handler's own.
    """
    context = copy_context()
    context.run(bind_attempt, (event, subscription.name, attempt))
    outcome: Outcome = HANDLED
    rest: _Rest | None = None
    started = monotonic()
    try:
        if subscription.when is not None and not context.run(subscription.when, event):
            outcome = SKIPPED
        elif executor is not None and not subscription.is_async:
            rest = partial(_in_thread, executor)
        else:
            result = context.run(subscription.handler, event)
            if type(result) is CoroutineType and subscription.is_async:
                waits_for = context.run(
                    next, result.__await__(), _ENDED
                )  # spares the StopIteration that send() makes
                if waits_for is not _ENDED:
                    rest = partial(_further_steps, result, waits_for)
            elif isawaitable(result):
                rest = partial(_awaited, result)
    except BaseException as error:  # noqa: BLE001  # one that breaks never stops the bus
        this = _Attempt(event, subscription, attempt, context, watch, slow_after, started)
        this.first_step_ended()
        return this.failed(error)
    if rest is None and monotonic() - started <= slow_after:
        if outcome is HANDLED and logger.isEnabledFor(logging.DEBUG):
            _within(context, logger.debug, _DONE, subscription.name, attempt)
        return outcome
    this = _Attempt(event, subscription, attempt, context, watch, slow_after, started)
    this.first_step_ended()
    return this.ended(outcome) if rest is None else this.finish(rest)


@dataclass(slots=True)
class _Attempt:
    """One that waits, fails or is slow; the others do without."""

    event: Event[Any]
    subscription: Subscription
    number: int
    context: Context
    watch: Watch | None
    slow_after: float
    started: float
    #: Each with which somebody wanted this task to end, and how many such requests there were before.
    cancellations: tuple[tuple[asyncio.CancelledError, int], ...] = ()

    async def finish(self, rest: _Rest) -> Outcome:
        """The outcome, when the rest has ended too."""
        try:
            await rest(self)
        except BaseException as error:  # noqa: BLE001  # as above
            return self.failed(error)
        return self.ended(HANDLED)

    def failed(self, error: BaseException) -> Outcome:
        """What follows from it. Raises it, if it is not the handler's own."""
        try:
            if isinstance(error, KeyboardInterrupt | GeneratorExit):
                raise error  # meant for the whole program, or for this coroutine
            if isinstance(error, asyncio.CancelledError) and self._was_cancelled_with(error):
                raise error
            return _within(self.context, _decide, self.subscription, self.number, error)
        finally:
            self._tell_if_slow()

    def _was_cancelled_with(self, error: asyncio.CancelledError) -> bool:
        """By a request that nobody has taken back; else the handler raised it by itself."""
        return any(
            _cancel_requests() > before and _comes_from(error, cancelled)
            for cancelled, before in self.cancellations
        )

    def cancelled(self, error: asyncio.CancelledError, before: int) -> None:
        """It was thrown in."""
        if _cancel_requests() > before:  # else what the handler awaited was cancelled
            self.cancellations += ((error, before),)

    def ended(self, outcome: Outcome) -> Outcome:
        """The outcome, told where it is of interest."""
        self._tell_if_slow()
        if outcome is HANDLED and logger.isEnabledFor(logging.DEBUG):
            _within(self.context, logger.debug, _DONE, self.subscription.name, self.number)
        return outcome

    def _tell_if_slow(self) -> None:
        seconds = monotonic() - self.started
        if seconds > self.slow_after and self.watch is not None:
            _within(self.context, self.watch.slow, self.subscription, self.event, seconds)

    def first_step_ended(self) -> None:
        """That of an async handler was on the loop, with the predicate before it."""
        if self.subscription.is_async:
            self._tell_if_blocked(self.started)

    def _tell_if_blocked(self, since: float) -> None:
        seconds = monotonic() - since
        if seconds > self.slow_after and self.watch is not None:
            _within(self.context, self.watch.blocked, self.subscription, self.event, seconds)

    def step(self, step: Callable[[Any], T], value: object) -> T:
        """A step of a coroutine, inside the context and timed."""
        started = monotonic()
        try:
            return self.context.run(step, value)
        finally:
            self._tell_if_blocked(started)


def _within(context: Context, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What it logs is logged about the delivery. In a copy: a handler's thread may outlive its cancelled delivery."""
    return context.copy().run(function, *args, **kwargs)


async def _in_thread(executor: Executor, attempt: _Attempt) -> None:
    """A sync handler; it may return a coroutine too: a lambda, a decorated handler."""
    handler, event = attempt.subscription.handler, attempt.event
    loop, before = asyncio.get_running_loop(), _cancel_requests()
    try:
        result, error = await loop.run_in_executor(
            executor, attempt.context.run, _ended, handler, event
        )
    except asyncio.CancelledError as cancelled:
        attempt.cancelled(cancelled, before)
        raise
    if error is not None:
        raise error
    if isawaitable(result):
        await _awaited(result, attempt)


async def _awaited(result: Awaitable[object], attempt: _Attempt) -> None:
    """What a plain function returned."""
    coroutine = result if isinstance(result, CoroutineType) else _await(result)
    with suppress(StopIteration):
        waits_for = attempt.step(coroutine.send, None)
        await _further_steps(coroutine, waits_for, attempt)


async def _await(result: Awaitable[object]) -> object:
    return await result


def _ended(handler: EventHandler, event: Event[Any]) -> tuple[object, BaseException | None]:
    """How the call ended, as a value: a future does not carry StopIteration, and would never be done."""
    try:
        return handler(event), None
    except BaseException as error:  # noqa: BLE001  # raised again where it is awaited
        return None, error


def _comes_from(error: BaseException | None, cause: BaseException | None) -> bool:
    """Whether it is that one, or was raised while that one was being handled."""
    while error is not None and error is not cause:
        error = error.__context__
    return error is not None


def _decide(subscription: Subscription, attempt: int, error: BaseException) -> Outcome:
    failure = Failure.of(error)
    match subscription.retry.decide(attempt, error):
        case RetryAfter(delay=delay):
            outcome: Outcome = Retry(delay, failure)
        case GiveUp(reason=reason):
            outcome = DeadLetter(reason, failure)
    _log_failure(subscription, attempt, error, outcome)
    return outcome


def _log_failure(
    subscription: Subscription, attempt: int, error: BaseException, outcome: Outcome
) -> None:
    if isinstance(outcome, Retry):
        then = f"again in {outcome.delay:.3g} s"
        failure = outcome.failure
        logger.warning(
            "%s: attempt %d failed with %s: %s; %s",
            subscription.name,
            attempt,
            failure.exception_type,
            failure.message,
            then,
        )
    else:
        logger.error(
            "%s: attempt %d failed, dead letter", subscription.name, attempt, exc_info=error
        )


@types.coroutine
def _further_steps(
    coroutine: Coroutine[Any, Any, object], waits_for: object, attempt: _Attempt
) -> Generator[Any, Any, None]:
    """Await the rest of `coroutine`, which has come to where it `waits_for` something.

    It stays in the task that awaits it, so that asyncio.timeout and TaskGroup work in handlers; its
    context variables stay its own, as they would in a task of its own.
    """
    while True:
        before = _cancel_requests()
        try:
            step, value = coroutine.send, (yield waits_for)
        except GeneratorExit:
            attempt.context.run(coroutine.close)
            raise
        except asyncio.CancelledError as error:
            attempt.cancelled(error, before)
            step, value = coroutine.throw, error
        except BaseException as error:  # noqa: BLE001  # whatever is thrown in is the coroutine's
            step, value = coroutine.throw, error
        try:
            waits_for = attempt.step(step, value)
        except StopIteration:
            return


def _cancel_requests() -> int:
    """How many this task has had and nobody has taken back.

    The count alone does not tell that somebody wants it to end: TaskGroup of CPython 3.11 leaves its own there.
    """
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


class SlowHandlerLog:
    """A Watch that counts each slow delivery and logs the first of a subscription in every ten seconds."""

    def __init__(self, stats: SlowCounters) -> None:
        self._stats = stats
        self._silent_until: dict[tuple[str, str], float] = {}

    def slow(self, subscription: Subscription, event: Event[Any], seconds: float) -> None:
        """See Watch."""
        self._stats.count_slow(subscription.name)
        self._log("is slow: it took", subscription, event, seconds)

    def blocked(self, subscription: Subscription, event: Event[Any], seconds: float) -> None:
        """See Watch."""
        self._stats.count_blocked(subscription.name)
        self._log("blocked the event loop for", subscription, event, seconds)

    def _log(
        self, what: str, subscription: Subscription, event: Event[Any], seconds: float
    ) -> None:
        key, now = (what, subscription.name), monotonic()
        if now >= self._silent_until.get(key, 0.0):
            self._silent_until[key] = now + _REPORT_EVERY
            logger.warning(
                "handler %s %s %.0f ms with %s", subscription.name, what, seconds * 1000, event.type
            )
