"""Copies: by pickle, by copy and by replace(), and what makes two events equal."""

import copy
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

from qt_events.errors import InvalidEventError
from qt_events.events.event import Event
from tests.unit.events.samples import PriceAlertEvent, policy


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "event",
    [
        Event(
            "unit.any",
            None,
            {"a": [1, {"b": None}]},
            correlation_id="c",
            causation_id="d",
            traceparent="t",
        ),
        PriceAlertEvent.create(price=1, tags=["a"], limits={"x": [1.0]}),
        policy(),
    ],
    ids=["plain", "users", "catalog"],
)
def test_events_pickle(event: Event[Any], protocol: int) -> None:
    """A pickled event comes back equal, of its class, and immutable."""
    back = pickle.loads(pickle.dumps(event, protocol))  # noqa: S301
    assert back == event
    assert type(back) is type(event)
    for value in dict(back.payload).values():
        if isinstance(value, list):
            with pytest.raises(TypeError):
                value.append(1)


def test_events_copy() -> None:
    """copy and deepcopy give an equal event."""
    event = policy()
    assert copy.copy(event) == event
    assert copy.deepcopy(event) == event


def test_replace_changes_attributes_only() -> None:
    """replace() returns a copy with another attribute; the original and the payload stay."""
    event = Event("my.event", None, {"a": 1})
    other = event.replace(source="elsewhere", correlation_id="c")
    assert (other.source, other.correlation_id, other.payload, other.id) == (
        "elsewhere",
        "c",
        event.payload,
        event.id,
    )
    assert event.source == "qt_events"


@pytest.mark.parametrize(
    "changes", [{"type": "other"}, {"payload": {}}, {"no_such_thing": 1}, {"source": ""}, {"id": 5}]
)
def test_replace_checks_attributes_as_a_new_event_does(changes: dict[str, Any]) -> None:
    """replace() takes no type and no payload."""
    with pytest.raises(InvalidEventError):
        Event("my.event").replace(**changes)


def test_an_event_that_correlates_with_itself_is_a_root() -> None:
    """The constructor and replace() agree on that."""
    made = Event("my.event", datetime(2026, 1, 1, tzinfo=UTC), id="x", correlation_id="x")
    replaced = Event("my.event", made.timestamp, id="x").replace(correlation_id="x")
    moved = Event("my.event", made.timestamp, id="y", correlation_id="x").replace(id="x")
    assert made == replaced == moved
    assert made.is_root
    assert replaced.is_root
    assert moved.is_root
    assert made.replace(id="z").correlation_id == "z"


def test_events_are_equal_by_all_attributes() -> None:
    """Equal events have equal attributes and hashes; anything else is another event."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    event = Event("my.event", moment, {"a": 1}, id="x")
    same = Event("my.event", moment, {"a": 1}, id="x")
    assert event == same
    assert hash(event) == hash(same)
    assert event != Event("my.event", moment, {"a": 2}, id="x")
    assert event != "my.event"


def test_repr_shows_what_happened() -> None:
    """repr() names class, type, payload and id."""
    event = PriceAlertEvent.create(price=1.5)
    assert all(
        word in repr(event) for word in ("PriceAlertEvent", "unit.price_alert", "1.5", event.id)
    )
