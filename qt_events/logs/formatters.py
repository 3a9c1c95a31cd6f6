"""Formatters: any log record as one line of text or of JSON."""

import copy
import json
import logging
import re
from abc import abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Literal

from pythonjsonlogger.json import JsonFormatter as Encoding

from qt_events.errors import name_of_type, text_of, traceback_of
from qt_events.logs.own_lines import OneLine, guard_traceback
from qt_events.texts import indented, one_line

LogFormat = Literal["text", "json"]

#: Fields of a record that is logged during a delivery.
FIELDS: Final = ("event_id", "event_type", "subscription", "attempt", "correlation_id")


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields that the record has."""
    return {name: record.__dict__[name] for name in FIELDS if name in record.__dict__}


# Parts of a record


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    # A wrong format string, or an argument without a repr.
    except Exception as error:  # noqa: BLE001
        return f"{record.msg!s} (its arguments do not fit: {text_of(error)})"


def _time(record: logging.LogRecord) -> str:
    time = datetime.fromtimestamp(record.created, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _exception(record: logging.LogRecord) -> dict[str, str] | None:
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        # A QueueHandler keeps the text alone.
        return {"traceback": record.exc_text} if record.exc_text else None
    kind, text = name_of_type(error), text_of(error)
    return {"type": kind, "message": text, "traceback": traceback_of(error)}


class _Formatter(logging.Formatter):
    """Base of formatters that never fail: the line is about the error then."""

    @abstractmethod
    def line(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record. Raises nothing."""
        try:
            return self.line(record)
        # Logging would print a traceback between the lines.
        except Exception as error:  # noqa: BLE001
            place = f"line {record.lineno} of {record.pathname}"
            message = f"a record from {place} cannot be written: {text_of(error)}"
            plain = logging.LogRecord(
                record.name, record.levelno, record.pathname, record.lineno, message, None, None
            )
            return self.line(plain)


# JSON

_encoding = Encoding(json_serializer=partial(json.dumps, allow_nan=False))  # NaN is no JSON


class JsonFormatter(_Formatter):
    """Formats a record as one JSON object.

    Its keys are timestamp (ISO 8601, UTC), level, logger, message, the five fields in a delivery,
    process (id), thread (name), those of `extra=`, and exception: {"type", "message", "traceback"}.
    Values that JSON cannot carry are written as text. A key of `extra=` that is one of the others
    gets an underscore at its end.
    """

    def line(self, record: logging.LogRecord) -> str:
        line = _object(record)
        try:
            return _encoding.serialize_log_record(line)
        # A circle, a key that is no text, an object without a repr.
        except Exception:  # noqa: BLE001
            return _encoding.serialize_log_record(
                {name: _writable(value) for name, value in line.items()}
            )


def _object(record: logging.LogRecord) -> dict[str, Any]:
    line: dict[str, Any] = {
        "timestamp": _time(record),
        "level": record.levelname,
        "logger": record.name,
        "message": record.msg.before if isinstance(record.msg, OneLine) else _message(record),
        **fields_of(record),
        "process": record.process,
        "thread": record.threadName,
    }
    if (exception := _exception(record)) is not None:
        line["exception"] = exception
    if record.stack_info:
        line["stack"] = record.stack_info
    for name, value in record.__dict__.items():
        if name not in _encoding.reserved_attrs and name not in FIELDS:
            line[f"{name}_" if name in line else name] = value
    return line


def _writable(value: object) -> object:
    try:
        _encoding.serialize_log_record({"": value})
    except Exception:  # noqa: BLE001
        return _repr(value)
    return value


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001
        return f"({type(value).__name__}: {text_of(error)})"


# Text

_PLAIN_VALUE = re.compile(r"[^\s\"'=\\\x00-\x1f]+")


class TextFormatter(_Formatter):
    """Formats a record as one line, its fields at the end as key=value; a traceback is indented."""

    def line(self, record: logging.LogRecord) -> str:
        message = one_line(_message(record))
        lines = [f"{_time(record)} {record.levelname:<8} {record.name}: {message}{tail(record)}"]
        exception = _exception(record)
        for block in (exception and exception["traceback"], record.stack_info):
            lines += filter(None, [indented(block or "")])
        # Half a surrogate pair fits no stream.
        return "\n".join(lines).encode(errors="backslashreplace").decode()


def tail(record: logging.LogRecord) -> str:
    """Return the record's fields as the end of a line of text, with a space before them."""
    return "".join(f" {name}={_quoted(value)}" for name, value in fields_of(record).items())


def _quoted(value: object) -> str:
    text = str(value)
    return text if _PLAIN_VALUE.fullmatch(text) else json.dumps(text)


class WithFields(logging.Formatter):
    """Formats as another formatter does, with the fields of a delivery behind the message."""

    def __init__(self, other: logging.Formatter) -> None:
        super().__init__()
        self._other = other

    def format(self, record: logging.LogRecord) -> str:
        if fields := tail(record):
            record = copy.copy(record)
            record.msg, record.args = f"{record.getMessage()}{fields}", None
            guard_traceback(record)
        return self._other.format(record)


FORMATTERS: Final[dict[LogFormat, Callable[[], logging.Formatter]]] = {
    "text": TextFormatter,
    "json": JsonFormatter,
}
