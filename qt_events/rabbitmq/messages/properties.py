"""An event as the content of an AMQP message, and back.

The body is the CloudEvent. The properties repeat what tools for AMQP show. Of a plain JSON message,
from a producer in any language, the properties are the event's attributes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from qt_events.errors import DecodeError, MessageError
from qt_events.events.cloudevents import CONTENT_TYPE, cloud_event, encode, parse, plain_event
from qt_events.events.event import Event
from qt_events.events.raw import RawEvent
from qt_events.events.topics import MAX_BYTES
from qt_events.texts import printable

PERSISTENT = 2  #: delivery_mode
#: Property that earlier releases wrote. RabbitMQ 4.3 hands out what has no priority before it.
FORMER_PRIORITY = ("priority", 0)
_PLAIN = "application/json"
_EPOCH = 1970
# Names of UTF-8 and of its part ASCII, and names for no encoding at all.
_UTF8 = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii", "binary", "identity", "8bit", "7bit"})
_PLAIN_NAMESPACE = uuid5(NAMESPACE_URL, "https://qt-events.invalid/plain-json")


# Not frozen: that would take longer than everything else about it.
@dataclass(slots=True)
class Content:
    """Content of a message (AMQP 0-9-1, 4.2.6): body, basic properties, and headers of ours.

    Nothing changes it.
    """

    body: bytes
    properties: dict[str, Any]
    headers: dict[str, Any] = field(default_factory=dict)  #: their names begin with `qt-`


def to_amqp(event: Event[Any]) -> Content:
    """Return the content of a message with this event. InvalidPayloadError: see `encode`."""
    return Content(encode(event), _properties(event))


def _properties(event: Event[Any]) -> dict[str, Any]:
    # Unsigned: there is none for an earlier time.
    timestamp = (
        {"timestamp": int(event.timestamp.timestamp())} if event.timestamp.year >= _EPOCH else {}
    )
    return {
        **timestamp,
        "message_id": event.id,
        "type": event.type,
        "app_id": event.source,
        "correlation_id": event.correlation_id,
        "content_type": CONTENT_TYPE,
        "delivery_mode": PERSISTENT,
    }


def raw_to_amqp(event: RawEvent) -> Content:
    """Return the content of a message with the event as it was on the wire.

    A text that is too long for a property is left out: the body of a CloudEvent has it, too.
    """
    properties: dict[str, Any] = {
        "message_id": event.id,
        "type": event.type,
        "app_id": event.source,
        "correlation_id": event.correlation_id,
    }
    if max(map(len, properties.values())) > _SURELY_FITS:
        properties = {name: text for name, text in properties.items() if _fits(text)}
    if event.time.year >= _EPOCH:
        properties["timestamp"] = int(event.time.timestamp())
    properties["content_type"], properties["delivery_mode"] = event.content_type, PERSISTENT
    return Content(event.body, properties)


# No letter has more than four bytes.
_SURELY_FITS = MAX_BYTES // 4


def _fits(text: str) -> bool:
    return len(text.encode(errors="surrogatepass")) <= MAX_BYTES


def from_amqp(body: bytes, properties: Mapping[str, Any], routing_key: str) -> Event[Any]:
    """Return the event of a message.

    Args:
        body: as it came from the broker.
        properties: AMQP basic properties by name.
        routing_key: the key with which the event was published.

    Raises:
        DecodeError: the body is no CloudEvent and no JSON object, or its payload does not fit the
            event's class.
        TypeMismatchError: the event's type is not the routing key.
    """
    if _content_type(properties) == CONTENT_TYPE:
        return cloud_event(parse(body), routing_key)
    return plain_event(parse(body), routing_key, **_of_plain_json(body, properties, routing_key))


def raw_from_amqp(body: bytes, properties: Mapping[str, Any], routing_key: str) -> RawEvent:
    """Return the event of a message, whatever its payload. Arguments and errors: `from_amqp`."""
    content_type, document = _content_type(properties), parse(body)
    if content_type == CONTENT_TYPE:
        return RawEvent.of_cloud_event(document, body, routing_key)
    return RawEvent.of_plain(body, routing_key, **_of_plain_json(body, properties, routing_key))


def identity_in(body: bytes, properties: Mapping[str, Any], routing_key: str) -> tuple[str, str]:
    """Return id and source of the event in a message, or what the message says of it.

    The body of one that is not ours, or does not fit its class, may tell them alone.
    """
    try:
        event = raw_from_amqp(body, properties, routing_key)
    except MessageError:
        texts = (str(properties.get(name) or "") for name in ("message_id", "app_id"))
        return printable(next(texts)), printable(next(texts))
    return event.id, event.source


def _of_plain_json(body: bytes, properties: Mapping[str, Any], routing_key: str) -> dict[str, Any]:
    """Return the attributes of an event whose body has only its payload."""
    timestamp = properties.get("timestamp")
    return {
        "id": str(
            properties.get("message_id") or _derived_id(f"{routing_key}\n{timestamp}\n", body)
        ),
        "timestamp": _time(timestamp),
        "source": properties.get("app_id") or None,
        "correlation_id": properties.get("correlation_id") or None,
    }


def _content_type(properties: Mapping[str, Any]) -> str:
    """Return CONTENT_TYPE or that of plain JSON. DecodeError for others and if not in UTF-8."""
    given, encoding = properties.get("content_type"), properties.get("content_encoding")
    if given == CONTENT_TYPE and encoding is None:  # ours
        return CONTENT_TYPE
    content_type, _, parameters = str(given or _PLAIN).lower().partition(";")
    for name in (str(encoding or ""), _charset(parameters)):
        if name.strip().lower() not in _UTF8:
            message = f"the body is said to be in {name[:80]!r}: only UTF-8 is read, not compressed"
            raise DecodeError(message)
    content_type = content_type.strip()
    if content_type not in {CONTENT_TYPE, _PLAIN}:
        only = f"only {CONTENT_TYPE} and {_PLAIN} are read"
        raise DecodeError(f"content type {content_type[:80]!r}: {only}")
    return content_type


def _charset(parameters: str) -> str:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "charset":
            return value.strip().strip('"')
    return ""


def _derived_id(where: str, body: bytes) -> str:
    """Make an id that is the same for each copy of the message."""
    # A routing key may hold a lone surrogate.
    text = where.encode(errors="replace") + body
    return str(uuid5(_PLAIN_NAMESPACE, text.decode(errors="replace")))


def _time(value: object) -> datetime | None:
    # py-amqp reads seconds as a naive datetime in UTC.
    if value is None or isinstance(value, datetime):
        return value
    try:
        return datetime.fromtimestamp(int(value), UTC)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError, OSError):
        message = f"the property timestamp is {value!r:.80}, not seconds since 1970"
        raise DecodeError(message) from None
