"""The program: commands found by their entry points, and how it ends.

A command is an entry point of the group `qt_events.commands`, of this package or of any other: a
function with typer's annotations, or a `typer.Typer` for a group of commands. Nothing here imports
the packages that add commands, and a command is imported only when it is asked for: shell
completion starts this program at every press of the key.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from qt_events import QtEventsError, __version__
from qt_events.cli.errors import exit_code

GROUP = "qt_events.commands"
PROGRAM = "qt-events"


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0 done, 1 an error, 2 wrong usage, 130 interrupted."""
    command = _command_of(build_app(entry_points(group=GROUP)))
    sys.exit(exit_code(lambda: command.main(args=args, prog_name=PROGRAM, standalone_mode=False)))


def build_app(found: Iterable[EntryPoint]) -> typer.Typer:
    """Return the application with the commands of these entry points, in the order of names."""
    commands = _Commands(found)

    class Group(TyperGroup):
        """Group that typer makes for the application: its commands are imported when needed."""

        def __init__(self, **attributes: Any) -> None:
            super().__init__(**{**attributes, "commands": commands})

        def get_params(self, ctx: Any) -> list[Any]:
            """Take the options of completion in, too: typer adds them afterwards."""
            return _as_flags(super().get_params(ctx))

        def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
            return list(commands)

        def invoke(self, ctx: Any) -> None:
            """Drop the value that a command returns: an exit code is given by typer.Exit alone."""
            super().invoke(ctx)

    app = typer.Typer(cls=Group, no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(_options)
    return app


def _options(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=lambda wanted: _show_version(wanted=wanted),
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """A typed event bus on Celery and RabbitMQ, with the same bus in memory."""


def _show_version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


class _Commands(Mapping[str, Any]):
    """Commands by name, each imported when it is first looked up."""

    def __init__(self, found: Iterable[EntryPoint]) -> None:
        self._found = {each.name: each for each in sorted(found, key=lambda each: each.name)}
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        entry_point = self._found[name]
        if name not in self._loaded:
            self._loaded[name] = _load(entry_point)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def _load(entry_point: EntryPoint) -> Any:
    try:
        found = entry_point.load()
    except Exception as error:  # noqa: BLE001  # one that is broken must take no other along
        return _named(entry_point.name, _broken(entry_point, error), lenient=True)
    return _named(entry_point.name, found)


def _broken(entry_point: EntryPoint, error: Exception) -> Callable[[], None]:
    """Stand in for a command whose import fails: it is listed, and tells why when it is run."""
    text = f"the command {entry_point.name!r} ({entry_point.value}) cannot be imported: "
    text += f"{type(error).__name__}: {error}"

    def broken() -> None:
        raise QtEventsError(text)

    broken.__doc__ = f"Not available: {text}."
    return broken


def _named(name: str, found: Any, *, lenient: bool = False) -> Any:
    """Make the command of this name from a function or a typer.Typer."""
    parent = typer.Typer()
    parent.callback()(lambda: None)
    if isinstance(found, typer.Typer):
        parent.add_typer(found, name=name)
    else:
        settings = {"ignore_unknown_options": lenient, "allow_extra_args": lenient}
        parent.command(name, context_settings=settings)(found)
    command = _command_of(parent).commands[name]
    for each in _with_nested(command):
        _as_flags(each.get_params(typer.Context(each)))
    return command


def _command_of(app: typer.Typer) -> Any:
    return typer.main.get_command(app)


def _with_nested(command: Any) -> Iterator[Any]:
    yield command
    for each in getattr(command, "commands", {}).values():
        yield from _with_nested(each)


def _as_flags(options: list[Any]) -> list[Any]:
    """Have the help show flags as flags: they take no value, but typer would say `<bool>`."""
    for each in options:
        if getattr(each, "is_flag", False) and each.metavar is None:
            each.metavar = ""
    return options
