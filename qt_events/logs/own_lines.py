"""Own lines: what the library itself logs is bounded and on one line, whatever formats it.

A line of ours has texts of others in it: of exceptions, messages, the broker. Most formatters write
these as they are, so they are made harmless before any handler has the record.
"""

import logging

from qt_events.errors import traceback_of
from qt_events.texts import LONGEST_LINE, indented, one_line, shortened


def guard_own_lines() -> None:
    """Guard the logger "qt_events". A second call changes nothing."""
    logging.getLogger("qt_events").addFilter(make_harmless)


class OneLine(str):
    """Message on one line that remembers how it was, for formats that have no lines."""

    __slots__ = ("before",)
    before: str

    @classmethod
    def of(cls, message: str) -> "OneLine":
        """Return the message on one line."""
        line = cls(one_line(message))
        line.before = message
        return line


def make_harmless(record: logging.LogRecord) -> bool:
    """Escape and shorten the message of a record, and the traceback that formatters write."""
    message = record.getMessage()
    harmless = OneLine.of(shortened(message, LONGEST_LINE))
    if harmless != message:
        record.msg, record.args = harmless, None
    guard_traceback(record)
    return True


def guard_traceback(record: logging.LogRecord) -> None:
    """Give the record the text of its exception; formatters take it before they make their own."""
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and not record.exc_text:
        record.exc_text = indented(traceback_of(error))
