"""Attributes of an event: given as in the reference, filled in, or refused by name."""

import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from qt_events.errors import InvalidEventError, InvalidPatternError, InvalidPayloadError, UsageError
from qt_events.events.attributes import new_id
from qt_events.events.event import Event


def test_an_event_is_made_positionally() -> None:
    """Event(type, timestamp, payload) works as in the reference; a naive time is read as UTC."""
    event = Event("my.event", datetime(2026, 1, 2, 3, 4, 5), {"data": "test"})
    assert event.type == "my.event"
    assert event.timestamp == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert event.payload == {"data": "test"}


def test_another_timezone_becomes_utc() -> None:
    """A time with another offset is the same moment in UTC."""
    event = Event("my.event", datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))))
    assert event.timestamp.isoformat() == "2026-01-02T01:00:00+00:00"


def test_every_argument_but_the_type_has_a_default() -> None:
    """Defaults are now, an empty payload, a UUIDv7, and its id as correlation id."""
    before = datetime.now(UTC)
    event = Event("my.event")
    assert before <= event.timestamp <= datetime.now(UTC)
    assert (event.payload, event.source, event.data_version) == ({}, "qt_events", 1)
    assert uuid.UUID(event.id).version == 7
    assert (event.correlation_id, event.causation_id, event.traceparent) == (event.id, None, None)
    assert event.is_root


def test_ids_are_unique_and_sorted_by_time() -> None:
    """new_id() never repeats itself, and later ids sort after earlier ones."""
    ids = [new_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert ids == sorted(ids)


def test_forked_processes_draw_different_ids() -> None:
    """A child process does not repeat the ids of its parent."""
    program = """
import os, qt_events.events.attributes as e
e.new_id()
read, write = os.pipe()
if os.fork() == 0:
    os.write(write, e.new_id().encode()); os._exit(0)
os.wait()
assert os.read(read, 99).decode()[-12:] != e.new_id()[-12:]
"""
    subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program], check=True, timeout=60
    )


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"timestamp": "2026-01-01"}, "timestamp"),
        ({"timestamp": 5}, "timestamp"),
        ({"id": ""}, "id"),
        ({"id": 7}, "id"),
        ({"id": "x" * 256}, "id"),
        ({"id": "a\nb"}, "id"),
        ({"source": ""}, "source"),
        ({"correlation_id": 5}, "correlation_id"),
        ({"correlation_id": ""}, "correlation_id"),
        ({"causation_id": ""}, "causation_id"),
        ({"traceparent": ""}, "traceparent"),
        ({"causation_id": "\x00"}, "causation_id"),
        ({"traceparent": 1}, "traceparent"),
        ({"data_version": 0}, "version"),
        ({"data_version": True}, "version"),
        ({"data_version": "1"}, "version"),
        ({"payload": [1]}, "payload"),
        ({"payload": "text"}, "payload"),
    ],
)
def test_a_wrong_attribute_is_refused_by_name(arguments: dict[str, Any], named: str) -> None:
    """An attribute of the wrong type or size is an InvalidEventError that names it."""
    with pytest.raises(InvalidEventError, match=named):
        Event("my.event", **arguments)


@pytest.mark.parametrize(
    "event_type", ["", "a..b", ".a", "a.", "a.*", "#", "a.b#", None, 5, "x" * 256, "a\x00b"]
)
def test_a_wrong_type_is_refused(event_type: Any) -> None:
    """A type that is no routing key, or holds wildcards, is an InvalidPatternError."""
    with pytest.raises(InvalidPatternError):
        Event(event_type)


def test_errors_of_usage_are_value_errors() -> None:
    """A program that catches ValueError catches a usage error too."""
    with pytest.raises(ValueError):
        Event("")
    assert issubclass(InvalidPayloadError, UsageError)
