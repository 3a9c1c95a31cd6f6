"""`qt-events topology move`: what a subscription's queues hold, under its new name."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from qt_events.cli.errors import INTERRUPTED
from qt_events.cli.options import App, AsJson, ManagementUrl, Prefix, Url
from qt_events.cli.progress import Bar
from qt_events.cli.terminal import complain
from qt_events.errors import InvalidOptionError, QtEventsError

if TYPE_CHECKING:
    from qt_events.rabbitmq.operating.administration import Administration
    from qt_events.rabbitmq.operating.moving import Moved


def move(
    source: Annotated[
        str, typer.Argument(metavar="[FROM]", help="Name, as `show` lists it.", show_default=False)
    ] = "",
    destination: Annotated[
        str, typer.Argument(metavar="[TO]", help="Its new name.", show_default=False)
    ] = "",
    former: Annotated[
        bool,
        typer.Option("--former", help="All that a former release named otherwise, for the --app."),
    ] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Delete the old queues, when they are empty.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Do it even while a worker serves the old one.")
    ] = False,
    app: App = None,
    url: Url = None,
    prefix: Prefix = None,
    management_url: ManagementUrl = None,
    as_json: AsJson = False,
) -> None:
    """Move events, quarantine and dead letters of a subscription that was renamed.

    The old queue is unbound first, so stop its workers and move before the new ones start: an event
    that both queues got is handled twice.
    """
    from qt_events.rabbitmq.operating.administration import Administration
    from qt_events.rabbitmq.operating.target import find_target

    if former == bool(source or destination) or bool(source) != bool(destination):
        raise InvalidOptionError("give FROM and TO, or --former with an --app")
    if former and not app:
        raise InvalidOptionError("--former needs an --app: its code says what the new names are")
    administration = Administration(find_target(app, url, prefix), management_url)
    pairs = administration.renamed() if former else [(source, destination)]
    _print(_moved(administration, pairs, force=force, remove=remove), as_json=as_json)


def _moved(
    administration: "Administration",
    pairs: Sequence[tuple[str, str]],
    *,
    force: bool,
    remove: bool,
) -> "list[Moved]":
    """Move them; Ctrl-C and errors say how far it came."""
    done: list[Moved] = []
    bar = Bar("moved")
    try:
        with bar:
            for source, destination in pairs:
                moved = administration.move(
                    source, destination, bar.show, force=force, remove=remove
                )
                done.append(moved)
    except KeyboardInterrupt:
        complain(f"interrupted: {bar.describe()}; run it again for the rest")
        raise typer.Exit(INTERRUPTED) from None
    except QtEventsError:
        if bar.has_begun:
            complain(bar.describe())
        raise
    return done


def _print(done: "Sequence[Moved]", *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"moved": [asdict(each) for each in done]}, indent=2))
        return
    for each in done:
        stay = f"; {each.skipped} stay, which no bus has put there" if each.skipped else ""
        typer.echo(
            f"{each.source} -> {each.destination}: {each.events} events, {each.quarantined} in "
            f"quarantine, {each.dead_letters} dead letters{stay}"
        )
    if not done:
        typer.echo("nothing is named as a former release named it")
