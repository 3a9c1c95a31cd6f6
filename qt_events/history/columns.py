"""Columns for what producers choose, texts of any length and letters, and for times."""

import re
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


def name(text: str) -> str:
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


class Name(sa.TypeDecorator[str]):
    """Text that is looked for; one that is cut comes back as it is kept.

    It is compared by code points, as Python does it.
    """

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: sa.Dialect) -> str | None:
        return None if value is None else name(value)

    def process_result_value(self, value: str | None, _dialect: sa.Dialect) -> str | None:
        return value if value is None or is_cut(value) else unescaped(value)


class Words(sa.TypeDecorator[str]):
    """Text to be read."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: sa.Dialect) -> str | None:
        return None if value is None else escaped(value)

    def process_result_value(self, value: str | None, _dialect: sa.Dialect) -> str | None:
        return None if value is None else unescaped(value)


class Time(sa.TypeDecorator[datetime]):
    """Time in UTC as microseconds since 1970, on every database: exact, and of any year."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: sa.Dialect) -> int | None:
        return None if value is None else microseconds(value)

    def process_result_value(self, value: Any, _dialect: sa.Dialect) -> datetime | None:
        return None if value is None else _EPOCH + value * _MICROSECOND
