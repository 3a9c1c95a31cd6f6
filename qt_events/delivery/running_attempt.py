"""An attempt that takes more than one step of its handler, and how any attempt that fails ends."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from time import monotonic
from types import coroutine
from typing import Any, ParamSpec, TypeVar

from qt_events.delivery.ending import UnjudgedError, is_abandoned, is_ending
from qt_events.delivery.outcome import DEDUPLICATED, HANDLED, Outcome, consequences
from qt_events.delivery.stats import Watch
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.events.event import Event

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger("qt_events")

_DONE = "%s: attempt %d done"
_BEFORE = "%s: was handled before, its inbox says: acknowledged without the handler"
#: The rest of a handler that waits for something.
Rest = Callable[["RunningAttempt"], Awaitable[object]]


class HandledBeforeError(Exception):
    """End of an attempt that an inbox has kept from the handler. It never leaves this package."""


@dataclass(slots=True)
class RunningAttempt:
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

    async def finish(self, rest: Rest) -> Outcome:
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
            if isinstance(error, HandledBeforeError):
                _within(self.context, logger.info, _BEFORE, self.subscription.name)
                return DEDUPLICATED
            if is_ending(self.context):
                raise UnjudgedError.at_the_end(error) from error
            return _within(self.context, _decide, self.subscription, self.number, error)
        finally:
            self._tell_if_slow()

    def _was_cancelled_with(self, error: asyncio.CancelledError) -> bool:
        """Return True for a cancellation of this task, False for an error of the handler's own."""
        return any(
            cancel_requests() > before and _comes_from(error, cancelled)
            for cancelled, before in self.cancellations
        )

    def cancelled(self, error: asyncio.CancelledError, before: int) -> None:
        """Note a CancelledError that was thrown in."""
        # If the count has not grown, something that the handler awaited was cancelled, not this
        # task.
        if cancel_requests() > before:
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
def further_steps(
    coroutine: Generator[Any, Any, None], waits_for: object, attempt: RunningAttempt
) -> Generator[Any, Any, None]:
    """Await the rest of a coroutine, which has come to a point where it `waits_for` something.

    It stays in the task that awaits it, so that asyncio.timeout and TaskGroup work in handlers; its
    context variables stay its own, as they would in a task of its own.
    """
    while True:
        before = cancel_requests()
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


def cancel_requests() -> int:
    """Return the number of cancellations of this task that nobody has taken back."""
    # That alone does not tell that somebody wants it to end: TaskGroup of 3.11 leaves its own.
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0
