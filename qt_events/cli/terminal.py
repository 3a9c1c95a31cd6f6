"""Standard output and standard error, as commands write to them."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import typer
from rich.console import Console

from qt_events.texts import LONGEST_LINE, printable, shortened

#: Columns at least, where there is no terminal: a table in a file or a pipe is not cut.
_WIDE = 200


class _Console(Console):
    """Console that leaves a closed pipe to `pipe`."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def wide_console() -> Console:
    """Return standard output as a console: as wide as the terminal, if it is one."""
    console = _Console()
    return console if console.is_terminal else _Console(width=max(console.width, _WIDE))


@contextmanager
def pipe() -> Iterator[None]:
    """End in silence if the reader of standard output, such as `head`, has enough."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        # Else the interpreter would flush it once more at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise


def dumps(value: object, indent: int | None = None) -> str:
    """Return JSON in ASCII: without `indent` one line, whatever was in a message."""
    return json.dumps(value, indent=indent, default=str)


def plain(value: Any) -> Any:
    """Return a time as its text, and anything else as it is."""
    return value.isoformat() if isinstance(value, datetime) else value


def say(*lines: str, err: bool = False) -> None:
    """Write lines with names in them that come from the broker: none controls the terminal."""
    for line in lines:
        typer.echo(printable(shortened(line, LONGEST_LINE)), err=err)


def complain(text: str, *more: str) -> None:
    """Write an error on standard error: one line, and a line for each of `more` below it.

    What others wrote is a part of most errors, so all of it is bounded and printable.
    """
    say(f"qt-events: {' '.join(text.split())}", *(f"  {each}" for each in more), err=True)
    sys.stderr.flush()
