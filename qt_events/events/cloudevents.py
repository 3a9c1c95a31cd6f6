"""Codec: an event as CloudEvents JSON, and back.

CloudEvents 1.0, JSON structured mode (cloudevents/spec v1.0.2, json-format.md), with the
extensions `correlationid`, `causationid`, `dataversion`, `traceparent`. A plain JSON object is read
too, as the payload of an event from a producer without this library.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic_core import from_json, to_json

from qt_events.errors import (
    DecodeError,
    InvalidEventError,
    InvalidPatternError,
    InvalidPayloadError,
    NewerReleaseError,
    NewerVersionError,
    TypeMismatchError,
    UnknownValueError,
)
from qt_events.events.event import Event
from qt_events.events.validation import Received

CONTENT_TYPE = "application/cloudevents+json"
MAX_BODY = 16 * 1024 * 1024  #: bytes; a larger body is not parsed
# Values of one body: each costs microseconds and a hundred bytes, and holds up all other events.
MAX_VALUES = 250_000
# Bytes that cannot hold more values: each has at least a digit and a comma.
_FEW = 2 * MAX_VALUES
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_VERSION_DIGITS = 10


def encode(event: Event[Any], limit: int | None = MAX_BODY) -> bytes:
    """Return the event as a CloudEvent.

    Raises:
        InvalidPayloadError: no consumer would read it: it nests too deep, or has more than `limit`
            bytes or MAX_VALUES values.
    """
    try:
        body = to_json(
            _document(event), inf_nan_mode="constants", round_trip=event.payload.__for_reading__
        )
    # Models in models: their depth is not known before.
    except (ValueError, RecursionError) as error:
        raise InvalidPayloadError(
            f"{event.type!r} cannot be written as JSON ({error!s:.200}): flatten its payload"
        ) from None
    if limit is not None and (len(body) > limit or _has_too_many(body)):
        raise _too_much(event.type, len(body), limit)
    return body


def _too_much(event_type: str, size: int, limit: int) -> InvalidPayloadError:
    what = f"{size} bytes; more than {limit}"
    if size <= limit:
        what = f"more than {MAX_VALUES} values, which"
    return InvalidPayloadError(
        f"{event_type!r} has {what} are not read: publish where to find the data"
    )


def _document(event: Event[Any]) -> dict[str, Any]:
    document: dict[str, Any] = {
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
        document["causationid"] = event.causation_id
    if event.traceparent is not None:
        document["traceparent"] = event.traceparent
    document["data"] = event.payload
    return document


def decode(body: bytes, event_type: str) -> Event[Any]:
    """Return the event of a CloudEvent.

    Args:
        body: what `encode` or another CloudEvents library has made.
        event_type: the type that the transport routed it by.

    Raises:
        DecodeError: it is no CloudEvent, or its payload does not fit the event's class.
        TypeMismatchError: it has another type. A producer that may publish one type cannot forge
            another.
    """
    return cloud_event(parse(body), event_type)


def parse(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body. DecodeError if it is none, or too large."""
    if len(body) > MAX_BODY:
        raise DecodeError(too_large(len(body)))
    if _has_too_many(body):
        raise DecodeError(f"the body has more than {MAX_VALUES} values, which are not read")
    try:
        document = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise DecodeError(f"the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise DecodeError(f"the body is a JSON {type(document).__name__}, not an object")
    return document


def too_large(size: int) -> str:
    """Return the error text for a body of more than MAX_BODY bytes."""
    return f"the body has {size} bytes; more than {MAX_BODY} are not read"


def _has_too_many(body: bytes) -> bool:
    """Count values by commas: one precedes each but the first of its list or object."""
    return (
        len(body) > _FEW
        and body.count(b",") >= MAX_VALUES
        and _STRINGS.sub(b"", body).count(b",") >= MAX_VALUES
    )


def cloud_event(document: dict[str, Any], event_type: str) -> Event[Any]:
    """Return the event of a parsed CloudEvent. Errors as in `decode`."""
    must_be_version_1(document)
    if "data_base64" in document:
        raise DecodeError("data_base64: binary data is not read, put JSON under data")
    attributes = {
        "type": required_text(document, "type"),
        "timestamp": read_time(document.get("time")),
        "payload": document.get("data"),
        "id": required_text(document, "id"),
        "source": required_text(document, "source"),
        "correlation_id": document.get("correlationid"),
        "causation_id": document.get("causationid"),
        "data_version": _version(document.get("dataversion")),
        "traceparent": document.get("traceparent"),
    }
    return _event_of(attributes, event_type)


def plain_event(
    payload: dict[str, Any],
    event_type: str,
    *,
    id: str,
    timestamp: datetime | None = None,
    source: Any = None,
    correlation_id: Any = None,
) -> Event[Any]:
    """Return the event of a plain JSON object; the transport knows its attributes.

    Raises:
        DecodeError: the payload does not fit the event's class, or an attribute is wrong.
    """
    attributes = {
        "type": event_type,
        "timestamp": timestamp,
        "payload": payload,
        "id": id,
        "source": source,
        "correlation_id": correlation_id,
    }
    return _event_of(attributes, event_type)


def _event_of(attributes: dict[str, Any], event_type: str) -> Event[Any]:
    if attributes["type"] != event_type:
        raise TypeMismatchError(
            f"the event says type {attributes['type']!r:.300}, its routing key {event_type!r}"
        )
    payload = attributes["payload"]
    if payload is not None:
        if not isinstance(payload, dict):
            raise DecodeError(f"data is a {type(payload).__name__}, not an object")
        attributes["payload"] = Received(payload)
    try:
        return Event(attributes.pop("type"), **attributes)
    except (NewerVersionError, UnknownValueError) as error:
        raise NewerReleaseError(str(error)) from None
    except (InvalidEventError, InvalidPatternError) as error:
        raise DecodeError(str(error)) from None


def must_be_version_1(document: Mapping[str, Any]) -> None:
    """Refuse what is no CloudEvent of version 1.0, with a DecodeError."""
    if document.get("specversion") != "1.0":
        raise DecodeError(f"specversion is {document.get('specversion')!r:.80}, not '1.0'")


def required_text(document: Mapping[str, Any], name: str) -> str:
    """Return an attribute that every CloudEvent has. DecodeError if it is missing, or no text."""
    value = document.get(name)
    if not isinstance(value, str):
        raise DecodeError(f"the CloudEvents attribute {name!r} is {value!r:.80}, not a str")
    return value


def read_time(value: object) -> datetime | None:
    """Return the time of an RFC 3339 text; None for None. DecodeError for anything else."""
    if value is None:
        return None
    try:
        # It reads all of RFC 3339, and more.
        return datetime.fromisoformat(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise DecodeError(f"time is {value!r:.80}, not an RFC 3339 time") from None


def _version(value: object) -> int | None:
    # CloudEvents libraries may carry extensions as strings.
    if isinstance(value, str) and value.isascii() and value.isdigit():
        if len(value) <= _VERSION_DIGITS:
            return int(value)
    elif value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise DecodeError(f"dataversion is {value!r:.80}, not an integer")
