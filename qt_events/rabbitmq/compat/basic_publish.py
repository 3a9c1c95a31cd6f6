"""basic.publish as bytes: the frames of one message, many of which go to the kernel in one call. Pure.

The bytes are py-amqp's own (a test compares them); py-amqp 5.4 takes three times as long, and a call to the kernel
for each message.
"""

from collections.abc import Callable
from functools import lru_cache
from struct import Struct
from typing import Any, Protocol

from amqp import spec
from amqp.basic_message import Message as RawMessage
from amqp.serialization import dumps

_FRAME = Struct(">BHI")  # kind, channel, size (AMQP 0-9-1, 4.2.3)
_LONG = Struct(">Q")
_CONTENT = Struct(">HHQH")  # class, weight, size of the body, property flags (4.2.6.1)
_METHOD, _HEADER, _BODY, _END = 1, 2, 3, b"\xce"
_ARGUMENTS = "Bssbb"  # ticket, exchange, routing key, mandatory, immediate
_OVERHEAD = 64  # bytes of a frame beside its properties or its part of the body, at most
_LONGEST = 255  # bytes of a short string
_HEADERS = 0x2000
_NONE = bytes(4)  # a table without entries


class Content(Protocol):
    """Body, properties and headers of a message; see messages/properties.py."""

    body: bytes
    properties: dict[str, Any]
    headers: dict[str, Any]


def frames(
    exchange: str, routing_key: str, content: Content, channel: int, frame_max: int
) -> list[bytes]:
    """The method, the header and the body, whole frames in each item; mandatory, so that what nobody gets comes back.

    Raises:
        ValueError, TypeError, struct.error, amqp.exceptions.FrameSyntaxError: AMQP cannot carry it.
    """
    body = content.body
    flags, properties = _properties(content)
    most = frame_max - _OVERHEAD
    # The broker would close the connection, with all that is in flight.
    if len(properties) > most:
        message = f"its headers have {len(properties)} bytes, and a frame holds {most}"
        raise ValueError(message)
    header = _CONTENT.pack(spec.Basic.CLASS_ID, 0, len(body), flags) + properties
    head = _method(channel, exchange, routing_key) + _frame(_HEADER, channel, header)
    if len(body) <= most:
        return [head + _frame(_BODY, channel, body)] if body else [head]
    return [
        head,
        *(_frame(_BODY, channel, body[at : at + most]) for at in range(0, len(body), most)),
    ]


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return _FRAME.pack(kind, channel, len(payload)) + payload + _END


@lru_cache(maxsize=1024)  # of event types there are few
def _method(channel: int, exchange: str, routing_key: str) -> bytes:
    class_id, method_id = spec.Basic.Publish
    arguments = dumps(_ARGUMENTS, (0, exchange, routing_key, True, False))
    return _frame(_METHOD, channel, class_id.to_bytes(2) + method_id.to_bytes(2) + arguments)


def _properties(content: Content) -> tuple[int, bytes]:
    """Flags and values. py-amqp writes them where there are headers: those may hold anything."""
    if content.headers or not content.properties.keys() <= _KNOWN:
        raw = RawMessage(  # noqa: SLF001
            b"", application_headers=content.headers, **content.properties
        )._serialize_properties()
        return int.from_bytes(raw[:2]), raw[2:]
    flags, values, given = _HEADERS, [], content.properties
    for name, flag, write in _PROPERTIES:
        if flag == _HEADERS:
            values.append(_NONE)
        elif (value := given.get(name)) is not None:
            flags |= flag
            values.append(write(value))
    return flags, b"".join(values)


def _short(value: Any) -> bytes:
    text = str.encode(value, "utf-8", "surrogatepass")
    if len(text) > _LONGEST:
        message = f"a property has {len(text)} bytes, and AMQP's short strings {_LONGEST}"
        raise ValueError(message)
    return bytes((len(text),)) + text


def _octet(value: Any) -> bytes:
    return bytes((value,))


def _long(value: Any) -> bytes:
    return _LONG.pack(value)


#: In AMQP's order: names, flags (bits from the highest down), and how their values are written.
_PROPERTIES: tuple[tuple[str, int, Callable[[Any], bytes]], ...] = (
    ("content_type", 0x8000, _short),
    ("content_encoding", 0x4000, _short),
    ("application_headers", _HEADERS, bytes),
    ("delivery_mode", 0x1000, _octet),
    ("priority", 0x0800, _octet),
    ("correlation_id", 0x0400, _short),
    ("reply_to", 0x0200, _short),
    ("expiration", 0x0100, _short),
    ("message_id", 0x0080, _short),
    ("timestamp", 0x0040, _long),
    ("type", 0x0020, _short),
    ("app_id", 0x0008, _short),
)
_KNOWN = {name for name, _, _ in _PROPERTIES}
