"""A log record as one line, whatever is in it."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qt_events.logs.formatters import FIELDS, JsonFormatter, TextFormatter, WithFields

NOW = datetime(2026, 11, 23, 19, 15, 39, 123_000, UTC)
ABOUT: dict[str, Any] = dict(zip(FIELDS, ("e-1", "order.placed", "audit", 2, "c-1"), strict=True))


class Evil:
    """Nothing can be made of it."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def record(
    message: Any = "hello", *args: Any, error: BaseException | None = None, **extra: Any
) -> logging.LogRecord:
    exc_info = (type(error), error, error.__traceback__) if error is not None else None
    made = logging.LogRecord("my.app", logging.WARNING, "app.py", 7, message, args, exc_info)
    made.created = NOW.timestamp()
    made.__dict__.update(extra)
    return made


def strictly(line: str) -> dict[str, Any]:
    """What a strict reader makes of a line of JSON."""
    assert "\n" not in line
    found = json.loads(line, parse_constant=pytest.fail)
    assert isinstance(found, dict)
    return found


def as_json(made: logging.LogRecord) -> dict[str, Any]:
    return strictly(JsonFormatter().format(made))


def raised(error: BaseException) -> BaseException:
    try:
        raise error  # noqa: TRY301  # it gets its traceback so
    except BaseException as caught:  # noqa: BLE001
        return caught


# JSON


def test_the_fields_of_a_line_of_json() -> None:
    """Time in UTC, level, logger, message, the five fields, process and thread, what `extra` gave."""
    made = record("%d orders", 3, **ABOUT, desk="fx")
    assert as_json(made) == {
        "timestamp": "2026-11-23T19:15:39.123Z",
        "level": "WARNING",
        "logger": "my.app",
        "message": "3 orders",
        **ABOUT,
        "process": made.process,
        "thread": "MainThread",
        "desk": "fx",
    }


def test_outside_of_a_delivery_the_fields_are_absent() -> None:
    """Not null, not empty."""
    assert not set(FIELDS) & as_json(record()).keys()


def test_an_exception_is_type_message_and_traceback() -> None:
    """The traceback as Python prints it, its cause included."""
    error = raised(LookupError("no desk"))
    error.__cause__ = raised(json.JSONDecodeError("bad", "", 0))
    exception = as_json(record(error=error))["exception"]
    assert (exception["type"], exception["message"]) == ("LookupError", "no desk")
    assert "json.decoder.JSONDecodeError: bad: line 1" in exception["traceback"]
    assert exception["traceback"].rstrip().endswith("LookupError: no desk")
    assert as_json(record(error=raised(json.JSONDecodeError("bad", "", 0))))["exception"][
        "type"
    ] == ("json.decoder.JSONDecodeError")


def test_an_exception_that_was_written_already() -> None:
    """A QueueHandler keeps its text alone."""
    assert as_json(record(exc_text="Traceback ..."))["exception"] == {"traceback": "Traceback ..."}


def test_exc_info_outside_of_an_except_is_no_exception() -> None:
    """logging makes three None of it."""
    made = record()
    made.exc_info = (None, None, None)
    assert "exception" not in as_json(made)


def test_the_stack_is_told() -> None:
    """`stack_info=True`."""
    assert as_json(record(stack_info="Stack: here"))["stack"] == "Stack: here"


circle: list[Any] = []
circle.append(circle)


@pytest.mark.parametrize(
    "extra",
    [
        object(),
        float("nan"),
        float("inf"),
        {1, 2},
        {(1, 2): 3},
        circle,
        Evil(),
        {"deep": Evil()},
        b"\xff",
        NOW,
        Evil,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_cannot_carry_is_text(extra: Any) -> None:
    """The rest of the line is as it would have been."""
    found = as_json(record(extra=extra, desk="fx"))
    assert (found["message"], found["desk"]) == ("hello", "fx")
    assert isinstance(found["extra"], str | list | dict)


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()], ids=["json", "text"])
@pytest.mark.parametrize(
    ("made", "told"),
    [
        (record("%d orders", "three"), "%d orders (its arguments do not fit: "),
        (record("%s %s", 1), "%s %s (its arguments do not fit: "),
        (record("%s", Evil()), "%s (its arguments do not fit: no text)"),
        (record(Evil()), "line 7 of app.py cannot be written: no text"),
        (record("hello", error=raised(Unprintable())), "hello"),
    ],
)
def test_a_record_that_cannot_be_written_says_so(
    formatter: logging.Formatter, made: Any, told: str
) -> None:
    """logging would print a traceback between the lines instead."""
    assert told in formatter.format(made)


def test_an_extra_of_one_of_our_names_does_not_hide_ours() -> None:
    """It gets an underscore behind its name."""
    found = as_json(record(level="gold", timestamp=0, exception="none"))
    assert (found["level"], found["level_"], found["timestamp_"]) == ("WARNING", "gold", 0)
    assert found["exception"] == "none"


@given(
    message=st.text(),
    extra=st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists),
)
def test_whatever_is_said_is_one_line_of_strict_json(message: str, extra: Any) -> None:
    """A law: newlines, surrogates, NaN and all."""
    found = as_json(record("%s", message, extra=extra))
    assert found["message"] == message


# Text


def test_a_line_of_text_ends_with_the_fields() -> None:
    """As key=value."""
    assert TextFormatter().format(record("3 orders", **ABOUT)) == (
        "2026-11-23T19:15:39.123Z WARNING  my.app: 3 orders"
        " event_id=e-1 event_type=order.placed subscription=audit attempt=2 correlation_id=c-1"
    )
    assert TextFormatter().format(record()) == "2026-11-23T19:15:39.123Z WARNING  my.app: hello"


def test_an_id_from_elsewhere_cannot_forge_a_field() -> None:
    """What is more than a word is quoted."""
    line = TextFormatter().format(record(event_id='x attempt=9\n"', attempt=1))
    assert line.endswith(r' event_id="x attempt=9\n\"" attempt=1')


def test_a_message_cannot_forge_a_line_or_order_a_terminal() -> None:
    """Line ends and control characters are shown, not sent."""
    line = TextFormatter().format(record("a\nb\rc\x1b[31md\x85e\u2028f\tg"))
    assert line.endswith("a\\nb\\rc\\x1b[31md\\x85e\\u2028f\tg")


def test_a_traceback_follows_indented() -> None:
    """So that no line of it passes for a record."""
    first, *rest = (
        TextFormatter()
        .format(record("failed", error=raised(ValueError("x\n2026 forged")), **ABOUT))
        .split("\n")
    )
    assert first.endswith("correlation_id=c-1")
    assert rest[0] == "  Traceback (most recent call last):"
    assert rest[-2:] == ["  ValueError: x", "  2026 forged"]
    assert all(line.startswith("  ") for line in rest)


@given(message=st.text())
def test_whatever_is_said_is_one_line_of_text_that_fits_a_stream(message: str) -> None:
    """A law."""
    line = TextFormatter().format(record("%s", message))
    assert line.splitlines() == [line]
    line.encode()


# Celery's format, with the fields


def test_the_fields_stand_behind_another_formats_message() -> None:
    """Before whatever comes after it: a traceback, the end of a format. The record itself is as it was."""
    formatter = WithFields(logging.Formatter("[%(levelname)s] %(message)s!"))
    made = record("%d orders", 3, error=raised(ValueError("x")), subscription="audit", attempt=2)
    first, second, *_ = formatter.format(made).split("\n")
    assert first == "[WARNING] 3 orders subscription=audit attempt=2!"
    assert second == "Traceback (most recent call last):"
    assert (made.msg, made.args) == ("%d orders", (3,))
    assert formatter.format(record("plain")) == "[WARNING] plain!"
