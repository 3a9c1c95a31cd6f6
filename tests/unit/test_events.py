"""Event, Payload and their registry."""

import copy
import json
import pickle
import subprocess
import sys
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from qt_events.catalog import HealthStatus, HealthStatusChangedEvent, PolicyUpdatedEvent, RiskMode, TradeExecutedEvent
from qt_events.codec import decode, encode
from qt_events.errors import (
    DuplicateEventError,
    InvalidEventError,
    InvalidPatternError,
    InvalidPayloadError,
    UsageError,
)
from qt_events.events import Event, correlated, current_event, event_class, handled, new_id
from qt_events.frozen import MAX_DEPTH, FrozenDict, FrozenList, freeze
from qt_events.payload import Payload

texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | texts
)
json_values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=20)
payloads = st.dictionaries(texts, json_values, max_size=5)


class PriceAlert(Payload):
    price: float
    tags: list[str] = []  # noqa: RUF012  # as a user of pydantic writes it
    limits: dict[str, list[float]] = {}  # noqa: RUF012


class PriceAlertEvent(Event[PriceAlert], type="unit.price_alert"): ...


def policy(**changes: Any) -> PolicyUpdatedEvent:
    fields: dict[str, Any] = {
        "risk_mode": RiskMode.NORMAL,
        "allowed_strategies": ["s1"],
        "global_min_confidence": 0.7,
        "max_risk_per_trade": 0.02,
        "max_positions": 5,
    }
    return PolicyUpdatedEvent.create(**{**fields, **changes})


# Made as the reference makes them


def test_an_event_is_made_positionally() -> None:
    """Event(type, timestamp, payload) works as in the reference, and a naive time is read as UTC."""
    event = Event("my.event", datetime(2026, 1, 2, 3, 4, 5), {"data": "test"})
    assert event.type == "my.event"
    assert event.timestamp == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert event.payload == {"data": "test"}


def test_another_timezone_becomes_utc() -> None:
    """A time with another offset is the same moment, told in UTC."""
    event = Event("my.event", datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))))
    assert event.timestamp.isoformat() == "2026-01-02T01:00:00+00:00"


def test_everything_but_the_type_may_be_left_out() -> None:
    """What is left out gets a default: now, an empty payload, a UUIDv7, its own id as correlation id."""
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
import os, qt_events.events as e
e.new_id()
read, write = os.pipe()
if os.fork() == 0:
    os.write(write, e.new_id().encode()); os._exit(0)
os.wait()
assert os.read(read, 99).decode()[-12:] != e.new_id()[-12:]
"""
    subprocess.run([sys.executable, "-W", "ignore::DeprecationWarning", "-c", program], check=True, timeout=60)


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


@pytest.mark.parametrize("event_type", ["", "a..b", ".a", "a.", "a.*", "#", "a.b#", None, 5, "x" * 256, "a\x00b"])
def test_a_wrong_type_is_refused(event_type: Any) -> None:
    """A type that is no routing key, or holds wildcards, is an InvalidPatternError."""
    with pytest.raises(InvalidPatternError):
        Event(event_type)


def test_errors_of_usage_are_value_errors() -> None:
    """Whoever catches ValueError catches a usage error too."""
    with pytest.raises(ValueError):
        Event("")
    assert issubclass(InvalidPayloadError, UsageError)


# What JSON carries


@given(payloads)
def test_what_json_carries_round_trips(payload: dict[str, Any]) -> None:
    """A payload of JSON values equals itself after the wire, byte for byte of JSON."""
    event = Event("unit.any", None, payload)
    message = encode(event)
    back = decode(message.body, message.properties, "unit.any")
    assert back == event
    assert json.loads(json.dumps(back.payload)) == payload


not_json = st.sampled_from(
    [object(), b"bytes", {1, 2}, float("nan"), float("inf"), 1j, datetime(2026, 1, 1), Decimal(1), "\ud800", print]
)
bad_keys = st.sampled_from([1, None, 2.5, b"k", ("a",), "\udfff"])


def _wrapped(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(lambda value: [1, value], inner) | st.builds(lambda value: {"deep": value}, inner)


@given(st.recursive(not_json | st.builds(lambda key: {key: 1}, bad_keys), _wrapped, max_leaves=5))
def test_what_json_cannot_carry_is_refused_when_the_event_is_made(value: Any) -> None:
    """A value that JSON cannot carry, however deep, is an InvalidPayloadError with its path."""
    with pytest.raises(InvalidPayloadError, match=r"payload"):
        Event("unit.any", None, {"field": value})


def test_the_path_of_a_refused_value_is_told() -> None:
    """The error says where in the payload the value is."""
    with pytest.raises(InvalidPayloadError, match=r"payload\['a'\]\[1\]\['b'\] is .*object"):
        Event("unit.any", None, {"a": [0, {"b": object()}]})


class Unshowable:
    def __repr__(self) -> str:
        message = "no repr"
        raise RuntimeError(message)


def test_a_value_that_cannot_be_shown_is_refused_all_the_same() -> None:
    """A refused value whose repr fails does not hide the error about it."""
    with pytest.raises(InvalidPayloadError, match=r"payload\['field'\] is a Unshowable that cannot be shown"):
        Event("unit.any", None, {"field": Unshowable()})


def test_enums_become_their_values() -> None:
    """An enum member in a plain payload is carried as its value."""
    event = Event("unit.any", None, {"mode": RiskMode.NORMAL, "all": (RiskMode.NORMAL,)})
    assert type(event.payload["mode"]) is str
    assert event.payload == {"mode": "NORMAL", "all": ["NORMAL"]}


def test_a_payload_that_contains_itself_is_refused() -> None:
    """A payload without an end is an error of ours, not a RecursionError, in plain and in typed events."""
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidPayloadError, match="contains itself"):
        Event("unit.any", None, {"endless": endless})
    with pytest.raises(InvalidPayloadError, match="contains itself"):
        HealthStatusChangedEvent.create(
            old_status="HEALTHY", new_status="CRITICAL", component="c", reason="r", metrics={"endless": endless}
        )


def nested(levels: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return {"deep": value}


def test_what_may_be_published_can_be_read() -> None:
    """The deepest payload that an event takes survives the wire; a level more is refused when the event is made."""
    event = Event("unit.any", None, nested(MAX_DEPTH - 1))
    message = encode(event)
    assert decode(message.body, message.properties, "unit.any") == event
    with pytest.raises(InvalidPayloadError, match="deeper"):
        Event("unit.any", None, nested(MAX_DEPTH))


def test_an_integer_that_no_reader_takes_is_refused() -> None:
    """Integers of thousands of digits survive the wire; larger ones are refused when the event is made."""
    large = Event("unit.any", None, {"n": -(10**4000)})
    assert decode(encode(large).body, encode(large).properties, "unit.any") == large
    with pytest.raises(InvalidPayloadError, match="bits"):
        Event("unit.any", None, {"n": 10**5000})
    with pytest.raises(InvalidPayloadError, match="bits"):
        HealthStatusChangedEvent.create(
            old_status="HEALTHY", new_status="CRITICAL", component="c", reason="r", metrics={"n": 10**5000}
        )


# Immutable


def test_an_event_cannot_change() -> None:
    """Setting or deleting an attribute of an event is an AttributeError that says what to do."""
    event = Event("my.event")
    with pytest.raises(AttributeError, match=r"replace\(\)"):
        event.type = "other"
    with pytest.raises(AttributeError):
        del event.payload
    with pytest.raises(AttributeError):
        event.new_attribute = 1


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.__setitem__("a", 1),
        lambda p: p.__delitem__("a"),
        lambda p: p.update(a=1),
        lambda p: p.pop("a"),
        lambda p: p.clear(),
        lambda p: p.setdefault("c", 1),
        lambda p: p.popitem(),
        lambda p: p.__ior__({}),
        lambda p: p["b"].append(1),
        lambda p: p["b"].__setitem__(0, 1),
        lambda p: p["b"].sort(),
        lambda p: p["b"].extend([1]),
        lambda p: p["b"].__iadd__([1]),
        lambda p: p["b"][0].update(x=1),
    ],
)
def test_a_payload_cannot_change(change: Any) -> None:
    """Every mutating method of a payload's dicts and lists is refused, however deep, with advice."""
    payload = Event("my.event", None, {"a": 1, "b": [{"x": 0}]}).payload
    with pytest.raises(TypeError, match="immutable"):
        change(payload)


def test_the_payload_is_a_copy() -> None:
    """Changing the dict that a payload was made of does not change the event."""
    inner = [1]
    given_payload = {"list": inner}
    event = Event("my.event", None, given_payload)
    inner.append(2)
    given_payload["more"] = [3]
    assert event.payload == {"list": [1]}


def test_frozen_containers_are_dicts_and_lists() -> None:
    """isinstance, ==, json and copying out take frozen containers for what they are."""
    payload = freeze({"a": [1, {"b": 2}]})
    assert isinstance(payload, dict)
    assert isinstance(payload["a"], list)
    assert json.dumps(payload) == '{"a": [1, {"b": 2}]}'
    thawed = dict(payload)
    thawed["c"] = 3
    assert list(payload["a"]) == [1, {"b": 2}]
    assert (type(payload), type(payload["a"])) == (FrozenDict, FrozenList)


# Typed events


def test_a_users_event_is_three_lines() -> None:
    """A payload class and an event class: the event is registered, validated, and reads both ways."""
    event = PriceAlertEvent.create(price="1.5", tags=["a"])
    assert (event.type, event.payload.price, event.payload["price"]) == ("unit.price_alert", 1.5, 1.5)
    assert event_class("unit.price_alert") is PriceAlertEvent


def test_the_plain_constructor_makes_the_registered_class() -> None:
    """Event(type, ...) of a registered type gives an instance of its class, validated."""
    event = Event("unit.price_alert", datetime.now(UTC), {"price": 2})
    assert type(event) is PriceAlertEvent
    assert event.payload.price == 2.0
    with pytest.raises(InvalidPayloadError, match=r"payload\.price"):
        Event("unit.price_alert", None, {})


def test_each_wrong_field_is_named() -> None:
    """InvalidPayloadError names every wrong field, what is wrong and what it was."""
    with pytest.raises(InvalidPayloadError, match=r"payload\.risk_mode.*'WILD'.*payload\.max_positions.*'many'"):
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
            old_status="HEALTHY", new_status="CRITICAL", component="c", reason="r", metrics={"dd": number}
        )


def test_typed_payloads_refuse_what_json_cannot_carry_in_untyped_fields() -> None:
    """A dict[str, Any] field is checked like a plain payload."""
    with pytest.raises(InvalidPayloadError, match=r"payload\.metrics\['x'\]"):
        HealthStatusChangedEvent.create(
            old_status="HEALTHY", new_status="CRITICAL", component="c", reason="r", metrics={"x": object()}
        )


def test_unknown_fields_are_ignored() -> None:
    """A producer may add a field before its consumers know it."""
    event = Event("unit.price_alert", None, {"price": 1, "new_field": 2})
    assert dict(event.payload) == {"price": 1.0, "tags": [], "limits": {}}


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
        ("opportunities.updated", {"top_symbols": ["A"], "scores": {"A": 1.0}}, {"criteria": {}, "excluded_count": 0}),
    ],
)
def test_what_create_does_not_ask_for_a_foreign_producer_may_leave_out_too(
    event_type: str, required: dict[str, Any], left_out: dict[str, Any]
) -> None:
    """The payload's model and create() have the same optional fields, with the same defaults."""
    event = Event(event_type, None, required)
    assert event.payload == {**required, **left_out}
    assert type(event).create(**required).payload == event.payload


def test_enum_fields_take_members_and_their_names() -> None:
    """create() takes an enum member or its value; both read as the member."""
    for status in (HealthStatus.CRITICAL, "CRITICAL"):
        event = HealthStatusChangedEvent.create(old_status="HEALTHY", new_status=status, component="c", reason="r")
        assert event.payload.new_status is HealthStatus.CRITICAL
        assert event.source == "system_health_monitor"


def test_pnl_is_only_for_closes() -> None:
    """TradeExecutedEvent without pnl has None there."""
    event = TradeExecutedEvent.create(
        order_id="o", symbol="s", side="BUY", size=1, price=2, strategy_id="s1", model="XGBoost"
    )
    assert event.payload.pnl is None


# The registry


def test_two_classes_for_one_type_and_version_are_an_error() -> None:
    """Another class for a taken type and version is a DuplicateEventError that names both; the first stays."""
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


# Copies


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "event",
    [
        Event("unit.any", None, {"a": [1, {"b": None}]}, correlation_id="c", causation_id="d", traceparent="t"),
        PriceAlertEvent.create(price=1, tags=["a"], limits={"x": [1.0]}),
        policy(),
    ],
    ids=["plain", "users", "catalog"],
)
def test_events_pickle(event: Event[Any], protocol: int) -> None:
    """A pickled event comes back equal, of its class, and immutable all through."""
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


def test_replace_changes_the_envelope_only() -> None:
    """replace() gives a copy with another attribute; the original and the payload stay."""
    event = Event("my.event", None, {"a": 1})
    other = event.replace(source="elsewhere", correlation_id="c")
    assert (other.source, other.correlation_id, other.payload, other.id) == ("elsewhere", "c", event.payload, event.id)
    assert event.source == "qt_events"


@pytest.mark.parametrize(
    "changes", [{"type": "other"}, {"payload": {}}, {"no_such_thing": 1}, {"source": ""}, {"id": 5}]
)
def test_replace_refuses_what_an_event_would_refuse(changes: dict[str, Any]) -> None:
    """replace() takes envelope attributes only, checked as when an event is made."""
    with pytest.raises(InvalidEventError):
        Event("my.event").replace(**changes)


def test_an_event_that_correlates_with_itself_is_a_root_however_it_was_made() -> None:
    """One's own id as correlation id says nothing: the constructor and replace() agree on that."""
    made = Event("my.event", datetime(2026, 1, 1, tzinfo=UTC), id="x", correlation_id="x")
    replaced = Event("my.event", made.timestamp, id="x").replace(correlation_id="x")
    moved = Event("my.event", made.timestamp, id="y", correlation_id="x").replace(id="x")
    assert made == replaced == moved
    assert made.is_root
    assert replaced.is_root
    assert moved.is_root
    assert made.replace(id="z").correlation_id == "z"


def test_events_are_equal_by_all_they_say() -> None:
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
    assert all(word in repr(event) for word in ("PriceAlertEvent", "unit.price_alert", "1.5", event.id))


# What is being handled


def test_what_is_published_while_handling_is_caused_by_it() -> None:
    """Within a handled event's context new events inherit its correlation id and name it as their cause."""
    story = Event("a.b", correlation_id="story")
    context = handled(story)
    assert current_event() is None
    assert context.run(current_event) is story
    child = context.run(correlated, Event("c.d"))
    assert (child.correlation_id, child.causation_id) == ("story", story.id)


def test_an_event_that_names_its_cause_is_left_alone() -> None:
    """Explicit correlation or causation ids are kept as they are."""
    context = handled(Event("a.b"))
    explicit = Event("c.d", correlation_id="mine")
    assert context.run(correlated, explicit) is explicit
    assert correlated(explicit) is explicit


def test_an_event_that_its_own_handler_passes_on_does_not_cause_itself() -> None:
    """Published again within its own handler, an event stays as it is."""
    event = Event("a.b")
    assert handled(event).run(correlated, event) is event


class Shade(StrEnum):
    RED = "red"


class Mixed(Payload):
    moment: datetime
    amount: Decimal
    shade: Shade | None = None
    ids: tuple[uuid.UUID, ...] = ()
    nested: PriceAlert | None = None


class MixedEvent(Event[Mixed], type="unit.mixed"): ...


def test_typed_fields_that_pydantic_reads_back_survive_the_wire() -> None:
    """Times, decimals, enums, UUIDs, tuples and nested payloads come back as they were."""
    event = MixedEvent.create(
        moment=datetime(2026, 1, 1, tzinfo=UTC),
        amount=Decimal("1.10"),
        shade="red",
        ids=(uuid.UUID(int=1),),
        nested={"price": 1},
    )
    message = encode(event)
    back = decode(message.body, message.properties, "unit.mixed")
    assert back == event
    assert back.payload.nested.price == 1.0


@pytest.mark.filterwarnings("ignore:Field name:UserWarning")
def test_a_payload_field_that_would_hide_a_method_of_the_mapping_is_refused() -> None:
    """A field cannot be named keys, items, values or get, for the payload is read through them."""
    with pytest.raises(InvalidPayloadError, match="'items' would hide"):

        class Basket(Payload):
            items: list[str]  # type: ignore[assignment]  # mypy sees it too


def test_a_nested_model_must_be_a_payload() -> None:
    """A plain pydantic model could be changed later, and hold what JSON cannot carry."""

    class Inner(BaseModel):
        x: int

    class Outer(Payload):
        inner: Inner

    class OuterEvent(Event[Outer], type="nested.model"): ...

    with pytest.raises(InvalidPayloadError, match=r"payload\.inner is a Inner: .* must be a qt_events.Payload"):
        OuterEvent.create(inner=Inner(x=1))


def test_a_named_tuple_stays_one() -> None:
    """Frozen, with its names."""

    class Point(NamedTuple):
        x: int
        y: list[int]

    class Where(Payload):
        point: Point

    class WhereEvent(Event[Where], type="named.tuple"): ...

    point = WhereEvent.create(point=Point(1, [2])).payload.point
    assert (point.x, point.y) == (1, [2])
    assert isinstance(point.y, FrozenList)


class Watched(Event[PriceAlert], type="unit.watched"):
    def __init__(self, *args: Any, **envelope: Any) -> None:
        super().__init__(*args, **{"source": "its own way", **envelope})


def test_create_respects_a_class_that_has_its_own_init() -> None:
    """create() takes its short way only where nobody else has a say in how an event is made."""
    assert Watched.create(price=1).source == "its own way"


def test_what_create_makes_is_what_the_constructor_makes() -> None:
    """By either way an event has the same attributes, and comes back from pickle with them."""
    short = PriceAlertEvent.create(price=1)
    long = PriceAlertEvent("unit.price_alert", short.timestamp, {"price": 1}, id=short.id)
    assert short == long == pickle.loads(pickle.dumps(short))  # noqa: S301
    assert (short.source, short.data_version, short.correlation_id, short.causation_id, short.traceparent) == (
        "qt_events", 1, short.id, None, None,
    )  # fmt: skip


class Flat(Payload):
    side: Literal["buy", "sell"]
    price: float | None = None


class Nested(Flat):
    tags: list[str]


def test_containers_are_frozen_whatever_the_base_class_holds() -> None:
    """A payload without containers is not looked through for them; a subclass that has one is."""
    assert isinstance(Nested(side="buy", tags=["a"]).tags, FrozenList)
    assert (Flat.__pydantic_post_init__, Nested.__pydantic_post_init__) == (None, "model_post_init")
