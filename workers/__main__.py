"""`python -m workers`: the commands of Quantum Trader."""

import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

from qt_events import QtEventsError

#: Packages of the extra `trader`, by the names that they are imported by.
EXTRA = ("alembic", "httpx", "plotext", "sqlalchemy")


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit.

    0 done, 1 a named error, 2 wrong usage, 3 a feed that nobody hears, 130 Ctrl-C.
    """
    try:
        build_app()(args=args, prog_name="python -m workers")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in EXTRA:
            raise
        _print_error(f"Quantum Trader needs {error.name}: pip install -e '.[trader]'")
        sys.exit(2)
    except QtEventsError as error:
        _print_error(str(error))
        sys.exit(getattr(error, "exit_code", 1))
    sys.exit(0)


def build_app() -> typer.Typer:
    """Return the application with its four commands."""
    from workers.commands import analytics, feed, run
    from workers.fleet.launcher import fleet

    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_show_locals=False,
        help="Quantum Trader, a small trading system on the event bus.",
    )
    for command in (run, feed, fleet, analytics):
        app.command()(command)
    return app


def _print_error(text: str) -> None:
    typer.echo(f"workers: {' '.join(text.split())}", err=True)


if __name__ == "__main__":
    main()
