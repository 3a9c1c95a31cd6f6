"""Codec: an event as bytes and AMQP properties, and back.

Body: CloudEvents 1.0, JSON structured mode (cloudevents/spec v1.0.2, json-format.md), with the extensions
`correlationid`, `causationid`, `dataversion`, `traceparent`. Liberal in what it takes: plain
`application/json` with just a payload, from a producer in any language.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from pydantic_core import from_json, to_json

from qt_events.errors import (
    DecodeError,
    InvalidEventError,
    InvalidPatternError,
    InvalidPayloadError,
    TypeMismatchError,
)
from qt_events.events import Event

CONTENT_TYPE = "application/cloudevents+json"
MAX_BODY = 16 * 1024 * 1024  # bytes; a larger body is not parsed
_PERSISTENT = 2
_EPOCH = 1970
_VERSION_DIGITS = 10
_PLAIN_NAMESPACE = uuid5(NAMESPACE_URL, "https://qt-events.invalid/plain-json")


@dataclass(frozen=True, slots=True)
class Message:
    """What goes over the wire: a body, AMQP basic properties, and headers of ours (`qt-...`)."""

    body: bytes
    properties: dict[str, Any]
    headers: dict[str, Any] = field(default_factory=dict)


def encode(event: Event[Any], limit: int | None = MAX_BODY) -> Message:
    """The event as a CloudEvent, with the AMQP properties that repeat what tools show.

    Raises:
        InvalidPayloadError: its body has more than `limit` bytes, which no consumer would read.
    """
    body = to_json(_envelope(event), inf_nan_mode="constants")
    if limit is not None and len(body) > limit:
        message = (
            f"{event.type!r} has {len(body)} bytes; more than {limit} are not read: publish where to find the data"
        )
        raise InvalidPayloadError(message)
    return Message(body, _properties(event))


def _envelope(event: Event[Any]) -> dict[str, Any]:
    envelope: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "time": event.timestamp.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "correlationid": event.correlation_id,
        "dataversion": event.data_version,
    }
    if event.causation_id is not None:
        envelope["causationid"] = event.causation_id
    if event.traceparent is not None:
        envelope["traceparent"] = event.traceparent
    envelope["data"] = event.payload
    return envelope


def _properties(event: Event[Any]) -> dict[str, Any]:
    timestamp = {"timestamp": int(event.timestamp.timestamp())} if event.timestamp.year >= _EPOCH else {}  # unsigned
    return {
        **timestamp,
        "message_id": event.id,
        "type": event.type,
        "app_id": event.source,
        "correlation_id": event.correlation_id,
        "content_type": CONTENT_TYPE,
        "delivery_mode": _PERSISTENT,
        "priority": 0,
    }


def decode(body: bytes, properties: Mapping[str, Any], routing_key: str) -> Event[Any]:
    """The event that a message means.

    Args:
        body: as it came from the broker.
        properties: AMQP basic properties by name; of a plain JSON message they fill the envelope.
        routing_key: the key the event was published with.

    Raises:
        DecodeError: the body is no CloudEvent and no JSON object, or the payload does not fit the event's class.
        TypeMismatchError: the event's type is not the routing key; whoever may publish one type cannot forge another.
    """
    content_type = str(properties.get("content_type") or "application/json").partition(";")[0].strip().lower()
    document = _parse(body)
    if content_type == CONTENT_TYPE:
        return _event_of(_cloud_event(document), routing_key)
    if content_type == "application/json":
        return _event_of(_plain(document, body, properties, routing_key), routing_key)
    message = f"content type {content_type[:80]!r}: only {CONTENT_TYPE} and application/json are read"
    raise DecodeError(message)


def _parse(body: bytes) -> dict[str, Any]:
    if len(body) > MAX_BODY:
        message = f"the body has {len(body)} bytes; more than {MAX_BODY} are not read"
        raise DecodeError(message)
    try:
        document = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        message = f"the body is not JSON: {error}"
        raise DecodeError(message) from None
    if not isinstance(document, dict):
        message = f"the body is a JSON {type(document).__name__}, not an object"
        raise DecodeError(message)
    return document


def _cloud_event(document: dict[str, Any]) -> dict[str, Any]:
    if document.get("specversion") != "1.0":
        message = f"specversion is {document.get('specversion')!r:.80}, not '1.0'"
        raise DecodeError(message)
    if "data_base64" in document:
        message = "data_base64: binary data is not read, put JSON under data"
        raise DecodeError(message)
    for name in ("id", "source", "type"):
        if not isinstance(document.get(name), str):
            message = f"the CloudEvents attribute {name!r} is {document.get(name)!r:.80}, not a str"
            raise DecodeError(message)
    return {
        "type": document["type"],
        "timestamp": _time(document.get("time")),
        "payload": document.get("data"),
        "id": document["id"],
        "source": document["source"],
        "correlation_id": document.get("correlationid"),
        "causation_id": document.get("causationid"),
        "data_version": _version(document.get("dataversion")),
        "traceparent": document.get("traceparent"),
    }


def _plain(document: dict[str, Any], body: bytes, properties: Mapping[str, Any], routing_key: str) -> dict[str, Any]:
    timestamp = properties.get("timestamp")
    message_id = properties.get("message_id")
    derived = uuid5(_PLAIN_NAMESPACE, f"{routing_key}\n{timestamp}\n{body.decode(errors='replace')}")
    return {
        "type": routing_key,
        "timestamp": _amqp_time(timestamp),
        "payload": document,
        "id": str(message_id or derived),
        "source": properties.get("app_id") or None,
        "correlation_id": properties.get("correlation_id") or None,
    }


def _event_of(attributes: dict[str, Any], routing_key: str) -> Event[Any]:
    if attributes["type"] != routing_key:
        message = f"the event says type {attributes['type']!r:.300}, its routing key {routing_key!r}"
        raise TypeMismatchError(message)
    if not isinstance(attributes["payload"], dict | None):
        message = f"data is a {type(attributes['payload']).__name__}, not an object"
        raise DecodeError(message)
    try:
        return Event(attributes.pop("type"), **attributes)
    except (InvalidEventError, InvalidPatternError) as error:
        raise DecodeError(str(error)) from None


def _time(value: object) -> datetime | None:
    if value is None:
        return None
    try:
        return datetime.fromisoformat(value)  # type: ignore[arg-type]  # RFC 3339 is a part of what it reads
    except (TypeError, ValueError):
        message = f"time is {value!r:.80}, not an RFC 3339 time"
        raise DecodeError(message) from None


def _amqp_time(value: object) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value  # py-amqp reads seconds as a naive UTC datetime
    try:
        return datetime.fromtimestamp(int(value), UTC)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError, OSError):
        message = f"the property timestamp is {value!r:.80}, not seconds since 1970"
        raise DecodeError(message) from None


def _version(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _VERSION_DIGITS:
        return int(value)  # CloudEvents libraries may carry extensions as strings
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    message = f"dataversion is {value!r:.80}, not an integer"
    raise DecodeError(message)
