"""The numbers a user sets: each checked where it is given."""

import math

from qt_events.errors import InvalidPolicyError


def positive_int(name: str, value: object) -> int:
    """`value`, if it is an int of 1 or more; InvalidPolicyError names it otherwise."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        message = f"{name}={value!r} must be an int of 1 or more"
        raise InvalidPolicyError(message)
    return value


def positive_seconds(name: str, value: object) -> float:
    """`value` in seconds, if it is a finite number over 0; InvalidPolicyError names it otherwise."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        message = f"{name}={value!r} must be a number of seconds over 0"
        raise InvalidPolicyError(message)
    return float(value)
