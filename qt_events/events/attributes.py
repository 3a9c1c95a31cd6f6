"""The attributes around a payload: defaults, checks, and which of them replace() may change."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from uuid_utils import reseed_rng, uuid7

from qt_events.errors import InvalidEventError
from qt_events.events.frozen import preview
from qt_events.events.topics import MAX_BYTES
from qt_events.limits import positive_int

# Else every forked child of a worker draws the same ids.
os.register_at_fork(after_in_child=reseed_rng)

# A CloudEvents Integer.
_MAX_VERSION = 2**31 - 1


def new_id() -> str:
    """Return a UUIDv7 (RFC 9562): unique, and sorted by the time of its making."""
    return str(uuid7())


def checked_time(timestamp: object) -> datetime:
    """Return the time in UTC; now for None. A naive time is read as UTC."""
    if timestamp is None:
        return datetime.now(UTC)
    if not isinstance(timestamp, datetime):
        raise InvalidEventError(
            f"timestamp is {timestamp!r} ({type(timestamp).__name__}): it must be a datetime "
            "(naive means UTC)"
        )
    if timestamp.tzinfo is UTC:
        return timestamp
    if timestamp.tzinfo is None:
        return timestamp.replace(tzinfo=UTC)
    try:
        return timestamp.astimezone(UTC)
    except OverflowError:
        raise InvalidEventError(
            f"timestamp is {timestamp.isoformat()}: in UTC that is not within the years 1 to 9999"
        ) from None


def checked_text(name: str, value: object) -> str:
    """Return `value`, if AMQP and CloudEvents carry it as text."""
    if (
        not isinstance(value, str)
        or not 0 < len(value.encode(errors="replace")) <= MAX_BYTES
        or not value.isprintable()
    ):
        raise InvalidEventError(
            f"{name} is {preview(value)}: it must be a printable str of 1 to {MAX_BYTES} bytes, "
            "as AMQP carries it"
        )
    return value


def checked_version(value: object) -> int:
    """Return `value`, if it is a version number."""
    return positive_int("data_version", value, most=_MAX_VERSION, error=InvalidEventError)


def _optional_text(name: str) -> Callable[[object], str | None]:
    return lambda value: None if value is None else checked_text(name, value)


#: What replace() may change: the attribute of the event that holds it, and its check.
ATTRIBUTES: dict[str, tuple[str, Callable[[object], object]]] = {
    "timestamp": ("timestamp", checked_time),
    "id": ("id", partial(checked_text, "id")),
    "source": ("source", partial(checked_text, "source")),
    "correlation_id": ("_correlation_id", _optional_text("correlation_id")),
    "causation_id": ("causation_id", _optional_text("causation_id")),
    "data_version": ("data_version", checked_version),
    "traceparent": ("traceparent", _optional_text("traceparent")),
}
