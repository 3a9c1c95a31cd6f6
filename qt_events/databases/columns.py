"""Columns for what producers choose, texts of any length and letters, and for times."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

import sqlalchemy as sa

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# Bytes of a text in a column of an index: two such, and a subscription's name, are within the 2,700
# that PostgreSQL has room for. What AMQP carries as text, 255 bytes, is shorter even when escaped.
_LONGEST = 1000
_KEPT = 200
# No letter has more than four bytes.
_SURELY_SHORT = _LONGEST // 4
_CUT = re.compile(r"(?<!\\)\\#[0-9a-f]{32}\Z")
_ESCAPES = re.compile(r"\\(\\|0|u[0-9a-f]{4})")


def escaped(text: str) -> str:
    r"""Return a text as databases take it: `\0` for NUL, `\udc80` for a lone surrogate."""
    text = text.replace("\\", "\\\\").replace("\0", "\\0")
    return text.encode(errors="backslashreplace").decode()


def unescaped(text: str) -> str:
    """Return the text that `escaped` was given."""
    return _ESCAPES.sub(_letter, text) if "\\" in text else text


def index_text(text: str) -> str:
    """Return a text escaped, and if it is long, its beginning and a digest: fit for an index.

    The whole of it is in the event's body.
    """
    if len(text) <= _SURELY_SHORT and text.isprintable() and "\\" not in text:
        return text
    encoded = escaped(text).encode()
    if len(encoded) <= _LONGEST:
        return encoded.decode()
    kept = encoded[:_KEPT].decode(errors="ignore").rstrip("\\")
    return f"{kept}\\#{blake2b(encoded, digest_size=16).hexdigest()}"


def is_cut(text: str | None) -> bool:
    """Tell whether a column has only the beginning of a text."""
    return text is not None and "\\#" in text and _CUT.search(text) is not None


def microseconds(time: datetime) -> int:
    """Return a time in UTC as microseconds since 1970."""
    return (time - _EPOCH) // _MICROSECOND


def _letter(found: re.Match[str]) -> str:
    code = found.group(1)
    return {"\\": "\\", "0": "\0"}.get(code) or chr(int(code[1:], 16))


def _read_name(text: str | None) -> str | None:
    return text if text is None or "\\" not in text or is_cut(text) else unescaped(text)


def _read_words(text: str | None) -> str | None:
    return text if text is None or "\\" not in text else unescaped(text)


def _read_time(number: int | None) -> datetime | None:
    return None if number is None else _EPOCH + number * _MICROSECOND


class Converted(sa.TypeDecorator[Any]):
    """Type with a function for each direction; `write` is called for no NULL."""

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]

    def process_bind_param(self, value: Any, _dialect: sa.Dialect) -> Any:
        return None if value is None else self.write(value)

    def result_processor(self, _dialect: sa.Dialect, _coltype: object) -> Callable[[Any], Any]:
        # Not process_result_value: it costs three calls more for each value of each row.
        return self.read


class Name(Converted):
    """Text that is looked for; one that is cut comes back as it is kept.

    It is compared by code points, as Python does it.
    """

    impl = sa.Text
    cache_ok = True
    write = staticmethod(index_text)
    read = staticmethod(_read_name)


class Words(Converted):
    """Text to be read."""

    impl = sa.Text
    cache_ok = True
    write = staticmethod(escaped)
    read = staticmethod(_read_words)


class Time(Converted):
    """Time in UTC as microseconds since 1970, on every database: exact, and of any year."""

    impl = sa.BigInteger
    cache_ok = True
    write = staticmethod(microseconds)
    read = staticmethod(_read_time)
