"""`qt-events outbox`: send what is committed; look at what waits, and at what was given up."""

import asyncio
import json
import signal
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qt_events.cli.options import App, AsJson, Prefix, Url
from qt_events.cli.terminal import dumps, plain, say, wide_console
from qt_events.errors import InvalidOptionError
from qt_events.texts import one_line

if TYPE_CHECKING:
    from qt_events.outbox import KeptEvent, Outbox, OutboxStats
    from qt_events.rabbitmq.bus import CeleryEventBus

outbox = typer.Typer(
    no_args_is_help=True,
    help="Events that were added in the transactions of your rows: send them, look at them.\n\n"
    "Every command needs a --store: sqlite:///shop.db or postgresql://user:password@host/name.",
)


def _required(store: str) -> str:
    if not store:
        raise InvalidOptionError(
            "give --store URL (or QT_OUTBOX), the database of your rows, such as "
            "sqlite:///shop.db or postgresql://user:password@host/name"
        )
    return store


StoreUrl = Annotated[
    str,
    typer.Option(
        "--store", envvar="QT_OUTBOX", show_envvar=True, metavar="URL", callback=_required,
        help="Database of the outbox. Use the variable to keep a password out of the process "
        "list. Required.", show_default=False,
    ),
]  # fmt: skip
States = Annotated[
    list[str] | None,
    typer.Option(
        "--state", metavar="STATE",
        help="waiting, dead or sent; may be given several times. Default: waiting and dead.",
        show_default=False,
    ),
]  # fmt: skip
Limit = Annotated[int, typer.Option("--limit", min=1, help="Most events.")]
Poll = Annotated[
    float, typer.Option("--poll", help="Seconds between two looks, where nothing wakes it.")
]
Keep = Annotated[float, typer.Option("--keep", help="Seconds for which sent rows are kept.")]
Ids = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]...", help="Events, as `list` shows them.")
]
All = Annotated[bool, typer.Option("--all", help="All that are dead.")]


@outbox.command()
def relay(
    store: StoreUrl = "",
    app: App = None,
    url: Url = None,
    prefix: Prefix = None,
    poll: Poll = 0.5,
    keep: Keep = 86_400.0,
) -> None:
    """Send what is committed to an outbox, until Ctrl-C or SIGTERM.

    Several may run at once. While the broker or the database is away, events wait in their table.
    """
    from qt_events.logs.configure import configure_logging
    from qt_events.rabbitmq.operating.target import find_target

    kept, bus = _opened(store), find_target(app, url, prefix).bus
    configure_logging()
    with closing(kept), closing(bus):
        sent, dead = asyncio.run(_relay(kept, bus, poll, keep))
    say(f"sent {sent:,} events; {dead:,} were given up")


async def _relay(kept: "Outbox", bus: "CeleryEventBus", poll: float, keep: float) -> Any:
    relay = kept.relay(bus, poll=poll, keep=keep)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, relay.stop)
    say(f"sending what is committed to {kept!r}; Ctrl-C ends it")
    sys.stdout.flush()
    await relay.run_forever()
    return relay.sent, relay.dead


@outbox.command("list")
def list_(
    store: StoreUrl = "", state: States = None, limit: Limit = 100, as_json: AsJson = False
) -> None:
    """List events that wait, or were given up, with their age and the reason."""
    from qt_events.outbox import State

    for each in state or ():
        if each not in set(State):
            raise InvalidOptionError(f"--state {each!r:.80}: there are {', '.join(State)}")
    with closing(_opened(store)) as kept:
        found = asyncio.run(kept.events(*(state or ()), limit=limit))
    if as_json:
        print(json.dumps([_as_json(each) for each in found], indent=2))
    else:
        _print_events(found)


def _as_json(event: "KeptEvent") -> dict[str, Any]:
    fields = {name: plain(value) for name, value in event._asdict().items()}
    return {**fields, "state": str(event.state), "body": event.body.decode()}


def _print_events(found: "list[KeptEvent]") -> None:
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    table = Table("state", "age", "type", "id", "key", "reason", box=SIMPLE)
    for column in table.columns:
        column.overflow = "fold"
    for each in found:
        texts = (each.state, _age(each.age), each.type, each.id, each.ordering_key, each.reason)
        table.add_row(*(Text(one_line(text or "")) for text in texts))
    wide_console().print(table)


def _age(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


@outbox.command()
def stats(store: StoreUrl = "", as_json: AsJson = False) -> None:
    """Show how much waits, and for how long; exit code 0 whatever it is."""
    with closing(_opened(store)) as kept:
        found = asyncio.run(kept.stats())
    if as_json:
        print(dumps(found._asdict(), indent=2))
    else:
        _print_stats(found)


def _print_stats(found: "OutboxStats") -> None:
    say(f"{found.waiting:,} wait, {found.dead:,} are dead, {found.sent:,} were sent lately")
    if found.oldest is None:
        return
    say(f"the oldest has waited for {_age(found.oldest)}")
    width = len(f"{max(found.by_type.values()):,}")
    say(*(f"{count:>{width},}  {each}" for each, count in found.by_type.items()))


@outbox.command()
def retry(ids: Ids = None, store: StoreUrl = "", all_: All = False) -> None:
    """Have dead events sent again: name them, or give --all."""
    if bool(ids) == all_:
        raise InvalidOptionError("name the events to send again, or give --all")
    with closing(_opened(store)) as kept:
        number = asyncio.run(kept.retry(*(ids or ())))
    say(f"{number:,} events wait again")


@outbox.command()
def upgrade(store: StoreUrl = "") -> None:
    """Make the tables, or bring them up to date after an update of qt-events."""
    with closing(_opened(store)) as kept:
        asyncio.run(kept.upgrade())
        say(f"{kept!r} is up to date")


def _opened(store: str) -> "Outbox":
    from qt_events.outbox import Outbox

    return Outbox(store)
