"""Logs: the event, subscription and attempt on every line that a handler causes, in text or in JSON.

The library logs under "qt_events" and configures nothing by itself. `configure_logging()` does, for programs that want
it; who sets logging up in another way adds an EventFieldsFilter to a handler, and a formatter (see log_lines.py).

    DEBUG    an attempt that was handled
    INFO     what a worker or a publisher does, seldom; never a line an event
    WARNING  an attempt that failed and comes again; a slow handler; a broker that is away
    ERROR    a dead letter

No NullHandler: where nobody sets logging up, Python itself writes warnings and errors to stderr, and a dead letter is
nothing to be silent about.
"""

import logging
import os
import sys
from dataclasses import dataclass
from typing import Any, Final, TextIO, get_args

from qt_events.errors import InvalidOptionError
from qt_events.events.current import current_attempt
from qt_events.logs.formatters import FIELDS, FORMATTERS, LogFormat

FORMAT_VARIABLE: Final = "QT_LOG_FORMAT"
LEVEL_VARIABLE: Final = "QT_LOG_LEVEL"
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


# What is being delivered


def bound_fields() -> dict[str, Any]:
    """The fields of the attempt that is made here; none outside of a delivery."""
    here = current_attempt()
    if here is None:
        return {}
    event, subscription, attempt = here
    values = (event.id, event.type, subscription, attempt, event.correlation_id)
    return dict(zip(FIELDS, values, strict=True))


class EventFieldsFilter(logging.Filter):
    """For a handler: gives the records of a delivery their event_id, event_type, subscription, attempt, correlation_id.

    Outside of a delivery they are absent: a format such as `%(event_id)s %(message)s` needs `defaults` for them, see
    logging.Formatter.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets every record pass. What a record says itself, by `extra=`, stays."""
        for name, value in bound_fields().items():
            record.__dict__.setdefault(name, value)
        return True


# Options


@dataclass(slots=True)
class Chosen:
    """What this process wants its logs to be: by `configure_logging`, else by the environment, else None."""

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
    """A format, checked. InvalidOptionError names the choices."""
    if value is None or value in get_args(LogFormat):
        return value  # type: ignore[return-value]
    message = f"{name}={value!r} is no log format: use {' or '.join(get_args(LogFormat))}"
    raise InvalidOptionError(message)


def level_option(name: str, value: object) -> int | None:
    """A level as logging counts them, checked. InvalidOptionError names the choices."""
    if value is None:
        return None
    if isinstance(value, str) and value.upper() in _LEVELS:
        return logging.getLevelNamesMapping()[value.upper()]
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= logging.CRITICAL:
        return value
    message = f"{name}={value!r} is no log level: use one of {', '.join(_LEVELS)}, or a number from 1 to 50"
    raise InvalidOptionError(message)


_by_program: dict[
    str, Any
] = {}  # what configure_logging() was given last: a Celery worker goes by it too


def chosen() -> Chosen:
    """What holds in this process. InvalidOptionError for a wrong value in the environment."""
    return Chosen(**_by_program)


# Handlers


class _Handler(logging.StreamHandler[TextIO]):
    """The one that `configure_logging` adds, known again by its class."""


def configure_logging(
    level: str | int | None = None, format: LogFormat | None = None, stream: TextIO | None = None
) -> None:
    """Log everything, Python's warnings too, to one stream in one form; calling it again changes that.

    It replaces its own handler of an earlier call, and any plain StreamHandler of the root logger that writes to the
    same stream: no line appears twice. Handlers that write elsewhere stay. A Celery worker of this process takes over
    the form, and the level unless it is given `--loglevel`.

    Args:
        level: a name ("DEBUG", ...) or number of logging; default the environment's QT_LOG_LEVEL, else INFO.
        format: "text" or "json"; default the environment's QT_LOG_FORMAT, else text.
        stream: where to; default sys.stderr.

    Raises:
        InvalidOptionError: an unknown level or format, here or in the environment.
    """
    given = {"level": level_option("level", level), "format": format_option("format", format)}
    wanted = Chosen(**given)  # type: ignore[arg-type]
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
