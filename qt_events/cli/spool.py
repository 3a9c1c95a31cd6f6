"""`qt-events spool`: look at the events that wait on this machine's disk for the broker."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from qt_events.cli.options import AsJson
from qt_events.cli.terminal import dumps, plain, say, wide_console
from qt_events.texts import printable

if TYPE_CHECKING:
    from qt_events.outbox.spool.looking import SpoolEntry, SpoolStats

spool = typer.Typer(
    no_args_is_help=True,
    help="Events on this machine's disk that wait for the broker: look, and send again.\n\n"
    "Every command takes the path that the bus has as spool=, and looks into the files of all "
    "processes with that path. They may go on meanwhile.",
)

SpoolPath = Annotated[Path, typer.Argument(metavar="PATH", help="Path of the spool.")]


@spool.command("list")
def list_(
    path: SpoolPath,
    aside: Annotated[
        bool, typer.Option("--aside", help="Only those that were set aside, and why.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Number to show.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show events in the order in which they are sent. With --json one line an event."""
    from qt_events.outbox.spool import looking

    found = list(looking.entries(path.absolute(), aside=aside, limit=limit))
    if as_json:
        for each in found:
            print(dumps({name: plain(value) for name, value in asdict(each).items()}))
    else:
        _print_entries(found)


@spool.command()
def stats(path: SpoolPath, as_json: AsJson = False) -> None:
    """Show how many events wait, how large they are, and since when."""
    from qt_events.outbox.spool import looking

    found = looking.stats(path.absolute())
    if as_json:
        rows = [{name: plain(value) for name, value in asdict(each).items()} for each in found]
        print(dumps(rows, indent=2))
    else:
        _print_stats(found)


@spool.command()
def retry(
    path: SpoolPath,
    event_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Id of an event. Default: all.")
    ] = None,
) -> None:
    """Have events sent that were set aside: refused by the broker, or too old.

    Their process sends them, or the next one that has the file.
    """
    from qt_events.outbox.spool import looking

    count = looking.retry(path.absolute(), event_id)
    say(f"{count:,} events wait to be sent again")
    if event_id is not None and not count:
        raise typer.Exit(1)


def _print_stats(found: "list[SpoolStats]") -> None:
    table = Table("file", "waiting", "set aside", "bytes", "oldest", box=SIMPLE)
    for each in found:
        figures = (f"{each.waiting:,}", f"{each.aside:,}", f"{each.bytes:,}")
        table.add_row(_text(each.file), *figures, _ago(each.oldest))
    wide_console().print(table)


def _print_entries(found: "list[SpoolEntry]") -> None:
    if not found:
        say("no events")
        return
    table = Table("id", "type", "bytes", "waits for", "file", "set aside because", box=SIMPLE)
    for each in found:
        why = _text(each.reason or "")
        figures = (f"{each.bytes:,}", _ago(each.since), _text(Path(each.file).name))
        table.add_row(_text(each.id), _text(each.type), *figures, why)
    wide_console().print(table)


def _text(text: str) -> Text:
    return Text(printable(text))


def _ago(time: datetime | None) -> str:
    return "" if time is None else f"{max(0.0, (datetime.now(UTC) - time).total_seconds()):,.0f} s"
