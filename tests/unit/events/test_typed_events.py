"""Typed events: classes with a validated payload, of a user and of the reference."""

import json
import pickle
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from qt_events.errors import InvalidEventError, InvalidPayloadError
from qt_events.events.cloudevents import decode, encode
from qt_events.events.event import Event, event_class
from qt_events.events.payload import Payload
from qt_events.events.quantum_trader import (
    HealthStatus,
    HealthStatusChangedEvent,
    TradeExecutedEvent,
)
from tests.unit.events.samples import PriceAlert, PriceAlertEvent, policy


def test_an_event_of_an_application_is_three_lines() -> None:
    """A payload class and an event class are registered, validated, and read both ways."""
    event = PriceAlertEvent.create(price="1.5", tags=["a"])
    assert (event.type, event.payload.price, event.payload["price"]) == (
        "unit.price_alert",
        1.5,
        1.5,
    )
    assert event_class("unit.price_alert") is PriceAlertEvent


def test_the_plain_constructor_makes_the_registered_class() -> None:
    """Event(type, ...) of a registered type gives an instance of its class, validated."""
    event = Event("unit.price_alert", datetime.now(UTC), {"price": 2})
    assert type(event) is PriceAlertEvent
    assert event.payload.price == 2.0
    with pytest.raises(InvalidPayloadError, match=r"payload\.price"):
        Event("unit.price_alert", None, {})


def test_each_wrong_field_is_named() -> None:
    """InvalidPayloadError names every wrong field, the mistake and the value."""
    with pytest.raises(
        InvalidPayloadError, match=r"payload\.risk_mode.*'WILD'.*payload\.max_positions.*'many'"
    ):
        policy(risk_mode="WILD", max_positions="many")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_typed_payloads_refuse_nan_and_infinity(number: float) -> None:
    """JSON has no NaN and no infinity, so typed floats refuse them, nested ones too."""
    with pytest.raises(InvalidPayloadError):
        PriceAlertEvent.create(price=number)
    with pytest.raises(InvalidPayloadError):
        PriceAlertEvent.create(price=1.0, limits={"a": [number]})
    with pytest.raises(InvalidPayloadError):
        HealthStatusChangedEvent.create(
            old_status="HEALTHY",
            new_status="CRITICAL",
            component="c",
            reason="r",
            metrics={"dd": number},
        )


def test_untyped_fields_of_typed_payloads_are_checked() -> None:
    """A dict[str, Any] field is checked like a plain payload."""
    with pytest.raises(InvalidPayloadError, match=r"payload\.metrics\['x'\]"):
        HealthStatusChangedEvent.create(
            old_status="HEALTHY",
            new_status="CRITICAL",
            component="c",
            reason="r",
            metrics={"x": object()},
        )


def test_unknown_fields_of_an_event_that_came_are_ignored() -> None:
    """A producer may add a field before its consumers know it."""
    plain = {"id": "1", "source": "s", "type": "unit.price_alert", "specversion": "1.0"}
    data = {"price": 1, "new_field": 2}
    event = decode(json.dumps({**plain, "data": data}).encode(), "unit.price_alert")
    assert dict(event.payload) == {"price": 1.0, "tags": [], "limits": {}}
    for make in (Event, PriceAlertEvent):
        with pytest.raises(InvalidPayloadError, match=r"payload\.new_field: no such field"):
            make("unit.price_alert", None, data)


class Leg(Payload):
    symbol: str
    note: str = ""


class Spread(Payload):
    legs: tuple[Leg, ...] = ()
    limit: float | None = None


class SpreadEvent(Event[Spread], type="unit.spread"): ...


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"limt": 5}, r"SpreadEvent: payload\.limt: no such field, got 5"),
        ({"legs": [{"symbol": "A", "note_": ""}]}, r"payload\.legs\.0\.note_: no such field"),
        (
            {"timestamp": 5, "limit": 1},
            r"payload\.timestamp: no field, but an attribute of .* use .*replace\(timestamp=\.",
        ),
        ({"correlation_id": "c"}, r"replace\(correlation_id=\.\.\.\)"),
        ({"limit": "much", "limt": 5}, r"payload\.limit: .*payload\.limt: no such field"),
    ],
)
def test_create_refuses_fields_that_the_payload_does_not_have(
    fields: dict[str, Any], words: str
) -> None:
    """They would be dropped without a word: a misspelt one, or an attribute of the event."""
    with pytest.raises(InvalidPayloadError, match=words):
        SpreadEvent.create(**fields)


class Free(Payload):
    model_config = ConfigDict(extra="allow")
    known: int = 0


class Freely(Payload):
    model_config = ConfigDict(extra="allow")
    known: int = 0


class FreelyEvent(Event[Freely], type="unit.freely"): ...


class AroundFree(Payload):
    free: Free
    limit: float | None = None


class AroundFreeEvent(Event[AroundFree], type="unit.around_free"): ...


def test_a_model_may_take_any_fields() -> None:
    """Pydantic's `extra="allow"` counts, of the payload and of a model inside it."""
    for _ in range(2):
        event = FreelyEvent.create(more=1)
        assert event.payload.model_extra == {"more": 1}
        around = AroundFreeEvent.create(free={"more": 2})
        assert around.payload.free.model_extra == {"more": 2}
    with pytest.raises(InvalidPayloadError, match=r"payload\.known"):
        FreelyEvent.create(known="many")
    with pytest.raises(InvalidPayloadError, match=r"payload\.limt: no such field, got 5"):
        AroundFreeEvent.create(free={}, limt=5)


class Named(Payload):
    source: str
    type: str = "limit"


class NamedEvent(Event[Named], type="unit.named"):
    def __init__(self, type: str, timestamp: Any = None, payload: Any = None, **more: Any) -> None:
        super().__init__(type, timestamp, {"source": "desk"} | payload, **more)


def test_a_payload_may_have_fields_named_as_attributes_of_the_event() -> None:
    """create() takes the payload's; a class with an __init__ of its own refuses others too."""
    event = NamedEvent.create(type="stop")
    assert (event.payload.source, event.payload.type) == ("desk", "stop")
    assert (event.source, event.type) == ("qt_events", "unit.named")
    with pytest.raises(InvalidPayloadError, match=r"payload\.sauce: no such field"):
        NamedEvent.create(sauce="hot")


def test_a_payload_reads_as_a_mapping() -> None:
    """Payload is a Mapping of its fields: [], get, in, len, iteration, keys, items, ** and ==."""
    payload = policy().payload
    assert isinstance(payload, Mapping)
    assert payload["risk_mode"] == payload.risk_mode == "NORMAL"
    assert payload.get("max_positions") == 5
    assert payload.get("nothing") is None
    assert "risk_mode" in payload
    assert "model_config" not in payload
    assert len(payload) == 5
    assert list(payload) == list(payload.keys()) == [name for name, _ in payload.items()]
    assert payload == {**payload}
    assert payload == {
        "risk_mode": "NORMAL",
        "allowed_strategies": ["s1"],
        "global_min_confidence": 0.7,
        "max_risk_per_trade": 0.02,
        "max_positions": 5,
    }
    with pytest.raises(KeyError):
        payload["model_fields"]


def test_a_payload_cannot_change_in_any_way() -> None:
    """A typed payload refuses assignment, and its containers refuse changes."""
    payload = PriceAlertEvent.create(price=1, tags=["a"], limits={"x": [1.0]}).payload
    with pytest.raises(ValueError, match="frozen"):
        payload.price = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        payload.tags.append("b")
    with pytest.raises(TypeError):
        payload.limits["x"].append(2.0)


def test_a_default_container_is_not_shared_and_cannot_change() -> None:
    """A field's default list is as immutable as a given one."""
    with pytest.raises(TypeError):
        PriceAlertEvent.create(price=1).payload.tags.append("b")
    assert PriceAlertEvent.create(price=1).payload.tags == []


def test_create_takes_names_only() -> None:
    """create() refuses positional arguments and classes without a type, saying so."""
    with pytest.raises(InvalidEventError, match="by name"):
        PriceAlertEvent.create(1.0)
    with pytest.raises(InvalidEventError, match="with a type"):
        Event.create(price=1)


def test_a_class_refuses_another_type() -> None:
    """An event class with a type cannot be made with another."""
    with pytest.raises(InvalidEventError, match=r"unit\.price_alert"):
        PriceAlertEvent("unit.other", None, {"price": 1})


def test_every_event_of_the_reference_has_its_type() -> None:
    """The six events of the reference are registered under the types it names."""
    types = [
        "policy.updated",
        "strategy.promoted",
        "model.promoted",
        "health.status_changed",
        "opportunities.updated",
        "trade.executed",
    ]
    classes = [event_class(event_type) for event_type in types]
    assert [cls.__name__ for cls in classes if cls] == [
        "PolicyUpdatedEvent",
        "StrategyPromotedEvent",
        "ModelPromotedEvent",
        "HealthStatusChangedEvent",
        "OpportunitiesUpdatedEvent",
        "TradeExecutedEvent",
    ]


@pytest.mark.parametrize(
    ("event_type", "required", "left_out"),
    [
        (
            "strategy.promoted",
            {"strategy_id": "s", "from_stage": "SHADOW", "to_stage": "LIVE"},
            {"reason": "", "metrics": {}},
        ),
        (
            "model.promoted",
            {"model_name": "XGBoost", "old_version": None, "new_version": "2"},
            {"metrics": {}, "shadow_performance": {}},
        ),
        (
            "health.status_changed",
            {"old_status": "HEALTHY", "new_status": "CRITICAL", "component": "c", "reason": "r"},
            {"metrics": {}},
        ),
        (
            "opportunities.updated",
            {"top_symbols": ["A"], "scores": {"A": 1.0}},
            {"criteria": {}, "excluded_count": 0},
        ),
    ],
)
def test_optional_fields_of_create_are_optional_on_the_wire(
    event_type: str, required: dict[str, Any], left_out: dict[str, Any]
) -> None:
    """The payload's model and create() have the same optional fields, with the same defaults."""
    event = Event(event_type, None, required)
    assert event.payload == {**required, **left_out}
    assert type(event).create(**required).payload == event.payload


def test_enum_fields_take_members_and_their_names() -> None:
    """create() takes an enum member or its value; both read as the member."""
    for status in (HealthStatus.CRITICAL, "CRITICAL"):
        event = HealthStatusChangedEvent.create(
            old_status="HEALTHY", new_status=status, component="c", reason="r"
        )
        assert event.payload.new_status is HealthStatus.CRITICAL
        assert event.source == "system_health_monitor"


def test_pnl_is_only_for_closes() -> None:
    """TradeExecutedEvent without pnl has None there."""
    event = TradeExecutedEvent.create(
        order_id="o", symbol="s", side="BUY", size=1, price=2, strategy_id="s1", model="XGBoost"
    )
    assert event.payload.pnl is None


class Basket(Payload):
    items: list[str]  # type: ignore[assignment]  # mypy would keep the mapping's method
    values: float = 0  # type: ignore[assignment]
    get: str | None = None  # type: ignore[assignment]


class BasketEvent(Event[Basket], type="unit.basket"): ...


def test_a_field_may_be_named_as_a_method_of_the_mapping() -> None:
    """An order has items. The payload still reads as a mapping, with the field in it."""
    with pytest.raises(InvalidPayloadError, match=r"payload\.items: Field required"):
        BasketEvent.create()
    event = BasketEvent.create(items=["a"])
    assert event.payload.items == event.payload["items"] == ["a"]
    assert dict(event.payload) == {"items": ["a"], "values": 0, "get": None}
    assert decode(encode(event), event.type) == event
    assert Event("unit.any", None, {"basket": event.payload}).payload["basket"]["items"] == ["a"]
    assert list(PriceAlert(price=1).items()) == [("price", 1.0), ("tags", []), ("limits", {})]


def test_a_field_cannot_be_named_keys() -> None:
    """`dict(payload)`, by which a payload is copied, asks for the keys."""
    with pytest.raises(InvalidPayloadError, match="'keys' would hide"):

        class Chain(Payload):
            keys: list[str]  # type: ignore[assignment]


def test_a_nested_model_must_be_a_payload() -> None:
    """A plain pydantic model could be changed later, and hold what JSON cannot carry."""

    class Inner(BaseModel):
        x: int

    class Outer(Payload):
        inner: Inner

    class OuterEvent(Event[Outer], type="nested.model"): ...

    with pytest.raises(
        InvalidPayloadError, match=r"payload\.inner is a Inner: .* must be a qt_events.Payload"
    ):
        OuterEvent.create(inner=Inner(x=1))


class Watched(Event[PriceAlert], type="unit.watched"):
    def __init__(self, *args: Any, **envelope: Any) -> None:
        super().__init__(*args, **{"source": "its own way", **envelope})


def test_create_respects_a_class_that_has_its_own_init() -> None:
    """create() skips __init__ only in classes that do not change it."""
    assert Watched.create(price=1).source == "its own way"


def test_create_and_the_constructor_make_the_same_event() -> None:
    """Both have the same attributes, and the same after pickling."""
    short = PriceAlertEvent.create(price=1)
    long = PriceAlertEvent("unit.price_alert", short.timestamp, {"price": 1}, id=short.id)
    assert short == long == pickle.loads(pickle.dumps(short))  # noqa: S301
    attributes = (short.source, short.data_version, short.correlation_id)
    assert (*attributes, short.causation_id, short.traceparent) == (
        "qt_events", 1, short.id, None, None,
    )  # fmt: skip
