"""`qt-events run`, `feed` and `analytics`: Quantum Trader's commands."""

import asyncio
import json
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

import qt_events
from qt_events import BrokerError, EventBus, InMemoryEventBus, UsageError
from workers.market.price_file import MARKET, Close, read_market
from workers.replay.live import Display, LiveDisplay, NoDisplay, PlainDisplay, show
from workers.replay.replay import Replay, Result, Summary, summary
from workers.store import Store
from workers.system.assembly import RETRY, build
from workers.system.listeners.analytics import Question, profit_by

if TYPE_CHECKING:
    from qt_events import CeleryEventBus

FAREWELL = 5.0  # seconds for a broker that has failed already to come back and let itself be tidied

Market = Annotated[
    Path | None,
    typer.Option(help="Close prices as CSV: Date and a column a symbol, a row a day. By default stocks of 2007-2010."),
]
Days = Annotated[int | None, typer.Option(min=1, help="Only the first N days.", metavar="N")]
AsJson = Annotated[bool, typer.Option("--json", help="Write the result as JSON, and nothing else.")]
Database = Annotated[
    str | None,
    typer.Option(
        envvar="QT_DATABASE_URL", help="Quantum Trader's database, sqlite:///… or postgresql://….", metavar="URL"
    ),
]


class UsedStoreError(UsageError):
    """The database holds what another replay left."""


def run(
    market: Market = None,
    days: Days = None,
    broker: Annotated[
        str | None,
        typer.Option(
            envvar="QT_BROKER_URL", help="Over this RabbitMQ, amqp://…, under a prefix of its own.", metavar="URL"
        ),
    ] = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Replay a market, day by day, through all of Quantum Trader's components in this process."""
    prices = read_market(market or MARKET)[:days]
    with _display(over="over RabbitMQ" if broker else "in memory", as_json=as_json) as display:
        result = asyncio.run(_run(prices, broker, display))
    _tell(result, display, as_json=as_json)


def feed(
    market: Market = None,
    days: Days = None,
    broker: Annotated[
        str | None,
        typer.Option(
            envvar="CELERY_BROKER_URL",
            help="The workers' RabbitMQ, amqp://….",
            metavar="URL",
        ),
    ] = None,
    database: Database = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Feed a market, day by day, to the workers of a fleet, at the pace of their answers."""
    prices = read_market(market or MARKET)[:days]
    store = _store(database)
    bus = qt_events.CeleryEventBus(broker or "amqp://guest:guest@localhost:5672//", retry=RETRY)
    with _display(over="through the fleet", as_json=as_json, every=20) as display:
        result = asyncio.run(_feed(prices, bus, store, display))
    _tell(result, display, as_json=as_json)


def analytics(
    by: Annotated[Question, typer.Option(help="What to sum up by.")] = "strategy",
    database: Database = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Ask Analytics what was earned, by strategy, model or symbol."""
    store = _store(database)
    try:
        earned = asyncio.run(profit_by(store, by))
    finally:
        store.dispose()
    if as_json:
        print(json.dumps(earned, indent=2))
        return
    table = Table(by, "profit")
    table.columns[1].justify = "right"
    for name, profit in earned.items():
        table.add_row(name, f"{profit:,.2f}")
    Console().print(table if earned else "no position has been closed yet")


def _store(database: str | None) -> Store:
    return Store(database) if database else Store.from_environment()


def _display(*, over: str, as_json: bool, every: int = 100) -> Display:
    console = Console(stderr=as_json)
    if console.is_terminal:
        return LiveDisplay(console, over)
    return NoDisplay() if as_json else PlainDisplay(console, every)


def _tell(result: Result, display: Display, *, as_json: bool) -> None:
    if as_json:
        print(result.model_dump_json(indent=2))
    else:
        show(result, display.seconds)


async def _feed(market: list[Close], bus: "CeleryEventBus", store: Store, display: Display) -> Result:
    _end_by_signal()
    if not (await store.is_empty() and await store.documents.add("feed", "", {"days": len(market)})):
        message = "the database holds what another replay left: give --database (QT_DATABASE_URL) an empty one"
        raise UsedStoreError(message)
    try:
        return await Replay(bus, store, market).run(display)
    finally:
        store.dispose()


async def _run(market: list[Close], broker: str | None, display: Display) -> Summary:
    _end_by_signal()
    with TemporaryDirectory(prefix="qt-events-run-") as folder:
        store = Store(f"sqlite:///{folder}/store.db")
        async with _bus(broker) as bus:
            build(bus, store)
            try:
                return summary(await Replay(bus, store, market).run(display), bus.get_stats())
            finally:
                store.dispose()


def _end_by_signal() -> None:
    """Asked to end, end as if by Ctrl-C: what was declared on the broker is deleted first."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, signal.raise_signal, signal.SIGINT)


@asynccontextmanager
async def _bus(broker: str | None) -> AsyncIterator[EventBus]:
    if broker is None:
        yield InMemoryEventBus(retry=RETRY)
        return
    prefix = f"qt-run-{uuid.uuid4().hex[:8]}"
    bus = qt_events.CeleryEventBus(broker, prefix=prefix, retry=RETRY)  # not imported above: celery is heavy
    patience = None
    try:
        yield bus
    except BrokerError:
        patience = FAREWELL
        raise
    finally:
        await _clean_up(bus, prefix, patience)


async def _clean_up(bus: "CeleryEventBus", prefix: str, patience: float | None) -> None:
    try:
        async with asyncio.timeout(patience):
            await bus.delete_topology()
    except (BrokerError, TimeoutError):  # no reason to hide how the run itself ended
        typer.echo(f"the broker is away: queues and exchanges named {prefix}.* may be left on it", err=True)
