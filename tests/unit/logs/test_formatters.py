"""Formatters: any log record is one line."""

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


class WithoutText:
    """An object whose str and repr fail."""

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


def read_strictly(line: str) -> dict[str, Any]:
    """Read a line of JSON without NaN or other extensions."""
    assert "\n" not in line
    found = json.loads(line, parse_constant=pytest.fail)
    assert isinstance(found, dict)
    return found


def as_json(made: logging.LogRecord) -> dict[str, Any]:
    return read_strictly(JsonFormatter().format(made))


def raised(error: BaseException) -> BaseException:
    try:
        raise error  # noqa: TRY301  # it gets its traceback so
    except BaseException as caught:  # noqa: BLE001
        return caught


# JSON


def test_the_keys_of_a_line_of_json() -> None:
    """Time is in UTC; the keys of `extra` come last."""
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
    """Absent keys are neither null nor empty."""
    assert not set(FIELDS) & as_json(record()).keys()


def test_an_exception_is_type_message_and_traceback() -> None:
    """The traceback is as Python prints it, its cause included."""
    error = raised(LookupError("no desk"))
    error.__cause__ = raised(json.JSONDecodeError("bad", "", 0))
    exception = as_json(record(error=error))["exception"]
    assert (exception["type"], exception["message"]) == ("LookupError", "no desk")
    assert "json.decoder.JSONDecodeError: bad: line 1" in exception["traceback"]
    assert exception["traceback"].rstrip().endswith("LookupError: no desk")
    assert as_json(record(error=raised(json.JSONDecodeError("bad", "", 0))))["exception"][
        "type"
    ] == ("json.decoder.JSONDecodeError")


def test_an_exception_of_a_queue_handler_is_its_text() -> None:
    """A QueueHandler keeps the text of an exception alone."""
    assert as_json(record(exc_text="Traceback ..."))["exception"] == {"traceback": "Traceback ..."}


def test_exc_info_outside_of_an_except_is_no_exception() -> None:
    """Python's logging then has a tuple of three None."""
    made = record()
    made.exc_info = (None, None, None)
    assert "exception" not in as_json(made)


def test_the_stack_is_a_key() -> None:
    """Callers ask for it by `stack_info=True`."""
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
        WithoutText(),
        {"deep": WithoutText()},
        b"\xff",
        NOW,
        WithoutText,
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_that_json_cannot_carry_are_text(extra: Any) -> None:
    """The other keys of the line are as they would have been."""
    found = as_json(record(extra=extra, desk="fx"))
    assert (found["message"], found["desk"]) == ("hello", "fx")
    assert isinstance(found["extra"], str | list | dict)


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()], ids=["json", "text"])
@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (record("%d orders", "three"), "%d orders (its arguments do not fit: "),
        (record("%s %s", 1), "%s %s (its arguments do not fit: "),
        (record("%s", WithoutText()), "%s (its arguments do not fit: no text)"),
        (record(WithoutText()), "line 7 of app.py cannot be written: no text"),
        (record("hello", error=raised(Unprintable())), "hello"),
    ],
)
def test_a_record_that_cannot_be_written_is_a_line_about_the_error(
    formatter: logging.Formatter, made: Any, expected: str
) -> None:
    """Python's logging would print a traceback between the lines."""
    assert expected in formatter.format(made)


def test_an_extra_with_the_name_of_a_key_gets_an_underscore() -> None:
    """Keys of ours cannot be hidden."""
    found = as_json(record(level="gold", timestamp=0, exception="none"))
    assert (found["level"], found["level_"], found["timestamp_"]) == ("WARNING", "gold", 0)
    assert found["exception"] == "none"


@given(
    message=st.text(),
    extra=st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=8),
)
def test_any_message_is_one_line_of_strict_json(message: str, extra: Any) -> None:
    """The law holds for newlines, surrogates and NaN."""
    found = as_json(record("%s", message, extra=extra))
    assert found["message"] == message


# Text


def test_a_line_of_text_ends_with_the_fields() -> None:
    """Fields are written as key=value."""
    assert TextFormatter().format(record("3 orders", **ABOUT)) == (
        "2026-11-23T19:15:39.123Z WARNING  my.app: 3 orders"
        " event_id=e-1 event_type=order.placed subscription=audit attempt=2 correlation_id=c-1"
    )
    assert TextFormatter().format(record()) == "2026-11-23T19:15:39.123Z WARNING  my.app: hello"


def test_an_id_cannot_forge_a_field() -> None:
    """Values of more than a word are quoted."""
    line = TextFormatter().format(record(event_id='x attempt=9\n"', attempt=1))
    assert line.endswith(r' event_id="x attempt=9\n\"" attempt=1')


def test_a_message_cannot_forge_a_line_or_control_a_terminal() -> None:
    """Line ends and control characters are written as escapes."""
    line = TextFormatter().format(record("a\nb\rc\x1b[31md\x85e\u2028f\tg"))
    assert line.endswith("a\\nb\\rc\\x1b[31md\\x85e\\u2028f\tg")


def test_a_traceback_is_indented() -> None:
    """No line of a traceback can be taken for a record."""
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
def test_any_message_is_one_line_of_text_that_a_stream_takes(message: str) -> None:
    """The law holds for surrogates too."""
    line = TextFormatter().format(record("%s", message))
    assert line.splitlines() == [line]
    line.encode()


# Formats of others


def test_fields_follow_the_message_of_another_format() -> None:
    """A traceback and the end of the format come after them. The record itself is not changed."""
    formatter = WithFields(logging.Formatter("[%(levelname)s] %(message)s!"))
    made = record("%d orders", 3, error=raised(ValueError("x")), subscription="audit", attempt=2)
    first, second, *_ = formatter.format(made).split("\n")
    assert first == "[WARNING] 3 orders subscription=audit attempt=2!"
    assert second == "  Traceback (most recent call last):"
    assert (made.msg, made.args) == ("%d orders", (3,))
    assert formatter.format(record("plain")) == "[WARNING] plain!"
