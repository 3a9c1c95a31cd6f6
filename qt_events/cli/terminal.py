"""Standard output and standard error, as commands write to them."""

import sys

import typer
from rich.console import Console

#: Columns at least, where there is no terminal: a table in a file or a pipe is not cut.
_WIDE = 200


def wide_console() -> Console:
    """Return standard output as a console: as wide as the terminal, if it is one."""
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, _WIDE))


def complain(text: str, *more: str) -> None:
    """Write an error on standard error: one line, and a line for each of `more` below it."""
    for line in (f"qt-events: {' '.join(text.split())}", *(f"  {each}" for each in more)):
        typer.echo(line, err=True)
    sys.stderr.flush()
