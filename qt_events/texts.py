"""Texts from elsewhere, such as an exception's: bounded, and no forged line where one is shown.

Whatever shows or keeps such a text takes it through here: logs, task events, dead letters and
commands.
"""

import re

LONGEST = 4_000  #: bytes of UTF-8 that are kept of an exception's text
LONGEST_NAME = 1_000  #: the same, of a type's name, an id, a host
LONGEST_TRACEBACK = 32_000  #: all headers of a message share a frame of 128 KiB
LONGEST_LINE = 8_000  #: the same, of a line that the library logs

# Characters that break a line, forge another one, control a terminal, or reverse what follows.
_UNSAFE = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def shortened(text: str, longest: int = LONGEST) -> str:
    """Return the text; of one with more than `longest` bytes of UTF-8 its beginning and its end."""
    # No character has more than four.
    if 4 * len(text) <= longest:
        return text
    encoded = text.encode(errors="replace")
    if len(encoded) <= longest:
        return text
    mark = f" ... ({len(text):,} characters, shortened) ... "
    half = (longest - len(mark)) // 2
    return encoded[:half].decode(errors="ignore") + mark + encoded[-half:].decode(errors="ignore")


def printable(text: str) -> str:
    """Return the text with escapes for all that is not printable, a tab too: for ids and tables."""
    return text if text.isprintable() else "".join(map(_escaped_unless_printable, text))


def _escaped_unless_printable(letter: str) -> str:
    return letter if letter.isprintable() else _escape(letter)


def one_line(text: str) -> str:
    """Return the text on one line, with escapes for what would begin another or be obeyed."""
    return text if text.isprintable() else _UNSAFE.sub(lambda found: _escape(found.group()), text)


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode()


def indented(text: str) -> str:
    """Return a text of several lines so that none of them can be taken for a line of a log."""
    return "\n".join(f"  {one_line(line)}" for line in text.split("\n") if line)
