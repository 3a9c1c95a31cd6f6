"""The registry: a class for each type and version of an event."""

import pytest

from qt_events.errors import DuplicateEventError, InvalidEventError, InvalidPatternError
from qt_events.events.event import Event, event_class
from qt_events.events.payload import Payload
from tests.unit.events.samples import PriceAlert, PriceAlertEvent


def test_two_classes_for_one_type_and_version_are_an_error() -> None:
    """The error names both classes, and the first one stays."""
    with pytest.raises(DuplicateEventError, match=r"Impostor.*PriceAlertEvent"):

        class Impostor(Event[PriceAlert], type="unit.price_alert"): ...

    assert event_class("unit.price_alert") is PriceAlertEvent


def test_versions_live_beside_each_other() -> None:
    """Each version of a type has its class; the newest serves an event that names none."""

    class Old(Payload):
        a: int

    class New(Payload):
        b: int

    class OldEvent(Event[Old], type="unit.versioned", version=1): ...

    class NewEvent(Event[New], type="unit.versioned", version=2): ...

    assert type(Event("unit.versioned", None, {"b": 1})) is NewEvent
    old = Event("unit.versioned", None, {"a": 1}, data_version=1)
    assert (type(old), old.data_version) == (OldEvent, 1)
    assert NewEvent.create(b=1).data_version == 2
    with pytest.raises(InvalidEventError, match=r"3.*1, 2"):
        Event("unit.versioned", None, {}, data_version=3)


def test_a_type_without_a_class_is_a_plain_event() -> None:
    """An unregistered type is an Event with any payload and any version."""
    event = Event("unit.unknown", None, {"a": 1}, data_version=9)
    assert (type(event), event.data_version, event_class("unit.unknown", 9)) == (Event, 9, None)


@pytest.mark.parametrize("event_type", ["a.*", "a..b", "#"])
def test_a_class_with_a_malformed_type_is_refused(event_type: str) -> None:
    """An event class cannot name a pattern as its type."""
    with pytest.raises(InvalidPatternError):
        type("Bad", (Event,), {}, type=event_type)


def test_a_class_may_be_subclassed_without_a_type() -> None:
    """A subclass without type= keeps its parent's type, and does not replace it in the registry."""

    class Special(PriceAlertEvent): ...

    assert Special.create(price=1).type == "unit.price_alert"
    assert event_class("unit.price_alert") is PriceAlertEvent
