"""Writers of basic.publish: many messages in one call to the kernel, or py-amqp's own way.

The bytes are py-amqp's own (a test compares them). py-amqp 5.4 takes three times as long, and a
call to the kernel for each message.
"""

import struct
from collections.abc import Callable
from functools import lru_cache
from struct import Struct
from typing import Any, Protocol, TypeAlias

from amqp import Channel, serialization, spec
from amqp.basic_message import Message as RawMessage
from amqp.exceptions import FrameSyntaxError

from qt_events.rabbitmq.compat.names import PUBLISHING, are_there

#: Errors of a message that AMQP cannot carry. Not a byte of it is written.
UNSENDABLE = (struct.error, TypeError, ValueError, FrameSyntaxError)

_AS_FRAMES = are_there(PUBLISHING)
CHUNK = 131_072  #: bytes written at a time, if no frame is longer
_FRAME = Struct(">BHI")  # kind, channel, size (AMQP 0-9-1, 4.2.3)
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


class FrameWriter:
    """Collects publishes to one channel as whole frames, as many as the kernel surely takes.

    They are mandatory: the broker returns what no queue takes. `write` and `flush` raise an
    UNSENDABLE if AMQP cannot carry a message, OSError or AMQPError if connection or channel is
    lost.
    """

    def __init__(self, channel: Channel) -> None:
        self._raw, self._id = channel.connection, channel.channel_id
        self._frames: list[bytes] = []
        self._size = 0  # bytes of these

    def write(self, exchange: str, routing_key: str, content: Content) -> None:
        for frame in frames(exchange, routing_key, content, self._id, self._raw.frame_max):
            if self._frames and self._size + len(frame) > CHUNK:
                self.flush()
            self._frames.append(frame)
            self._size += len(frame)

    def flush(self) -> None:
        written, self._frames, self._size = self._frames, [], 0
        if written:
            self._raw.frames.write(b"".join(written))


class PyAmqpWriter:
    """Does the same in py-amqp's own way, where the names for another are missing."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def write(self, exchange: str, routing_key: str, content: Content) -> None:
        message = RawMessage(
            content.body, application_headers=content.headers, **content.properties
        )
        _must_fit(_about(content.headers), self._channel.connection.frame_max)
        self._channel.basic_publish(message, exchange, routing_key, mandatory=True)

    def flush(self) -> None: ...


Writer: TypeAlias = FrameWriter | PyAmqpWriter


def writer_to(channel: Channel) -> Writer:
    """Return the fastest writer that this version of py-amqp allows."""
    return FrameWriter(channel) if _AS_FRAMES else PyAmqpWriter(channel)


def _about(headers: dict[str, Any]) -> int:
    """Return about how many bytes a table has, without py-amqp's own way to write one."""
    texts = (str(part) for item in headers.items() for part in item)
    return sum(len(text.encode("utf-8", "surrogatepass")) + 4 for text in texts)


def frames(
    exchange: str, routing_key: str, content: Content, channel: int, frame_max: int
) -> list[bytes]:
    """Return the method, the header and the body, whole frames in each item.

    Raises:
        UNSENDABLE: AMQP cannot carry it.
    """
    body = content.body
    flags, properties = _properties(content)
    most = _must_fit(len(properties), frame_max)
    header = _CONTENT.pack(spec.Basic.CLASS_ID, 0, len(body), flags) + properties
    head = _method(channel, exchange, routing_key) + _frame(_HEADER, channel, header)
    if len(body) <= most:
        return [head + _frame(_BODY, channel, body)] if body else [head]
    return [
        head,
        *(_frame(_BODY, channel, body[at : at + most]) for at in range(0, len(body), most)),
    ]


def _must_fit(size: int, frame_max: int) -> int:
    """Return the bytes that a frame holds. ValueError if the headers need more.

    The broker would close the connection, with all that is in flight.
    """
    most = frame_max - _OVERHEAD
    if size > most:
        raise ValueError(f"its headers have {size} bytes, and a frame holds {most}")
    return most


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return _FRAME.pack(kind, channel, len(payload)) + payload + _END


# There are few event types.
@lru_cache(maxsize=1024)
def _method(channel: int, exchange: str, routing_key: str) -> bytes:
    class_id, method_id = spec.Basic.Publish
    arguments = serialization.dumps(_ARGUMENTS, (0, exchange, routing_key, True, False))
    return _frame(_METHOD, channel, class_id.to_bytes(2) + method_id.to_bytes(2) + arguments)


def _properties(content: Content) -> tuple[int, bytes]:
    """Return flags and values. Names that AMQP has no property for are left out, as by py-amqp."""
    given = content.properties
    if None in given.values():
        given = {name: value for name, value in given.items() if value is not None}
    flags, before, behind = _shape(tuple(given))
    values = [write(given[name]) for name, write in before]
    values.append(_table(content.headers) if content.headers else _NONE)
    values += [write(given[name]) for name, write in behind]
    return flags, b"".join(values)


_Write: TypeAlias = Callable[[Any], bytes]
_Shape: TypeAlias = tuple[tuple[str, _Write], ...]


# Messages differ in the values of their properties, and few in which they have.
@lru_cache(maxsize=256)
def _shape(names: tuple[str, ...]) -> tuple[int, _Shape, _Shape]:
    """Return the flags, and what comes before and behind the headers, in AMQP's order."""
    has = [each for each in _PROPERTIES if each[0] in names and each[1] != _HEADERS]
    before, behind = (
        tuple((name, write) for name, flag, write in has if (flag > _HEADERS) is is_before)
        for is_before in (True, False)
    )
    return _HEADERS + sum(flag for _, flag, _ in has), before, behind


def _table(headers: dict[str, Any]) -> bytes:
    # Those of a replay: py-amqp takes a quarter of all else.
    if set(map(type, headers.values())) == {str}:
        return _table_of_texts(tuple(headers.items()))
    return bytes(serialization.dumps("F", [headers]))


@lru_cache(maxsize=1024)
def _table_of_texts(headers: tuple[tuple[str, str], ...]) -> bytes:
    return bytes(serialization.dumps("F", [dict(headers)]))


def _short(value: Any) -> bytes:
    text = str.encode(value, "utf-8", "surrogatepass")
    if len(text) > _LONGEST:
        raise ValueError(f"a property has {len(text)} bytes, and AMQP's short strings {_LONGEST}")
    return bytes((len(text),)) + text


# Of such texts there are few.
_often = lru_cache(maxsize=1024)(_short)
#: In AMQP's order: names, flags (bits from the highest down), and functions that write the values.
_PROPERTIES: tuple[tuple[str, int, _Write], ...] = (
    ("content_type", 0x8000, _often),
    ("content_encoding", 0x4000, _short),
    ("application_headers", _HEADERS, bytes),
    ("delivery_mode", 0x1000, Struct("B").pack),
    ("priority", 0x0800, Struct("B").pack),
    ("correlation_id", 0x0400, _short),
    ("reply_to", 0x0200, _short),
    ("expiration", 0x0100, _short),
    ("message_id", 0x0080, _short),
    ("timestamp", 0x0040, Struct(">Q").pack),
    ("type", 0x0020, _often),
    ("user_id", 0x0010, _short),
    ("app_id", 0x0008, _often),
    ("cluster_id", 0x0004, _short),
)
