"""Payloads of JSON: values that an event carries, and values that it refuses."""

import json
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qt_events.errors import InvalidPayloadError
from qt_events.events.cloudevents import decode, encode
from qt_events.events.event import Event
from qt_events.events.frozen import MAX_DEPTH
from qt_events.events.payload import Payload
from qt_events.events.quantum_trader import HealthStatusChangedEvent, RiskMode
from tests.unit.events.samples import PriceAlert

texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=20
)
payloads = st.dictionaries(texts, json_values, max_size=5)


@given(payloads)
def test_json_values_round_trip(payload: dict[str, Any]) -> None:
    """A payload of JSON values equals itself after the wire, byte for byte of JSON."""
    event = Event("unit.any", None, payload)
    back = decode(encode(event), "unit.any")
    assert back == event
    assert json.loads(json.dumps(back.payload)) == payload


not_json = st.sampled_from(
    [
        object(),
        b"bytes",
        {1, 2},
        float("nan"),
        float("inf"),
        1j,
        datetime(2026, 1, 1),
        Decimal(1),
        "\ud800",
        print,
    ]
)
bad_keys = st.sampled_from([1, None, 2.5, b"k", ("a",), "\udfff"])


def _wrapped(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(lambda value: [1, value], inner) | st.builds(
        lambda value: {"deep": value}, inner
    )


@given(st.recursive(not_json | st.builds(lambda key: {key: 1}, bad_keys), _wrapped, max_leaves=5))
def test_a_value_that_json_cannot_carry_is_refused(value: Any) -> None:
    """The error comes when the event is made, and names the path to the value."""
    with pytest.raises(InvalidPayloadError, match=r"payload"):
        Event("unit.any", None, {"field": value})


def test_the_error_names_the_path_to_a_refused_value() -> None:
    """Paths are written as in Python."""
    with pytest.raises(InvalidPayloadError, match=r"payload\['a'\]\[1\]\['b'\] is .*object"):
        Event("unit.any", None, {"a": [0, {"b": object()}]})


class Unshowable:
    def __repr__(self) -> str:
        message = "no repr"
        raise RuntimeError(message)


def test_a_value_without_a_repr_is_refused_too() -> None:
    """A repr that fails does not hide the error about its value."""
    with pytest.raises(
        InvalidPayloadError, match=r"payload\['field'\] is a Unshowable that cannot be shown"
    ):
        Event("unit.any", None, {"field": Unshowable()})


def test_enums_become_their_values() -> None:
    """An enum member in a plain payload is carried as its value."""
    event = Event("unit.any", None, {"mode": RiskMode.NORMAL, "all": (RiskMode.NORMAL,)})
    assert type(event.payload["mode"]) is str
    assert event.payload == {"mode": "NORMAL", "all": ["NORMAL"]}


def test_a_payload_that_contains_itself_is_refused() -> None:
    """The error is ours and no RecursionError, in plain and in typed events."""
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidPayloadError, match="contains itself"):
        Event("unit.any", None, {"endless": endless})
    with pytest.raises(InvalidPayloadError, match="contains itself"):
        HealthStatusChangedEvent.create(
            old_status="HEALTHY",
            new_status="CRITICAL",
            component="c",
            reason="r",
            metrics={"endless": endless},
        )


def nested(levels: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return {"deep": value}


def test_the_deepest_payload_survives_the_wire() -> None:
    """A payload of one level more is refused when the event is made."""
    event = Event("unit.any", None, nested(MAX_DEPTH - 1))
    assert decode(encode(event), "unit.any") == event
    with pytest.raises(InvalidPayloadError, match="deeper"):
        Event("unit.any", None, nested(MAX_DEPTH))


def test_integers_are_bounded() -> None:
    """Integers of thousands of digits survive the wire; larger ones are refused."""
    large = Event("unit.any", None, {"n": -(10**4000)})
    assert decode(encode(large), "unit.any") == large
    with pytest.raises(InvalidPayloadError, match="bits"):
        Event("unit.any", None, {"n": 10**5000})
    with pytest.raises(InvalidPayloadError, match="bits"):
        HealthStatusChangedEvent.create(
            old_status="HEALTHY",
            new_status="CRITICAL",
            component="c",
            reason="r",
            metrics={"n": 10**5000},
        )


class Shade(StrEnum):
    RED = "red"


class Mixed(Payload):
    moment: datetime
    amount: Decimal
    shade: Shade | None = None
    ids: tuple[uuid.UUID, ...] = ()
    nested: PriceAlert | None = None


class MixedEvent(Event[Mixed], type="unit.mixed"): ...


def test_typed_fields_survive_the_wire() -> None:
    """Times, decimals, enums, UUIDs, tuples and nested payloads come back as they were."""
    event = MixedEvent.create(
        moment=datetime(2026, 1, 1, tzinfo=UTC),
        amount=Decimal("1.10"),
        shade="red",
        ids=(uuid.UUID(int=1),),
        nested={"price": 1},
    )
    back = decode(encode(event), "unit.mixed")
    assert back == event
    assert back.payload.nested.price == 1.0
