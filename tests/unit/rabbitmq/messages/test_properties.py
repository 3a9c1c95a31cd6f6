"""Events become the content of an AMQP message by to_amqp(), and return by from_amqp()."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qt_events.errors import DecodeError, MessageError
from qt_events.events.cloudevents import CONTENT_TYPE, encode
from qt_events.events.event import Event
from qt_events.events.quantum_trader import PolicyUpdatedEvent
from qt_events.rabbitmq.messages.properties import Content, from_amqp, to_amqp
from tests.unit.events.samples import cloud_event

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
EVENT: Event[Any] = Event(
    "unit.codec", MOMENT, {"a": 1}, id="id-1", source="unit", correlation_id="story"
)
PLAIN = {"content_type": "application/json"}


# An event


def test_the_properties_repeat_what_tools_show() -> None:
    """Id, type, whole seconds, source, correlation id, content type and persistence are there."""
    content = to_amqp(EVENT)
    assert content.properties == {
        "message_id": "id-1",
        "type": "unit.codec",
        "timestamp": int(MOMENT.timestamp()),
        "app_id": "unit",
        "correlation_id": "story",
        "content_type": "application/cloudevents+json",
        "delivery_mode": 2,
    }
    assert content.headers == {}


def test_an_event_round_trips() -> None:
    """The body is the CloudEvent alone."""
    content = to_amqp(EVENT)
    assert content.body == encode(EVENT)
    assert from_amqp(content.body, content.properties, "unit.codec") == EVENT


def test_a_time_before_1970_is_no_property() -> None:
    """AMQP's timestamps are unsigned; the body has the time."""
    content = to_amqp(EVENT.replace(timestamp=datetime(1969, 12, 31, tzinfo=UTC)))
    assert "timestamp" not in content.properties
    read = from_amqp(content.body, content.properties, "unit.codec")
    assert read.timestamp == datetime(1969, 12, 31, tzinfo=UTC)


def test_a_message_is_body_properties_headers() -> None:
    """Headers are ours alone: none where nothing was added."""
    assert Content(b"", {}).headers == {}


# Liberal


@pytest.mark.parametrize(
    "content_type",
    [
        "application/cloudevents+json; charset=utf-8",
        "Application/CloudEvents+JSON",
        "application/cloudevents+json ",
    ],
)
def test_a_content_type_may_have_parameters_and_capitals(content_type: str) -> None:
    """Content types are compared as media types are."""
    assert from_amqp(cloud_event(), {"content_type": content_type}, "unit.codec").id == "i"


def test_plain_json_is_a_payload() -> None:
    """Properties give id, time, source and correlation id."""
    properties = {
        **PLAIN,
        "message_id": "m",
        "timestamp": 1_700_000_000,
        "app_id": "go",
        "correlation_id": "c",
    }
    event = from_amqp(b'{"a": 1}', properties, "unit.codec")
    assert event == Event(
        "unit.codec",
        datetime.fromtimestamp(1_700_000_000, UTC),
        {"a": 1},
        id="m",
        source="go",
        correlation_id="c",
    )


@pytest.mark.parametrize("properties", [{}, {"content_type": None}, {"content_type": ""}, PLAIN])
def test_plain_json_needs_no_properties(properties: dict[str, Any]) -> None:
    """The id is made of key, timestamp and body, so a repeated message has the same."""
    first, again = (from_amqp(b'{"a": 1}', properties, "unit.codec") for _ in range(2))
    assert (first.payload, first.source) == ({"a": 1}, "qt_events")
    assert first.id == again.id
    assert from_amqp(b'{"a": 2}', properties, "unit.codec").id != first.id
    assert from_amqp(b'{"a": 1}', properties, "unit.other").id != first.id
    assert from_amqp(b'{"a": 1}', {**properties, "timestamp": 1}, "unit.codec").id != first.id


def test_a_plain_payload_of_a_registered_type_is_typed() -> None:
    """Plain JSON too is validated by its class."""
    body = {
        "risk_mode": "NORMAL",
        "allowed_strategies": [],
        "global_min_confidence": 0.5,
        "max_risk_per_trade": 0.1,
        "max_positions": 1,
    }
    assert type(from_amqp(json.dumps(body).encode(), PLAIN, "policy.updated")) is PolicyUpdatedEvent


def test_amqp_libraries_may_give_the_timestamp_as_a_datetime() -> None:
    """The timestamp property is read as seconds or as a datetime."""
    assert from_amqp(b"{}", {**PLAIN, "timestamp": MOMENT}, "unit.codec").timestamp == MOMENT


@pytest.mark.parametrize("encoding", ["utf-8", "UTF-8", "us-ascii", "binary", ""])
def test_all_names_of_utf_8_are_read(encoding: str) -> None:
    """kombu writes `utf-8` or `binary`."""
    assert from_amqp(b"{}", {**PLAIN, "content_encoding": encoding}, "unit.codec").payload == {}


# Refused


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-python-serialize", "application/cloudevents+avro"]
)
def test_another_content_type_is_refused(content_type: str) -> None:
    """Bodies that are no JSON by their content type are not parsed."""
    with pytest.raises(DecodeError, match="content type"):
        from_amqp(b"{}", {"content_type": content_type}, "unit.codec")


def test_a_pickle_is_refused_by_its_content_type() -> None:
    """The error names the content type."""
    with pytest.raises(DecodeError, match="content type"):
        from_amqp(b"\x80\x04", {"content_type": "application/x-python-serialize"}, "unit.codec")


@pytest.mark.parametrize(
    "properties",
    [
        {"content_encoding": "gzip"},
        {"content_encoding": "utf-16"},
        {"content_type": "application/json; charset=utf-7"},
        {"content_type": 'application/json;x=y; Charset="ISO-8859-1"'},
        {"content_type": CONTENT_TYPE, "content_encoding": "br"},
    ],
)
def test_a_body_that_claims_another_encoding_is_refused(properties: dict[str, Any]) -> None:
    """Reading it as UTF-8 could give other JSON."""
    with pytest.raises(DecodeError, match="only UTF-8"):
        from_amqp(cloud_event(), properties, "unit.codec")


@pytest.mark.parametrize("timestamp", ["soon", 1e20, -(10**20), [1], float("nan"), float("inf")])
def test_a_timestamp_property_that_is_no_time_is_refused(timestamp: Any) -> None:
    """A plain message whose timestamp means nothing is a DecodeError."""
    with pytest.raises(DecodeError, match="timestamp"):
        from_amqp(b"{}", {**PLAIN, "timestamp": timestamp}, "unit.codec")


def test_a_key_with_a_lone_surrogate_is_refused() -> None:
    """py-amqp lets one through in a routing key."""
    with pytest.raises(DecodeError, match="no event type"):
        from_amqp(b"{}", PLAIN, "unit.\ud800")


@pytest.mark.parametrize("key", ["", "a..b", "a.*", "#"])
def test_a_key_that_is_no_type_is_refused(key: str) -> None:
    """Other programs may publish under keys that no event type can be."""
    with pytest.raises(DecodeError):
        from_amqp(b"{}", PLAIN, key)


def test_very_many_wrong_values_are_counted_not_listed() -> None:
    """A dead letter's message is for reading."""
    data = json.loads(encode(Event("unit.codec")))["data"] | {"allowed_strategies": [1] * 100_000}
    with pytest.raises(DecodeError, match="values are wrong") as caught:
        from_amqp(json.dumps(data).encode(), PLAIN, "policy.updated")
    assert len(str(caught.value)) < 1_000


# Any message

# Of few letters: hypothesis makes a table of all of Unicode for others, which takes it seconds.
texts = st.text(st.sampled_from('aZ0-.:"\\ é😀\x00\n\ud800'), max_size=20)
bodies = st.binary() | st.just(cloud_event()) | st.dictionaries(texts, texts).map(json.dumps)
values = (
    st.none()
    | texts
    | st.integers()
    | st.floats()
    | st.binary()
    | st.lists(st.integers(), max_size=2)
)
names = st.sampled_from(["message_id", "timestamp", "app_id", "correlation_id", "type"])
content_types = st.sampled_from([CONTENT_TYPE, "application/json", None]) | values


# A machine may be busy.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    bodies,
    st.dictionaries(names, values),
    content_types,
    st.just("unit.codec") | st.just("policy.updated") | texts,
)
def test_only_message_errors_are_raised(
    body: bytes | str, properties: dict[str, Any], content_type: Any, key: str
) -> None:
    """Any message is an event of the routing key's type, or a MessageError."""
    body = body if isinstance(body, bytes) else body.encode()
    try:
        event = from_amqp(body, {**properties, "content_type": content_type}, key)
    except MessageError:
        return
    assert event.type == key
    content = to_amqp(event)
    assert from_amqp(content.body, content.properties, key) == event
