"""Deliveries that py-amqp cannot read: marked, so that they become dead letters, instead of ending the connection.

RabbitMQ takes short strings that are no UTF-8, timestamps of any 64 bits, tables nested thousands deep. py-amqp 5.4
raises over each while it reads a frame; the message would go back to its queue and end the next worker as well.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from struct import unpack_from
from typing import Any

from amqp import abstract_channel, serialization, spec

UNREADABLE = (
    "qt_events",
    "unreadable",
)  #: the one header of such a message: why. No name that the wire could carry
_CONTENT_TYPE, _ENCODING, _HEADERS = (
    0x8000,
    0x4000,
    0x2000,
)  # property flags, in the order of the properties
_FLAGS = 2  # bytes
_LENGTH = 4  # bytes, of a table's length

Read = Callable[..., tuple[Any, int]]


class _Lenient(bytes):
    """Bytes whose slices py-amqp can decode, whatever is in them: a byte that is no UTF-8 is a lone surrogate."""

    def __getitem__(self, index: Any) -> Any:
        part = super().__getitem__(index)
        return _Lenient(part) if isinstance(part, bytes) else part

    def decode(self, *_: Any) -> str:
        return super().decode(errors="surrogateescape")


def guard() -> None:
    """Have py-amqp read on; for what it can read nothing changes. Calling it again does nothing."""
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
        except Exception as error:  # noqa: BLE001  # RecursionError, OverflowError, UnicodeDecodeError, ...
            why = f"its properties or headers cannot be read: {type(error).__name__}: {error}"
            properties = _salvaged(read, buffer[offset:])
            headers = {**properties.get("application_headers", {}), UNREADABLE: why[:1_000]}
            return {**properties, "application_headers": headers}, len(buffer)

    return reader


def _salvaged(read: Read, buffer: bytes) -> dict[str, Any]:
    """As much as can be read: with escapes, else without the headers, else nothing."""
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
        except UnicodeDecodeError:  # a routing key
            return read(format, _Lenient(buffer), offset)

    return reader
