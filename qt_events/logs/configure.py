"""configure_logging(): lines of text or JSON, each with event, subscription and attempt.

The library logs under "qt_events" and configures nothing by itself. A program that sets up logging
in another way adds an EventFieldsFilter to a handler, and a formatter of formatters.py.

    DEBUG    an attempt that was handled
    INFO     a rare change of a worker or a publisher; never one line per event
    WARNING  a failed attempt that is retried; a slow handler; a broker that is away
    ERROR    a dead letter

There is no NullHandler: without any configuration Python writes warnings and errors to stderr, and
a dead letter must be seen.
"""

import logging
import os
import sys
from dataclasses import dataclass
from typing import Any, Final, TextIO, get_args

from qt_events.errors import InvalidOptionError
from qt_events.events.current import current_attempt
from qt_events.logs.formatters import FIELDS, FORMATTERS, LogFormat
from qt_events.texts import printable

FORMAT_VARIABLE: Final = "QT_LOG_FORMAT"
LEVEL_VARIABLE: Final = "QT_LOG_LEVEL"
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


# Fields


def bound_fields() -> dict[str, Any]:
    """Return the fields of the attempt that is made here; none outside of a delivery."""
    here = current_attempt()
    if here is None:
        return {}
    event, subscription, attempt = here
    if event is None:
        return {"subscription": subscription}
    values = (event.id, printable(event.type), subscription, attempt, event.correlation_id)
    return dict(zip(FIELDS, values, strict=True))


class EventFieldsFilter(logging.Filter):
    """Adds event_id, event_type, subscription, attempt and correlation_id to records of a delivery.

    Add it to a handler. Outside of a delivery the fields are absent: a format such as
    `%(event_id)s %(message)s` needs `defaults` for them, see logging.Formatter.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass. Fields that it has by `extra=` stay."""
        for name, value in bound_fields().items():
            record.__dict__.setdefault(name, value)
        return True


# Options


@dataclass(slots=True)
class LogOptions:
    """Format and level of this process: by configure_logging(), else the environment, else None."""

    format: LogFormat | None = None
    level: int | None = None

    def __post_init__(self) -> None:
        self.format = self.format or format_option(
            FORMAT_VARIABLE, os.environ.get(FORMAT_VARIABLE) or None
        )
        self.level = self.level or level_option(
            LEVEL_VARIABLE, os.environ.get(LEVEL_VARIABLE) or None
        )


def format_option(name: str, value: object) -> LogFormat | None:
    """Check a format. InvalidOptionError names the choices."""
    if value is None or value in get_args(LogFormat):
        return value  # type: ignore[return-value]
    raise InvalidOptionError(
        f"{name}={value!r} is no log format: use {' or '.join(get_args(LogFormat))}"
    )


def level_option(name: str, value: object) -> int | None:
    """Check a level and return it as a number. InvalidOptionError names the choices."""
    if value is None:
        return None
    if isinstance(value, str) and value.upper() in _LEVELS:
        return logging.getLevelNamesMapping()[value.upper()]
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= logging.CRITICAL:
        return value
    choices = f"one of {', '.join(_LEVELS)}, or a number from 1 to 50"
    raise InvalidOptionError(f"{name}={value!r} is no log level: use {choices}")


# The last arguments of configure_logging(): a Celery worker of this process obeys them too.
_by_program: dict[str, Any] = {}


def log_options() -> LogOptions:
    """Return the options of this process. InvalidOptionError for a wrong environment variable."""
    return LogOptions(**_by_program)


# Handlers


class _Handler(logging.StreamHandler[TextIO]):
    """The handler of configure_logging(), which a later call finds by its class."""


def configure_logging(
    level: str | int | None = None, format: LogFormat | None = None, stream: TextIO | None = None
) -> None:
    """Log everything, Python's warnings too, to one stream in one format.

    It replaces its own handler of an earlier call, and any plain StreamHandler of the root logger
    that writes to the same stream, so that no line appears twice. Handlers that write elsewhere
    stay. A Celery worker of this process uses the format too, and the level unless it is given
    `--loglevel`.

    Args:
        level: a name ("DEBUG", ...) or number of logging; default $QT_LOG_LEVEL, else INFO.
        format: "text" or "json"; default $QT_LOG_FORMAT, else text.
        stream: default sys.stderr.

    Raises:
        InvalidOptionError: an unknown level or format, here or in the environment.
    """
    given = {"level": level_option("level", level), "format": format_option("format", format)}
    wanted = LogOptions(**given)  # type: ignore[arg-type]
    _by_program.update(given)
    root, handler = logging.getLogger(), _Handler(stream or sys.stderr)
    handler.addFilter(EventFieldsFilter())
    handler.setFormatter(FORMATTERS[wanted.format or "text"]())
    for old in tuple(root.handlers):
        if isinstance(old, _Handler) or (
            type(old) is logging.StreamHandler and old.stream is handler.stream
        ):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(wanted.level or logging.INFO)
    logging.captureWarnings(True)  # noqa: FBT003  # logging's own signature
