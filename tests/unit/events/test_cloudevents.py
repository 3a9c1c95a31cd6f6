"""encode() and decode(): an event as CloudEvents JSON, and back."""

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from cloudevents.core.bindings.amqp import AMQPMessage, from_structured_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qt_events.errors import DecodeError, InvalidPayloadError, MessageError, TypeMismatchError
from qt_events.events.cloudevents import CONTENT_TYPE, MAX_BODY, MAX_VALUES, decode, encode
from qt_events.events.event import Event
from qt_events.events.payload import Payload
from qt_events.events.quantum_trader import PolicyUpdatedEvent
from tests.unit.events.samples import cloud_event

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def an_event(**changes: Any) -> Event[Any]:
    attributes: dict[str, Any] = {
        "id": "id-1",
        "source": "unit",
        "correlation_id": "story",
        "causation_id": "cause",
        "data_version": 3,
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    return Event("unit.codec", MOMENT, {"a": [1, None, "ä"]}, **{**attributes, **changes})


def read_back(event: Event[Any]) -> Event[Any]:
    return decode(encode(event), event.type)


# What is sent


def test_the_body_is_a_cloud_event() -> None:
    """The body is CloudEvents 1.0 in JSON structured mode, with our four extensions."""
    assert json.loads(encode(an_event())) == {
        "specversion": "1.0",
        "id": "id-1",
        "source": "unit",
        "type": "unit.codec",
        "time": "2026-01-02T03:04:05.678901Z",
        "datacontenttype": "application/json",
        "correlationid": "story",
        "causationid": "cause",
        "dataversion": 3,
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "data": {"a": [1, None, "ä"]},
    }


def test_attributes_without_a_value_are_left_out() -> None:
    """CloudEvents has no null: an event without cause and trace has no such attributes."""
    document = json.loads(encode(Event("unit.codec")))
    assert set(document) == {
        "specversion", "id", "source", "type", "time", "datacontenttype", "correlationid",
        "dataversion", "data",
    }  # fmt: skip


def test_an_event_round_trips() -> None:
    """Decoding returns an equal event of the same class."""
    typed = PolicyUpdatedEvent.create(
        risk_mode="NORMAL",
        allowed_strategies=[],
        global_min_confidence=0,
        max_risk_per_trade=0,
        max_positions=1,
    )
    for event in (an_event(), typed, Event("unit.codec")):
        assert read_back(event) == event
        assert type(read_back(event)) is type(event)


@pytest.mark.parametrize(
    "moment", [datetime.min, datetime.max, datetime(1969, 12, 31, 23, 59, 59, 999999), MOMENT]
)
def test_any_time_round_trips_to_the_microsecond(moment: datetime) -> None:
    """The earliest, the latest and times before 1970 survive."""
    event = Event("unit.codec", moment)
    assert read_back(event).timestamp == event.timestamp


# Against the CloudEvents SDK


def test_the_sdk_reads_our_events() -> None:
    """The CloudEvents SDK parses our body in structured mode and sees every attribute."""
    event = an_event()
    message = AMQPMessage({"content-type": CONTENT_TYPE}, {}, encode(event))
    read = from_structured_event(message)
    assert read.get_id() == event.id
    assert read.get_source() == event.source
    assert read.get_type() == event.type
    assert read.get_time() == event.timestamp
    assert read.get_specversion() == "1.0"
    assert read.get_datacontenttype() == "application/json"
    assert read.get_data() == event.payload
    assert {
        name: read.get_extension(name) for name in ("correlationid", "causationid", "dataversion")
    } == {
        "correlationid": "story",
        "causationid": "cause",
        "dataversion": 3,
    }


def test_events_of_the_sdk_are_read() -> None:
    """A structured CloudEvent from the SDK becomes our event."""
    attributes = {
        "id": "sdk-1",
        "source": "/elsewhere",
        "type": "unit.codec",
        "specversion": "1.0",
        "time": MOMENT,
        "datacontenttype": "application/json",
        "correlationid": "story",
        "dataversion": "2",
    }
    sent = to_structured_event(CloudEvent(attributes=attributes, data={"a": 1}))
    assert sent.properties["content-type"] == CONTENT_TYPE
    event = decode(sent.application_data, "unit.codec")
    assert event == Event(
        "unit.codec",
        MOMENT,
        {"a": 1},
        id="sdk-1",
        source="/elsewhere",
        correlation_id="story",
        data_version=2,
    )


def test_the_sdk_reads_every_event_that_can_be_made() -> None:
    """Payloads and times of all kinds are read."""
    for moment in (
        None,
        datetime(1970, 1, 1),
        datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    ):
        event = Event("unit.codec", moment, {"ü": {"deep": [1.5, True]}})
        read = from_structured_event(AMQPMessage({"content-type": CONTENT_TYPE}, {}, encode(event)))
        assert (read.get_time(), read.get_data()) == (event.timestamp, event.payload)


# Liberal


def test_optional_attributes_of_cloudevents_are_optional() -> None:
    """An event without time, data and extensions is of now, empty, and a root."""
    before = datetime.now(UTC)
    event = decode(cloud_event(data=...), "unit.codec")
    assert before <= event.timestamp <= datetime.now(UTC)
    assert (event.payload, event.correlation_id, event.data_version) == ({}, "i", 1)


def test_unknown_extensions_are_ignored() -> None:
    """A CloudEvent with attributes of other libraries is read."""
    assert decode(cloud_event(partitionkey="x", subject="y"), "unit.codec").id == "i"


# Refused


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"a": NaN}', "not JSON"),
        (b'{"a": Infinity}', "not JSON"),
        (b"[1]", "list, not an object"),
        (b'"text"', "str, not an object"),
        (b"null", "NoneType, not an object"),
        (b"[" * 1000, "not JSON"),
        (cloud_event(specversion="0.3"), "specversion is '0.3'"),
        (cloud_event(specversion=...), "specversion is None"),
        (cloud_event(id=...), "'id' is None"),
        (cloud_event(id=5), "'id' is 5"),
        (cloud_event(id=""), "id is ''"),
        (cloud_event(source=...), "'source' is None"),
        (cloud_event(source=""), "source is ''"),
        (cloud_event(type=...), "'type' is None"),
        (cloud_event(data=[1]), "data is a list"),
        (cloud_event(data="text"), "data is a str"),
        (cloud_event(data_base64="AAAA"), "data_base64"),
        (cloud_event(time="yesterday"), "time is 'yesterday'"),
        (cloud_event(time=5), "time is 5"),
        (cloud_event(correlationid=5), "correlation_id is 5"),
        (cloud_event(causationid=[1]), "causation_id is"),
        (cloud_event(traceparent={}), "traceparent is"),
        (cloud_event(dataversion="new"), "dataversion is 'new'"),
        (cloud_event(dataversion=1.5), "dataversion is 1.5"),
        (cloud_event(dataversion=True), "dataversion is True"),
        (cloud_event(dataversion=0), "data_version=0"),
        (cloud_event(dataversion="9" * 5000), "dataversion"),
    ],
)
def test_a_body_that_is_no_event_is_refused_with_its_reason(body: bytes, why: str) -> None:
    """A CloudEvent that breaks the specification, or makes no event, is a DecodeError."""
    with pytest.raises(DecodeError, match=re.escape(why)):
        decode(body, "unit.codec")


def test_a_body_over_the_limit_is_not_parsed() -> None:
    """A body of more than MAX_BODY bytes is refused by its size."""
    with pytest.raises(DecodeError, match="bytes"):
        decode(b" " * (MAX_BODY + 1), "unit.codec")


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-00:01"])
def test_a_time_that_no_datetime_holds_in_utc_is_refused(time: str) -> None:
    """The year would be 0 or 10000."""
    with pytest.raises(DecodeError, match="years 1 to 9999"):
        decode(cloud_event(time=time), "unit.codec")


def test_the_last_of_two_values_for_a_key_counts() -> None:
    """RFC 8259 leaves it open; JSON readers mostly do so."""
    assert decode(cloud_event()[:-1] + b', "data": {"a": 2}}', "unit.codec").payload == {"a": 2}


def test_errors_are_short() -> None:
    """A megabyte in an attribute is not a megabyte in the log."""
    with pytest.raises(DecodeError) as caught:
        decode(cloud_event(id="x" * 10**6), "unit.codec")
    assert len(str(caught.value)) < 1_000


def test_more_values_than_can_be_read_in_a_second_are_refused_at_once() -> None:
    """16 MiB of `{},` would hold up everything for half a minute, and take a gigabyte."""
    with pytest.raises(DecodeError, match="values"):
        decode(b'{"data": [' + b"{}," * MAX_VALUES + b"1]}", "unit.codec")
    with pytest.raises(InvalidPayloadError, match="values"):
        encode(Event("too.many", payload={"a": [1] * (MAX_VALUES + 1)}))


def test_commas_in_a_text_are_no_values() -> None:
    """A large text is one value, whatever is written there."""
    payload = {"a": ',"\\,' * MAX_VALUES}
    assert decode(cloud_event(data=payload), "unit.codec").payload == payload


class Box(Payload):
    inside: "Box | None" = None


class BoxEvent(Event[Box], type="unit.box"): ...


def test_models_that_nest_too_deep_are_refused() -> None:
    """JSON of models in models has its limit too."""
    box = Box()
    for _ in range(300):
        box = Box(inside=box)
    with pytest.raises(InvalidPayloadError, match="cannot be written as JSON"):
        BoxEvent.create(inside=box)


def test_a_type_other_than_the_routing_key_is_refused() -> None:
    """A producer that may publish one type cannot forge another."""
    with pytest.raises(TypeMismatchError, match=r"'unit\.codec'.*'unit\.other'"):
        decode(cloud_event(), "unit.other")


def test_a_payload_that_does_not_fit_its_class_is_refused() -> None:
    """The error names the field."""
    with pytest.raises(DecodeError, match=r"payload\.risk_mode"):
        decode(cloud_event(type="policy.updated", data={"risk_mode": "WILD"}), "policy.updated")


def test_an_unknown_version_of_a_known_type_is_refused() -> None:
    """A version of a newer producer is not read as another one."""
    with pytest.raises(DecodeError, match="version"):
        decode(cloud_event(type="policy.updated", dataversion=99), "policy.updated")


# Whatever comes


PATIENT = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # a machine may be busy

# Of few letters: hypothesis makes a table of all of Unicode for others, which takes it seconds.
texts = st.text(st.sampled_from('aZ0-.:"\\ é😀\x00\n\ud800'), max_size=20)
json_documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
attributes = st.sampled_from(
    [
        "specversion",
        "id",
        "source",
        "type",
        "time",
        "data",
        "correlationid",
        "causationid",
        "dataversion",
        "traceparent",
    ]
)
almost_events = st.dictionaries(
    attributes, json_documents | st.just("unit.codec") | st.just("1.0")
).map(lambda changes: json.dumps({**json.loads(cloud_event()), **changes}).encode())
bodies = (
    st.binary() | json_documents.map(lambda document: json.dumps(document).encode()) | almost_events
)


@PATIENT
@given(bodies, st.just("unit.codec") | st.just("policy.updated") | texts)
def test_decode_raises_message_errors_only(body: bytes, key: str) -> None:
    """Any body is an event of the type that it was routed by, or a MessageError."""
    try:
        event = decode(body, key)
    except MessageError:
        return
    assert event.type == key
    assert encode(event)


@PATIENT
@given(bodies)
def test_a_decoded_event_can_be_encoded(body: bytes) -> None:
    """An event that was read can be written and read again, equal."""
    try:
        event = decode(body, "unit.codec")
    except MessageError:
        return
    assert read_back(event) == event


def test_an_event_that_consumers_would_not_read_is_refused_when_encoded() -> None:
    """The publisher can still change it; at a consumer it would be a dead letter."""
    with pytest.raises(InvalidPayloadError, match="more than 16777216 are not read"):
        encode(Event("too.big", payload={"data": "x" * MAX_BODY}))
