"""The console that tables are written on."""

from rich.console import Console

_WIDE = 200  # columns at least, where there is no terminal: a table in a file or a pipe is not cut


def wide_console() -> Console:
    """Standard output: as wide as the terminal, if it is one."""
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, _WIDE))
