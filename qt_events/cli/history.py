"""`qt-events history`: record events, ask for them, look at the size of a history, prune it."""

import asyncio
import json
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from time import sleep
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qt_events.cli.errors import INTERRUPTED
from qt_events.cli.history_asking import export, list_, show, trace
from qt_events.cli.history_filter import Asked, Type
from qt_events.cli.history_options import StoreUrl
from qt_events.cli.options import App, AsJson, Prefix, Url, time_of
from qt_events.cli.terminal import say

if TYPE_CHECKING:
    from qt_events.history import EventFilter, History
    from qt_events.history.store import Pruned, Store, StoreStats
    from qt_events.rabbitmq.bus import CeleryEventBus

#: Times that a page is tried to be pruned, and seconds between them.
TRIES, PAUSE = 5, 0.5

history = typer.Typer(
    no_args_is_help=True,
    help="Every event and its fate: record them, ask for them, prune them.\n\n"
    "Every command needs a --store: sqlite:///events.db or postgresql://user:password@host/name.",
)


history.command("list")(list_)
history.command()(show)
history.command()(trace)
history.command()(export)

OlderThan = Annotated[
    str,
    typer.Option(
        "--older-than", metavar="TIME",
        help="Those that happened longer ago than 90d, 12h or 1d12h, or before an ISO 8601 time.",
    ),
]  # fmt: skip


@history.command()
def record(store: StoreUrl = "", app: App = None, url: Url = None, prefix: Prefix = None) -> None:
    """Record all events of a broker and their fates, for a fleet, until Ctrl-C or SIGTERM.

    Serves the history's own subscriptions alone. Several may run at once. While the database is
    away, events wait on the broker.
    """
    from qt_events.logs.configure import configure_logging

    kept, bus = _opened(store), _bus(app, url, prefix)
    configure_logging()
    with closing(bus):
        asyncio.run(_record(kept, bus))
    recorder = kept.recorder
    known = recorder.seen - recorder.new
    say(f"recorded {recorder.new:,} events; {known:,} were there already")


async def _record(kept: "History", bus: "CeleryEventBus") -> None:
    try:
        await kept.open()
        kept.attach(bus)
        say(f"recording into {kept.store}; Ctrl-C ends it")
        await bus.run_forever(handle_signals=True)
    finally:
        await kept.close()


def _bus(app: str | None, url: str | None, prefix: str | None) -> "CeleryEventBus":
    """Return a bus of its own on the broker: one of the app would serve all its subscriptions."""
    from qt_events.rabbitmq.operating.target import find_target

    target = find_target(app, url, prefix)
    if target.app is None or url:
        return target.bus
    conf = target.app.conf
    bus = find_target(app, str(conf.broker_url), prefix).bus
    bus.app.conf.broker_use_ssl = conf.broker_use_ssl
    return bus


@history.command()
def prune(
    older_than: OlderThan,
    store: StoreUrl = "",
    type: Type = "#",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how many it would be.")
    ] = False,
) -> None:
    """Remove old events with their fates, in small transactions.

    A recorder may go on meanwhile. Exit code 130 after Ctrl-C: what was removed by then is gone.
    """
    until = time_of(older_than, datetime.now(UTC), "--older-than")
    which = replace(Asked(type).filter(), until=until)
    kept = _opened(store, must_exist=True).store
    with closing(kept):
        if dry_run:
            count = kept.count(which)
            say(f"{count:,} events from before {until:%Y-%m-%d %H:%M} UTC would be removed")
        elif not _pruned(kept, which):
            raise typer.Exit(INTERRUPTED)


def _pruned(kept: "Store", which: "EventFilter") -> bool:
    """Prune, show how far it is, and return False if it was interrupted."""
    from qt_events.cli.progress import Bar

    total, events, fates, ended = kept.count(which), 0, 0, ", then it failed"
    try:
        with Bar("events removed") as bar:
            while any(removed := _removed(kept, which)):
                events, fates = events + removed.events, fates + removed.fates
                bar.show_done(events, total)
        ended = ""
    except KeyboardInterrupt:
        ended = ", then it was interrupted"
    finally:
        say(f"removed {events:,} events and {fates:,} fates{ended}")
    return not ended


def _removed(kept: "Store", which: "EventFilter") -> "Pruned":
    """Prune one page, several times if need be: a recorder may have the lock for a while."""
    from qt_events.history import HistoryUnavailableError

    for _ in range(TRIES - 1):
        with suppress(HistoryUnavailableError):
            return kept.prune(which)
        sleep(PAUSE)
    return kept.prune(which)


@history.command()
def stats(store: StoreUrl = "", as_json: AsJson = False) -> None:
    """Show how large a history is: events and fates, bytes an event, events by type."""
    with closing(_opened(store, must_exist=True).store) as kept:
        found = kept.stats()
    if as_json:
        print(json.dumps(_as_json(found), indent=2))
    else:
        _print(found)


def _as_json(found: "StoreStats") -> dict[str, Any]:
    times = {"first": found.first, "last": found.last}
    return {
        **found._asdict(),
        **{name: None if time is None else time.isoformat() for name, time in times.items()},
        "bytes_an_event": _each(found),
    }


def _each(found: "StoreStats") -> int | None:
    return round(found.bytes / found.events) if found.events else None


def _print(found: "StoreStats") -> None:
    say(f"{found.events:,} events, {found.fates:,} fates, {found.bytes / 1e6:,.1f} MB")
    if found.first is None or found.last is None:
        return
    say(f"{_each(found):,} bytes an event, with its fates and indexes")
    say(f"from {found.first:%Y-%m-%d %H:%M:%S} to {found.last:%Y-%m-%d %H:%M:%S} UTC")
    width = len(f"{max(found.by_type.values()):,}")
    say(*(f"{count:>{width},}  {each}" for each, count in found.by_type.items()))


@history.command()
def upgrade(store: StoreUrl = "") -> None:
    """Bring the tables up to date after an update of qt-events. Stop the recorders first."""
    with closing(_opened(store, must_exist=True).store) as kept:
        kept.upgrade()
    say(f"{kept} is up to date")


def _opened(store: str, *, must_exist: bool = False) -> "History":
    from qt_events.history import History

    return History(store, must_exist=must_exist)
