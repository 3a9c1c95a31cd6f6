"""Texts from elsewhere are bounded, and stay on one line where a line is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qt_events.delivery.outcome import DeadLetter, DeadLetterReason, Failure, consequences
from qt_events.errors import name_of_type, text_of, traceback_of
from qt_events.rabbitmq.pools.asyncio_delivery import _event_of
from qt_events.texts import (
    LONGEST,
    LONGEST_NAME,
    LONGEST_TRACEBACK,
    indented,
    one_line,
    printable,
    shortened,
)

EVIL = "a\nERROR forged\r\x1b[2J\x85\u2028\u202e\ud800"


@given(text=st.text(), longest=st.integers(60, 200))
def test_a_text_is_whole_or_its_beginning_and_its_end(text: str, longest: int) -> None:
    """The bound is in bytes of UTF-8, as AMQP and files count."""
    short = shortened(text * 20, longest)
    assert len(short.encode(errors="replace")) <= longest or short == text * 20
    if len((text * 20).encode(errors="replace")) <= longest:
        assert short == text * 20


def test_what_is_left_out_is_told() -> None:
    assert shortened("begin" + "é" * 3_000_000 + "end", 100).startswith("beginé")
    short = shortened("begin" + "x" * 3_000_000 + "end", 100)
    assert short.startswith("beginx")
    assert "... (3,000,008 characters, shortened) ..." in short
    assert short.endswith("xend")


@given(text=st.text())
def test_a_line_stays_one_line_that_obeys_nobody(text: str) -> None:
    """Letters of every script stay as they are, a tab too."""
    assert len(one_line(text).splitlines()) <= 1
    assert printable(text).isprintable()


def test_letters_stay_and_controls_are_escaped() -> None:
    assert one_line("naïve 日本\u3000語 👩\u200d🔬\tx") == "naïve 日本\u3000語 👩\u200d🔬\tx"
    escapes = "a\\nERROR forged\\r\\x1b[2J\\x85\\u2028\\u202e\\ud800"
    assert one_line(EVIL) == printable(EVIL) == escapes
    assert indented("first\n\nsecond\rthird") == "  first\n  second\\rthird"


class WithoutText(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def long_name() -> Exception:
    return type("X" * 3_000_000, (Exception,), {})()  # type: ignore[no-any-return]


def without_module() -> Exception:
    return type("Odd", (Exception,), {"__module__": None})()  # type: ignore[no-any-return]


def deep_chain() -> Exception:
    error = Exception("first")
    for number in range(3_000):
        after = Exception(f"{number}")
        after.__cause__ = error
        error = after
    return error


def deep_group() -> Exception:
    error: Exception = OSError("x" * 100_000)
    for _ in range(50):
        error = ExceptionGroup("y" * 10_000, [error, OSError("z" * 10_000)])
    return error


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x" * 3_000_000),
        ValueError("é\n" * 1_000_000),
        WithoutText(),
        long_name(),
        without_module(),
        deep_chain(),
        deep_group(),
    ],
    ids=["long", "lines", "textless", "long name", "no module", "deep chain", "deep group"],
)
def test_whatever_an_exception_holds_its_texts_are_bounded(error: Exception) -> None:
    """So are dead letters and the events for monitors, which are made of these texts."""
    assert len(name_of_type(error).encode()) <= LONGEST_NAME
    assert len(text_of(error).encode()) <= LONGEST
    assert 0 < len(traceback_of(error).encode()) <= LONGEST_TRACEBACK
    outcome = DeadLetter(DeadLetterReason.EXHAUSTED, Failure.of(error))
    told = _event_of(consequences(outcome), 0.1)
    assert len(str(told)) < 4 * LONGEST + LONGEST_NAME + 2 * LONGEST_TRACEBACK + 200


def test_a_short_traceback_is_as_python_prints_it() -> None:
    try:
        raise ValueError("a\nb")  # noqa: TRY301  # it gets its traceback so
    except ValueError as error:
        first, *_, last_but_one, last = traceback_of(error).splitlines()
    assert (first, last_but_one, last) == (
        "Traceback (most recent call last):",
        "ValueError: a",
        "b",
    )
