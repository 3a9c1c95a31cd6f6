"""What the library logs forges no line and stays small, however a program formats it."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from qt_events.logs.formatters import JsonFormatter, TextFormatter, WithFields
from qt_events.texts import LONGEST_LINE, LONGEST_TRACEBACK

logger = logging.getLogger("qt_events")

FORGED = "2026-01-01 ERROR forged"
EVIL = f"bad\n{FORGED}\r{FORGED}\x1b[2J"
FORMATTERS = {
    "python's": logging.Formatter("%(asctime)s %(levelname)s %(message)s"),
    "celery's": WithFields(logging.Formatter("[%(asctime)s] %(message)s")),
    "text": TextFormatter(),
    "json": JsonFormatter(),
}


@pytest.fixture(params=list(FORMATTERS.values()), ids=list(FORMATTERS))
def stream(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """Return what a handler with one of these formatters writes of the library's lines."""
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(request.param)
    logger.addHandler(handler)
    yield handler.stream
    logger.removeHandler(handler)


def raised(text: str) -> Exception:
    """Return an error with a cause, a group and a note, each with this text."""
    try:
        try:
            raise ExceptionGroup(text, [OSError(text)])  # noqa: TRY301
        except ExceptionGroup as cause:
            cause.add_note(text)
            raise ValueError(text) from cause
    except ValueError as error:
        error.add_note(text)
        return error


def test_no_text_of_others_begins_a_line(stream: io.StringIO) -> None:
    """Neither a message nor a traceback, its causes, groups and notes included."""
    logger.warning("%s: attempt 1 failed: %s", "orders", EVIL)
    logger.error("%s: dead letter", "orders", exc_info=raised(EVIL))
    written = stream.getvalue()
    first, second, *rest = written.splitlines()
    assert "orders: attempt 1 failed: bad" in first
    assert "orders: dead letter" in second
    assert all(line.startswith("  ") for line in rest), written
    assert "\x1b" not in written
    assert "\r" not in written


def test_a_line_is_bounded(stream: io.StringIO) -> None:
    logger.warning("%s: attempt 1 failed: %s", "orders", "x" * 3_000_000)
    logger.error("%s: dead letter", "orders", exc_info=raised("x" * 3_000_000))
    written = stream.getvalue()
    assert len(written) < 2 * LONGEST_LINE + 2 * LONGEST_TRACEBACK
    assert "orders: dead letter" in written
    assert "ValueError: xxx" in written


def test_json_keeps_its_structure() -> None:
    """The exception is an object, with its line breaks, and only its texts are shortened."""
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)
    try:
        logger.error("dead\n%s", "letter", exc_info=raised(f"bad\n{'x' * 3_000_000}"))
    finally:
        logger.removeHandler(handler)
    (line,) = handler.stream.getvalue().splitlines()
    found = json.loads(line)
    assert found["message"] == "dead\nletter"
    exception = found["exception"]
    assert exception["type"] == "ValueError"
    assert exception["message"].startswith("bad\nxxx")
    assert exception["traceback"].startswith("  + Exception Group Traceback")


def test_a_line_without_anything_foreign_is_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    """Programs that group lines by their text and arguments still can."""
    logger.warning("%s: %d", "orders", 3)
    (record,) = caplog.records
    assert (record.msg, record.args) == ("%s: %d", ("orders", 3))
