"""The numbers a user sets: each checked where it is given."""

import math

from qt_events.errors import InvalidOptionError, UsageError


def positive_int(
    name: str,
    value: object,
    *,
    most: int | None = None,
    error: type[UsageError] = InvalidOptionError,
) -> int:
    """`value`, if it is an int from 1 (to `most`); an `error` that names it otherwise."""
    if (
        not isinstance(value, int)
        or isinstance(value, bool)
        or value < 1
        or (most is not None and value > most)
    ):
        allowed = "of 1 or more" if most is None else f"from 1 to {most}"
        message = f"{name}={value!r:.80} must be an int {allowed}"
        raise error(message)
    return value


def positive_seconds(name: str, value: object) -> float:
    """`value` in seconds, if it is a finite number over 0; InvalidOptionError names it otherwise."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        message = f"{name}={value!r} must be a number of seconds over 0"
        raise InvalidOptionError(message)
    return float(value)


def positive_rate(name: str, value: object) -> float:
    """`value` a second, if it is a finite number over 0; InvalidOptionError names it otherwise."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        message = f"{name}={value!r} must be a number over 0, how many a second"
        raise InvalidOptionError(message)
    return float(value)
