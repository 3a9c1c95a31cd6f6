"""Codec: an event as bytes and AMQP properties, and back.

Body: CloudEvents 1.0, JSON structured mode (cloudevents/spec v1.0.2, json-format.md), with the extensions
`correlationid`, `causationid`, `dataversion`, `traceparent`. Liberal in what it takes: plain
`application/json` with just a payload, from a producer in any language.
"""

import re
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
from qt_events.events.event import Event

CONTENT_TYPE = "application/cloudevents+json"
MAX_BODY = 16 * 1024 * 1024  # bytes; a larger body is not parsed
MAX_VALUES = 250_000  # of one body: each costs microseconds and a hundred bytes, and nothing else is handled meanwhile
_FEW = 2 * MAX_VALUES  # bytes that cannot hold more values: `1,` for each
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_PERSISTENT = 2
_EPOCH = 1970
_VERSION_DIGITS = 10
_PLAIN = "application/json"
_UTF8 = frozenset(
    {"", "utf-8", "utf8", "us-ascii", "ascii", "binary", "identity", "8bit", "7bit"}
)  # or no encoding
_PLAIN_NAMESPACE = uuid5(NAMESPACE_URL, "https://qt-events.invalid/plain-json")


@dataclass(slots=True)  # not frozen: that would take longer than the rest of it
class Message:
    """What goes over the wire: a body, AMQP basic properties, and headers of ours (`qt-...`). Nothing changes it."""

    body: bytes
    properties: dict[str, Any]
    headers: dict[str, Any] = field(default_factory=dict)


def encode(event: Event[Any], limit: int | None = MAX_BODY) -> Message:
    """The event as a CloudEvent, with the AMQP properties that repeat what tools show.

    Raises:
        InvalidPayloadError: no consumer would read its body: it nests too deep, or has more than `limit` bytes or
            MAX_VALUES values.
    """
    try:
        body = to_json(_envelope(event), inf_nan_mode="constants")
    except (
        ValueError,
        RecursionError,
    ) as error:  # models in models: their depth is not looked at before
        message = f"{event.type!r} cannot be written as JSON ({error!s:.200}): flatten its payload"
        raise InvalidPayloadError(message) from None
    if limit is not None and (len(body) > limit or _has_too_many(body)):
        what = (
            f"{len(body)} bytes; more than {limit}"
            if len(body) > limit
            else f"more than {MAX_VALUES} values, which"
        )
        raise InvalidPayloadError(
            f"{event.type!r} has {what} are not read: publish where to find the data"
        )
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
    timestamp = (
        {"timestamp": int(event.timestamp.timestamp())} if event.timestamp.year >= _EPOCH else {}
    )  # unsigned
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
    content_type = _content_type(properties)
    document = _parse(body)
    if content_type == CONTENT_TYPE:
        return _event_of(_cloud_event(document), routing_key)
    return _event_of(_plain(document, body, properties, routing_key), routing_key)


def too_large(size: int) -> str:
    """What is said of a body of more than MAX_BODY bytes."""
    return f"the body has {size} bytes; more than {MAX_BODY} are not read"


def _has_too_many(body: bytes) -> bool:
    """Values: a comma goes before each but the first of its list or object."""
    return (
        len(body) > _FEW
        and body.count(b",") >= MAX_VALUES
        and _STRINGS.sub(b"", body).count(b",") >= MAX_VALUES
    )


def _content_type(properties: Mapping[str, Any]) -> str:
    """CONTENT_TYPE or that of plain JSON. DecodeError if it is another, or not in UTF-8."""
    given, encoding = properties.get("content_type"), properties.get("content_encoding")
    if given == CONTENT_TYPE and encoding is None:  # ours
        return CONTENT_TYPE
    content_type, _, parameters = str(given or _PLAIN).lower().partition(";")
    for name in (str(encoding or ""), _charset(parameters)):
        if name.strip().lower() not in _UTF8:
            message = f"the body is said to be in {name[:80]!r}: only UTF-8 is read, not compressed"
            raise DecodeError(message)
    if content_type.strip() not in (CONTENT_TYPE, _PLAIN):
        message = (
            f"content type {content_type.strip()[:80]!r}: only {CONTENT_TYPE} and {_PLAIN} are read"
        )
        raise DecodeError(message)
    return content_type.strip()


def _charset(parameters: str) -> str:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "charset":
            return value.strip().strip('"')
    return ""


def _parse(body: bytes) -> dict[str, Any]:
    if len(body) > MAX_BODY:
        raise DecodeError(too_large(len(body)))
    if _has_too_many(body):
        message = f"the body has more than {MAX_VALUES} values, which are not read"
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


def _plain(
    document: dict[str, Any], body: bytes, properties: Mapping[str, Any], routing_key: str
) -> dict[str, Any]:
    timestamp = properties.get("timestamp")
    return {
        "type": routing_key,
        "timestamp": _amqp_time(timestamp),
        "payload": document,
        "id": str(
            properties.get("message_id") or _derived_id(f"{routing_key}\n{timestamp}\n", body)
        ),
        "source": properties.get("app_id") or None,
        "correlation_id": properties.get("correlation_id") or None,
    }


def _derived_id(where: str, body: bytes) -> str:
    """The same for the same message, however often it comes."""
    text = where.encode(errors="replace") + body  # a routing key may hold a lone surrogate
    return str(uuid5(_PLAIN_NAMESPACE, text.decode(errors="replace")))


def _event_of(attributes: dict[str, Any], routing_key: str) -> Event[Any]:
    if attributes["type"] != routing_key:
        message = (
            f"the event says type {attributes['type']!r:.300}, its routing key {routing_key!r}"
        )
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
    if (
        isinstance(value, str)
        and value.isascii()
        and value.isdigit()
        and len(value) <= _VERSION_DIGITS
    ):
        return int(value)  # CloudEvents libraries may carry extensions as strings
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    message = f"dataversion is {value!r:.80}, not an integer"
    raise DecodeError(message)
