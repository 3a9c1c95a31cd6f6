"""Numbers that a user sets, each checked where it is given."""

import math

from qt_events.errors import InvalidOptionError, UsageError

#: Events of one batch.
MAX_BATCH = 10_000
#: Seconds for which a batch is gathered.
MAX_WITHIN = 60.0
#: Events that one consumer may hold: in AMQP, a number of 16 bits.
MAX_PREFETCH = 65_535


def positive_int(
    name: str,
    value: object,
    *,
    most: int | None = None,
    error: type[UsageError] = InvalidOptionError,
) -> int:
    """Return `value` if it is an int from 1 (to `most`); else raise an `error` that names it."""
    highest = math.inf if most is None else most
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= highest:
        allowed = "of 1 or more" if most is None else f"from 1 to {most}"
        raise error(f"{name}={value!r:.80} must be an int {allowed}")
    return value


def checked_prefetch(prefetch: int | None) -> int | None:
    """Return a bus's `prefetch` if it is None or a number that AMQP knows."""
    return None if prefetch is None else positive_int("prefetch", prefetch, most=MAX_PREFETCH)


def positive_seconds(name: str, value: object) -> float:
    """Return `value` in seconds if it is a finite number over 0; else raise InvalidOptionError."""
    return _positive(name, value, "a number of seconds over 0")


def seconds_up_to(name: str, value: object, most: float) -> float:
    """Return `value` in seconds if it is a number from 0 to `most`; else InvalidOptionError."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= most:
        raise InvalidOptionError(f"{name}={value!r:.80} must be seconds from 0 to {most:g}")
    return float(value)


def positive_rate(name: str, value: object) -> float:
    """Return `value` a second if it is a finite number over 0; else raise InvalidOptionError."""
    return _positive(name, value, "a number over 0, how many a second")


def _positive(name: str, value: object, allowed: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise InvalidOptionError(f"{name}={value!r} must be {allowed}")
    return float(value)
