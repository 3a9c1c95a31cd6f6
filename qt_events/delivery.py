"""deliver(): one attempt to hand one event to one subscription, and what is to happen after it.

The one place that calls a handler. Both buses and every worker pool come through here, so that a
handler, a predicate or a retry policy cannot behave differently by backend.
"""

import asyncio
import inspect
import logging
import traceback
import types
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Executor
from contextvars import Context
from dataclasses import dataclass
from time import monotonic
from typing import Any, ParamSpec, Protocol, TypeVar

from qt_events.events import Event, handled
from qt_events.log_lines import name_of_type, text_of
from qt_events.logs import delivered
from qt_events.retry import GiveUp, RetryAfter
from qt_events.subscription import EventHandler, Subscription

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger("qt_events")

SLOW_AFTER = 0.1  # seconds
_REPORT_EVERY = 10.0  # seconds between two log lines about one slow subscription; the counters count all


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed, in words: what a dead letter tells an operator."""

    exception_type: str
    message: str
    traceback: str = ""

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """The failure that this exception means."""
        return cls(name_of_type(error), text_of(error), "".join(traceback.format_exception(error)))


@dataclass(frozen=True, slots=True)
class Done:
    """Finished with; `handled` is False where a predicate or a removed binding kept the event from the handler."""

    handled: bool = True


@dataclass(frozen=True, slots=True)
class Retry:
    """Again after `delay` seconds, for this subscription alone."""

    delay: float
    failure: Failure


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Failed for good; see `DeadLetterRecord.reason` for the reasons there are."""

    reason: str
    failure: Failure


Outcome = Done | Retry | DeadLetter


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
    context = handled(event)
    context.run(delivered.set, (event, subscription.name, attempt))
    started = monotonic()
    try:
        if subscription.when is not None and not context.run(subscription.when, event):
            return Done(handled=False)
        result = await _call(subscription, event, context, executor)
        if inspect.iscoroutine(result):
            await _steps(result, context, slow_after, _blocking_report(watch, subscription, event, context))
        elif inspect.isawaitable(result):
            await result
    except asyncio.CancelledError as error:
        if _is_being_cancelled():
            raise
        return _within(context, _decide, subscription, attempt, error)  # the handler raised it by itself
    except (KeyboardInterrupt, GeneratorExit):
        raise  # meant for the whole program, or for this coroutine
    except BaseException as error:  # noqa: BLE001  # one that breaks never stops the bus
        return _within(context, _decide, subscription, attempt, error)
    finally:
        seconds = monotonic() - started
        if seconds > slow_after and watch is not None:
            _within(context, watch.slow, subscription, event, seconds)
    if logger.isEnabledFor(logging.DEBUG):
        _within(context, logger.debug, "%s: attempt %d done", subscription.name, attempt)
    return Done()


def _within(context: Context, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What it logs is logged about the delivery. In a copy: a handler's thread may outlive its cancelled delivery."""
    return context.copy().run(function, *args, **kwargs)


async def _call(subscription: Subscription, event: Event[Any], context: Context, executor: Executor | None) -> object:
    """What the handler returns; a plain function may return a coroutine too: a lambda, a decorated handler."""
    if subscription.is_async or executor is None:
        return context.run(subscription.handler, event)
    loop = asyncio.get_running_loop()
    result, error = await loop.run_in_executor(executor, context.run, _ended, subscription.handler, event)
    if error is not None:
        raise error
    return result


def _ended(handler: EventHandler, event: Event[Any]) -> tuple[object, BaseException | None]:
    """How the call ended, as a value: a future does not carry StopIteration, and would never be done."""
    try:
        return handler(event), None
    except BaseException as error:  # noqa: BLE001  # raised again where it is awaited
        return None, error


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _decide(subscription: Subscription, attempt: int, error: BaseException) -> Outcome:
    failure = Failure.of(error)
    match subscription.retry.decide(attempt, error):
        case RetryAfter(delay=delay):
            outcome: Outcome = Retry(delay, failure)
        case GiveUp(reason=reason):
            outcome = DeadLetter(reason, failure)
    _log_failure(subscription, attempt, error, outcome)
    return outcome


def _log_failure(subscription: Subscription, attempt: int, error: BaseException, outcome: Outcome) -> None:
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
        logger.error("%s: attempt %d failed, dead letter", subscription.name, attempt, exc_info=error)


def _blocking_report(
    watch: Watch | None, subscription: Subscription, event: Event[Any], context: Context
) -> Callable[[float], None] | None:
    return None if watch is None else lambda seconds: _within(context, watch.blocked, subscription, event, seconds)


@types.coroutine
def _steps(
    coroutine: Coroutine[Any, Any, object], context: Context, limit: float, report: Callable[[float], None] | None
) -> Generator[Any, Any, object]:
    """Await `coroutine`, each step of it inside `context` and timed.

    It stays in the task that awaits it, so that asyncio.timeout and TaskGroup work in handlers; its
    context variables stay its own, as they would in a task of its own.
    """
    step, value = coroutine.send, None
    while True:
        started = monotonic()
        try:
            waiting_for = context.run(step, value)
        except StopIteration as end:
            return end.value
        finally:
            seconds = monotonic() - started
            if seconds > limit and report is not None:
                report(seconds)
        try:
            step, value = coroutine.send, (yield waiting_for)
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as error:  # noqa: BLE001  # whatever is thrown in is the coroutine's
            step, value = coroutine.throw, error


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

    def _log(self, what: str, subscription: Subscription, event: Event[Any], seconds: float) -> None:
        key, now = (what, subscription.name), monotonic()
        if now >= self._silent_until.get(key, 0.0):
            self._silent_until[key] = now + _REPORT_EVERY
            logger.warning("handler %s %s %.0f ms with %s", subscription.name, what, seconds * 1000, event.type)
