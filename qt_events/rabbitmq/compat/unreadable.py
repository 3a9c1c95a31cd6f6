"""Deliveries that py-amqp cannot read: marked, so that they become dead letters.

RabbitMQ takes short strings that are no UTF-8, timestamps of any 64 bits, tables nested thousands
deep. py-amqp 5.4 raises over each while it reads a frame. The connection would end, the message
would go back to its queue and end the next worker as well.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from struct import unpack_from
from typing import Any

from amqp import abstract_channel, serialization, spec

from qt_events.rabbitmq.compat.names import UNREADABLE, are_there

_CAN_GUARD = are_there(UNREADABLE)
#: The one header of such a message, with the reason. The wire can carry no such name.
MARK = ("qt_events", "unreadable")
# Property flags, in the order of the properties.
_CONTENT_TYPE, _ENCODING, _HEADERS = 0x8000, 0x4000, 0x2000
_FLAGS = 2  # bytes
_LENGTH = 4  # bytes, of a table's length

Read = Callable[..., tuple[Any, int]]


class _Lenient(bytes):
    """Bytes whose slices py-amqp can decode: bytes that are no UTF-8 become lone surrogates."""

    def __getitem__(self, index: Any) -> Any:
        part = super().__getitem__(index)
        return _Lenient(part) if isinstance(part, bytes) else part

    def decode(self, *_: Any) -> str:
        return super().decode(errors="surrogateescape")


def guard() -> None:
    """Have py-amqp read on. Readable messages stay as they are. A second call changes nothing."""
    if not _CAN_GUARD:
        return
    readers = serialization.PROPERTY_CLASSES
    readers[spec.Basic.CLASS_ID] = _once(_properties_reader, readers[spec.Basic.CLASS_ID])
    abstract_channel.loads = _once(_arguments_reader, abstract_channel.loads)


def _once(make: Callable[[Read], Read], read: Read) -> Read:
    return read if hasattr(read, "__wrapped__") else make(read)


def _properties_reader(read: Read) -> Read:
    @wraps(read)
    def reader(buffer: bytes, offset: int) -> tuple[dict[str, Any], int]:
        try:
            return read(buffer, offset)
        except Exception as error:  # noqa: BLE001  # RecursionError, OverflowError and others
            why = f"its properties or headers cannot be read: {type(error).__name__}: {error}"
            properties = _salvaged(read, buffer[offset:])
            headers = {**properties.get("application_headers", {}), MARK: why[:1_000]}
            return {**properties, "application_headers": headers}, len(buffer)

    return reader


def _salvaged(read: Read, buffer: bytes) -> dict[str, Any]:
    """Read as much as possible: with escapes, else without the headers, else nothing."""
    ways: tuple[Callable[[bytes], bytes], ...] = (_Lenient, _without_headers)
    for way in ways:
        with suppress(Exception):
            return dict(read(way(buffer), 0)[0])
    return {}


def _without_headers(buffer: bytes) -> bytes:
    (flags,) = unpack_from(">H", buffer)
    if not flags & _HEADERS:
        return _Lenient(buffer)
    start = _FLAGS
    for flag in (_CONTENT_TYPE, _ENCODING):
        if flags & flag:
            start += 1 + buffer[start]
    (length,) = unpack_from(">I", buffer, start)
    rest = start + _LENGTH + length
    return _Lenient((flags & ~_HEADERS).to_bytes(_FLAGS) + buffer[_FLAGS:start] + buffer[rest:])


def _arguments_reader(read: Read) -> Read:
    @wraps(read)
    def reader(format: str, buffer: bytes, offset: int) -> tuple[Any, int]:
        try:
            return read(format, buffer, offset)
        # Raised by a routing key.
        except UnicodeDecodeError:
            return read(format, _Lenient(buffer), offset)

    return reader
