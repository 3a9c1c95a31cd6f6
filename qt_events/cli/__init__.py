"""`qt-events`: the command line.

Each command is an entry point of the group `qt_events.commands`, this package's own and others' alike: a function
with typer's annotations, or a `typer.Typer` for a group of commands. So nothing here imports the programs that use it.

worker.py                 `worker`
flower.py                 `flower`
topology.py               `topology`
topology_shown.py         what that shows, for people, programs and shells
dead_letters.py           `dead-letters`
dead_letters_shown.py     what that shows, for people and programs
dead_letters_progress.py  how far it has come
options.py                options that several of them have
console.py                where tables are written
"""

import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, NoReturn

import typer

from qt_events import QtEventsError, __version__

GROUP = "qt_events.commands"


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0 done, 1 an error of ours, 2 wrong usage, 130 interrupted."""
    try:
        build_app(entry_points(group=GROUP))(args=args, prog_name="qt-events")
    except QtEventsError as error:
        _complain(str(error))
        sys.exit(1)
    sys.exit(0)


def build_app(commands: Iterable[EntryPoint]) -> typer.Typer:
    """The application with these commands, in the order of their names."""
    app = typer.Typer(
        no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False
    )
    app.callback()(_options)
    for entry_point in sorted(commands, key=lambda entry_point: entry_point.name):
        _add(app, entry_point)
    return app


def _options(
    show_version: Annotated[  # noqa: FBT002  # typer's way to write a flag
        bool,
        typer.Option(
            "--version",
            callback=lambda wanted: _show_version(wanted=wanted),
            is_eager=True,
            help="Show the version.",
        ),
    ] = False,
) -> None:
    """A typed event bus on Celery and RabbitMQ, with the same bus in memory."""


def _show_version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"qt-events {__version__}")
        raise typer.Exit


def _add(app: typer.Typer, entry_point: EntryPoint) -> None:
    try:
        command = entry_point.load()
    except (ImportError, AttributeError) as error:  # one that is broken takes no other along
        _complain(
            f"the command {entry_point.name!r} ({entry_point.value}) cannot be loaded: {error}"
        )
        return
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=entry_point.name)
    else:
        app.command(entry_point.name)(command)


def _complain(text: str) -> None:
    typer.echo(f"qt-events: {' '.join(text.split())}", err=True)
