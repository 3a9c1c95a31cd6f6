"""Standard output and standard error, as commands write to them."""

import json
import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from typing import IO, Any

import typer
from rich.console import Console

from qt_events.texts import LONGEST_LINE, printable, shortened

_UNREAD = select.POLLERR | select.POLLHUP
#: Columns at least, where there is no terminal: a table in a file or a pipe is not cut.
_WIDE = 200


class _Console(Console):
    """Console that leaves a closed pipe to `exit_code`."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def wide_console() -> Console:
    """Return standard output as a console: as wide as the terminal, if it is one."""
    console = _Console()
    return console if console.is_terminal else _Console(width=max(console.width, _WIDE))


@contextmanager
def standard_output() -> Iterator[Callable[[], bool]]:
    """Lend what tells whether it is a pipe whose reader, such as `head`, has enough."""
    looking, copied = select.poll(), ExitStack()
    # What a program has put in its place may have no descriptor.
    with suppress(OSError, ValueError):
        # rich puts another file in its place before it ends the program.
        copy = os.dup(sys.stdout.fileno())
        copied.callback(os.close, copy)
        looking.register(copy, 0)
    with copied:
        yield lambda: any(flags & _UNREAD for _, flags in looking.poll(0))


def leave(stream: IO[str]) -> None:
    """Write no more to a stream that takes nothing.

    Else the interpreter would flush it once more at its end, and complain.
    """
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def dumps(value: object, indent: int | None = None) -> str:
    """Return JSON in ASCII: without `indent` one line, whatever was in a message."""
    return json.dumps(value, indent=indent, default=str)


def plain(value: Any) -> Any:
    """Return a time as its text, and anything else as it is."""
    return value.isoformat() if isinstance(value, datetime) else value


def say(*lines: str, err: bool = False) -> None:
    """Write lines with names in them that come from the broker: none controls the terminal.

    They tell of the work, which goes on if nobody reads them.
    """
    for line in lines:
        try:
            typer.echo(printable(shortened(line, LONGEST_LINE)), err=err)
        except BrokenPipeError:
            leave(sys.stderr if err else sys.stdout)


def confirm(question: str) -> None:
    """Ask, and raise typer.Abort if the answer is no, or if nobody can read the question."""
    try:
        typer.confirm(question, abort=True)
    except BrokenPipeError:
        raise typer.Abort from None


def complain(text: str, *more: str) -> None:
    """Write an error on standard error: one line, and a line for each of `more` below it.

    What others wrote is a part of most errors, so all of it is bounded and printable.
    """
    say(f"qt-events: {' '.join(text.split())}", *(f"  {each}" for each in more), err=True)
