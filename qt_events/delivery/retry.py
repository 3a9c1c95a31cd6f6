"""RetryPolicy: attempts and delays of a failed delivery; RetryLater and Reject for handlers.

Pure: there is no clock and no queue here. `deliver` asks the policy, the bus waits.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qt_events.delivery.outcome import DeadLetter, DeadLetterReason, Failed, Failure, Retry
from qt_events.errors import InvalidPolicyError
from qt_events.limits import positive_int

#: Seconds, the longest delay that a delay level holds.
MAX_DELAY = 7 * 24 * 3600.0
#: Enough to get from 1 s to MAX_DELAY in one step.
MAX_FACTOR = 1e6

# `__module__` of the classes below. The header `qt-exception-type`, logs and tracebacks name a
# class by it: the public path stays when this file moves.
_PUBLIC = "qt_events"


class RetryLater(Exception):
    """Raise it in a handler to get the event again after `delay` seconds.

    The delay replaces the policy's backoff, `max_delay` and jitter included, and `retry_on` and
    `give_up_on` are not asked. It still counts as an attempt: raised by attempt number
    `max_attempts`, the event becomes a dead letter.

    Raises:
        InvalidPolicyError: `delay` is not a number from 0 to MAX_DELAY. Raised in a handler, that
            is a failed attempt like any other.
    """

    __module__ = _PUBLIC

    def __init__(self, delay: float, reason: str = "") -> None:
        #: Seconds.
        self.delay = _number("RetryLater.delay", delay, 0, MAX_DELAY)
        self.reason = str(reason)
        super().__init__(delay, reason)

    def __str__(self) -> str:
        again = f"again after {self.delay:g} s"
        return f"{self.reason} ({again})" if self.reason else again


class Reject(Exception):
    """Raise it in a handler to make the event a dead letter at once, whatever the policy says."""

    __module__ = _PUBLIC

    def __init__(self, reason: str) -> None:
        self.reason = str(reason)
        super().__init__(reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Number of attempts, the delays between them, and the errors that are retried.

    The backoff before attempt n+1 is `initial * factor ** (n-1)` seconds, at most `max_delay`. The
    delay is drawn evenly from the backoff to `(1 + jitter)` times the backoff: never early, and
    spread out at `max_delay` too, which it may therefore exceed by its jitter. No delay exceeds
    MAX_DELAY (seven days).

    An error is judged by its own class: an ExceptionGroup is not looked into, nor is `__cause__`.
    An error that is no `Exception` (SystemExit, an asyncio.CancelledError that a handler raised) is
    never retried.

    Raises:
        InvalidPolicyError: a field is out of its range; the text names it.
    """

    __module__ = _PUBLIC

    #: Attempts in all, the first one included; from 1.
    max_attempts: int = 5
    #: Seconds before the second attempt; from 0 to MAX_DELAY.
    initial: float = 1.0
    #: Ratio of each backoff to the one before; from 1 to MAX_FACTOR.
    factor: float = 2.0
    #: Seconds, the cap of the backoff; from 0 to MAX_DELAY.
    max_delay: float = 300.0
    #: Largest share of the backoff that chance adds; from 0 to 1.
    jitter: float = 0.1
    #: Errors to retry; kept as a tuple.
    retry_on: type[Exception] | tuple[type[Exception], ...] = (Exception,)
    #: Errors not to retry, even if they are in `retry_on`; kept as a tuple.
    give_up_on: type[Exception] | tuple[type[Exception], ...] = ()

    def __post_init__(self) -> None:
        attempts = positive_int("max_attempts", self.max_attempts, error=InvalidPolicyError)
        self._keep("max_attempts", attempts)
        self._keep("initial", _number("initial", self.initial, 0, MAX_DELAY))
        self._keep("factor", _number("factor", self.factor, 1, MAX_FACTOR))
        self._keep("max_delay", _number("max_delay", self.max_delay, 0, MAX_DELAY))
        self._keep("jitter", _number("jitter", self.jitter, 0, 1))
        self._keep("retry_on", _error_classes("retry_on", self.retry_on))
        self._keep("give_up_on", _error_classes("give_up_on", self.give_up_on))

    def _keep(self, name: str, value: Any) -> None:
        # Frozen is for everybody else.
        object.__setattr__(self, name, value)

    def delay(self, attempt: int, random: Callable[[], float] = random.random) -> float:
        """Return the seconds to wait after failed attempt number `attempt`, from 1.

        Any number of attempts is fine. `random` gives a number from 0 to 1 and is called once.

        Raises:
            InvalidPolicyError: `attempt` is no int of 1 or more.
        """
        backoff = self._backoff(positive_int("attempt", attempt, error=InvalidPolicyError))
        return min(backoff * (1 + self.jitter * random()), MAX_DELAY)

    def _backoff(self, attempt: int) -> float:
        if self.initial == 0 or self.factor == 1:
            return min(self.initial, self.max_delay)
        try:
            return min(self.initial * self.factor ** (attempt - 1), self.max_delay)
        except OverflowError:
            return self.max_delay

    def decide(
        self, attempt: int, error: BaseException, random: Callable[[], float] = random.random
    ) -> Failed:
        """Return the outcome of attempt number `attempt`, from 1, which has failed with `error`.

        The first rule that holds counts: Reject gives up; RetryLater is obeyed while attempts are
        left; an error that is in `give_up_on`, or not in `retry_on`, gives up; attempts used up
        give up; else there is another attempt after `delay`. `exhausted` is therefore said only of
        an error that one more attempt would have retried.

        Raises:
            InvalidPolicyError: `attempt` is no int of 1 or more.
        """
        attempt = positive_int("attempt", attempt, error=InvalidPolicyError)
        failure = Failure.of(error)
        if isinstance(error, Reject):
            return DeadLetter(DeadLetterReason.REJECTED, failure)
        if not isinstance(error, RetryLater) and not self._retries(error):
            return DeadLetter(DeadLetterReason.GAVE_UP, failure)
        if attempt >= self.max_attempts:
            return DeadLetter(DeadLetterReason.EXHAUSTED, failure)
        if isinstance(error, RetryLater):
            return Retry(error.delay, failure)
        return Retry(self.delay(attempt, random), failure)

    def _retries(self, error: BaseException) -> bool:
        return isinstance(error, self.retry_on) and not isinstance(error, self.give_up_on)


def _number(name: str, value: object, low: float, high: float) -> float:
    """Return `value` as a float from `low` to `high`; InvalidPolicyError otherwise."""
    # Comparing refuses NaN, and ints too large to be floats before they are made one.
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidPolicyError(
            f"{name}={value!r} must be a number from {low:,.0f} to {high:,.0f}"
        )
    return float(value)


def _error_classes(name: str, value: object) -> tuple[type[Exception], ...]:
    classes = value if isinstance(value, tuple) else (value,)
    for item in classes:
        if not isinstance(item, type) or not issubclass(item, Exception):
            raise InvalidPolicyError(
                f"{name}={value!r} must be a class under Exception or a tuple of such classes; "
                f"{item!r} is none"
            )
    return classes


NO_RETRY = RetryPolicy(max_attempts=1)
