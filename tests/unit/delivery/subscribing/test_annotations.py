"""Annotations: a handler is not subscribed to events that it says it does not take."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence  # noqa: F401  # annotations
from typing import Annotated, Any, Protocol, TypeVar
from unittest.mock import AsyncMock, MagicMock, create_autospec

import pytest

from qt_events.errors import InvalidHandlerError
from qt_events.events.event import Event
from qt_events.events.payload import Payload
from qt_events.events.raw import RawEvent
from qt_events.memory import InMemoryEventBus


class Price(Payload):
    price: float


class RiskEvent(Event[Price]):
    """Base of some."""


class AlertEvent(RiskEvent, type="annotated.alert"): ...


class AlertV2Event(RiskEvent, type="annotated.alert", version=2): ...


class OtherEvent(Event[Price], type="annotated.other"): ...


class UrgentEvent(AlertEvent, type="annotated.urgent"): ...


class LonelyEvent(Event[Price]):
    """No class of it has a type yet."""


class HasPrice(Protocol):
    payload: Price


E = TypeVar("E", bound=OtherEvent)
P = TypeVar("P", bound=Mapping[str, Any])


def taking(annotation: Any) -> Callable[[Any], None]:
    def handler(event: Any) -> None: ...

    handler.__annotations__["event"] = annotation
    return handler


class Desk:
    async def on_other(self, event: OtherEvent) -> None: ...

    @classmethod
    def on_class(cls, event: OtherEvent) -> None: ...

    def __call__(self, event: OtherEvent) -> None: ...


def with_desk(desk: str, event: OtherEvent) -> None: ...


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def opened(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(event: Event[Any]) -> Any:
        return function(event.payload)

    return wrapper


def of_payload(payload: Price) -> None: ...


def described(handler: Any) -> str:
    """Return an id that is the same in every process: no object's address."""
    return repr(getattr(handler, "__annotations__", type(handler).__name__))


@pytest.mark.parametrize(
    "handler",
    [
        taking(OtherEvent),
        taking("OtherEvent"),
        taking("OtherEvent | None"),
        taking(OtherEvent | LonelyEvent),
        taking(Annotated[OtherEvent, "note"]),
        taking(LonelyEvent),
        taking(UrgentEvent),
        Desk().on_other,
        Desk.on_class,
        Desk(),
        functools.partial(with_desk, "d"),
        logged(taking(OtherEvent)),
        taking(Price),
        taking("Price | None"),
    ],
    ids=described,
)
@pytest.mark.parametrize("pattern", [AlertEvent, "annotated.alert"])
def test_a_handler_of_another_class_is_refused(handler: Any, pattern: Any) -> None:
    """It would get events without the payload that it reads, and fail at each."""
    bus = InMemoryEventBus()
    with pytest.raises(InvalidHandlerError, match=r"never comes by|takes the payload Price"):
        bus.subscribe(pattern, handler, name="annotated")
    with pytest.raises(InvalidHandlerError, match=r"never comes by|takes the payload Price"):
        bus.subscribe(pattern, print, name="annotated", when=handler)
    assert bus.get_stats()["total_handlers"] == 0


@pytest.mark.parametrize("pattern", ["annotated.*.more", "other.#", "*"])
def test_a_pattern_that_never_brings_the_class_is_refused(pattern: str) -> None:
    """Wildcards are looked at too."""
    with pytest.raises(InvalidHandlerError, match="AlertEvent, which never comes by"):
        InMemoryEventBus().subscribe(pattern, taking(AlertEvent), name="annotated")


@pytest.mark.parametrize(
    "handler",
    [
        taking(AlertEvent),
        taking(AlertV2Event),
        taking(RiskEvent),
        taking(Event),
        taking(Event[Any]),
        taking(Event[Price]),
        taking(AlertEvent | OtherEvent),
        taking("AlertEvent | OtherEvent"),
        taking("AlertEvent | dict"),
        taking(Any),
        taking(object),
        taking(HasPrice),
        taking(E),
        taking("Unseen"),
        taking("no annotation at all"),
        taking(7),
        lambda event: None,
        logged(taking(AlertEvent)),
        opened(of_payload),
        print,
        AsyncMock(),
        MagicMock(),
        create_autospec(taking(AlertEvent)),
    ],
    ids=described,
)
def test_a_handler_that_may_take_what_comes_is_subscribed(handler: Any) -> None:
    """Base classes, unions, and whatever an annotation does not say for certain."""
    bus = InMemoryEventBus()
    bus.subscribe(AlertEvent, handler, name="annotated", when=lambda event: True)
    assert bus.get_stats()["total_handlers"] == 1


@pytest.mark.parametrize("pattern", ["annotated.*", "#", "*.alert", "annotated.urgent"])
def test_a_pattern_that_brings_the_class_among_others_is_subscribed(pattern: str) -> None:
    """A handler may look at what it gets."""
    InMemoryEventBus().subscribe(pattern, taking(AlertEvent), name="annotated")


def test_a_class_without_a_type_may_be_a_base_of_what_comes_later() -> None:
    """Nothing of an unregistered type is known."""
    InMemoryEventBus().subscribe("annotated.unregistered", taking(LonelyEvent), name="annotated")
    with pytest.raises(InvalidHandlerError):
        InMemoryEventBus().subscribe("annotated.unregistered", taking(AlertEvent), name="annotated")


@pytest.mark.parametrize(
    ("annotation", "advice"),
    [
        (list[OtherEvent], "OtherEvent, which never comes by"),
        ("Sequence[OtherEvent]", "OtherEvent, which never comes by"),
        (list[UrgentEvent], "UrgentEvent, which never comes by"),
        (AlertEvent, r"write def handler\(events: list\[AlertEvent\]\)"),
        (Price, r"write def handler\(events: list\[Price\]\)"),
    ],
)
def test_a_batch_handler_of_other_events_is_refused(annotation: Any, advice: str) -> None:
    """It gets lists of what its pattern brings."""
    with pytest.raises(InvalidHandlerError, match=advice):
        InMemoryEventBus().subscribe(AlertEvent, taking(annotation), name="annotated", batch=5)


@pytest.mark.parametrize(
    "annotation",
    [list[AlertEvent], list[RiskEvent], Sequence[Event[Any]], "Iterable[AlertEvent]", list, Any],
)
def test_a_batch_handler_of_what_comes_is_subscribed(annotation: Any) -> None:
    """Under whatever name a list has."""
    handler = taking(annotation)
    bus = InMemoryEventBus()
    bus.subscribe(AlertEvent, handler, name="annotated", batch=5)
    # The subscription has its batch already.
    bus.subscribe(AlertV2Event, handler)


def test_a_handler_of_lists_needs_a_batch() -> None:
    """It would get an event, and fail at each."""
    with pytest.raises(InvalidHandlerError, match=r"takes a list of events.*give batch="):
        InMemoryEventBus().subscribe(AlertEvent, taking(list[AlertEvent]), name="annotated")


def takes_event(event: AlertEvent) -> None: ...
def takes_raw(event: RawEvent) -> None: ...
def takes_raw_list(events: list[RawEvent]) -> None: ...


@pytest.mark.parametrize(("handler", "options", "advice"), [
    (takes_event, {"raw": True}, "leave out raw="),
    (takes_raw, {}, "give raw=True"),
    (takes_raw_list, {"batch": 2}, "give raw=True"),
])  # fmt: skip
def test_a_handler_of_raw_events_says_so_and_its_subscription_too(
    handler: Callable[..., None], options: dict[str, Any], advice: str
) -> None:
    bus = InMemoryEventBus()
    with pytest.raises(InvalidHandlerError, match=advice):
        bus.subscribe("annotated.alert", handler, **options)
    right = {**options, "raw": advice.startswith("give")}
    bus.subscribe("annotated.alert", handler, **right)
