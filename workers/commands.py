"""Commands `run`, `feed` and `analytics` of `python -m workers`."""

import asyncio
import json
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

import qt_events
from qt_events import BrokerError, BrokerUnreachableError, InMemoryEventBus, InvalidOptionError
from qt_events.history import History
from workers.events import HealthChecked
from workers.market.price_file import MARKET, Close, read_market
from workers.publishers import lasting_subscriptions
from workers.replay.done_days import BEGUN, UsedStoreError, done_days
from workers.replay.equity import check_chart_file, write_chart
from workers.replay.hearers import WAIT, until_declared
from workers.replay.journey import JourneyRecorder
from workers.replay.live import Display, LiveDisplay, PlainDisplay
from workers.replay.replay import Replay, summary
from workers.replay.report import Report
from workers.store import Store
from workers.system.assembly import RETRY, SLOW_AFTER, build
from workers.system.listeners.analytics import Question, profit_by

if TYPE_CHECKING:
    from qt_events import CeleryEventBus

#: Seconds to delete the run's queues when the broker has failed already.
CLEAN_UP_TIMEOUT = 5.0

Market = Annotated[
    Path | None,
    typer.Option(
        help="Close prices as CSV: a column for Date and one for each symbol, a row for each day. "
        "By default stocks of 2007-2010."
    ),
]
Days = Annotated[int | None, typer.Option(min=1, help="Only the first N days.", metavar="N")]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="Write the result as JSON, and nothing else.", metavar=""),
]
Details = Annotated[
    bool,
    typer.Option("--details", help="Show every event, subscription and component.", metavar=""),
]
Chart = Annotated[
    Path | None,
    typer.Option(help="Write the equity as a picture, .png or .svg.", metavar="FILE"),
]
Database = Annotated[
    str | None,
    typer.Option(
        envvar="QT_DATABASE_URL",
        help="Quantum Trader's database, sqlite:///… or postgresql://….",
        metavar="URL",
    ),
]


def run(
    market: Market = None,
    days: Days = None,
    broker: Annotated[
        str | None,
        typer.Option(
            envvar="QT_BROKER_URL",
            help="Over this RabbitMQ, amqp://…, under a prefix of its own.",
            metavar="URL",
        ),
    ] = None,
    history: Annotated[
        Path | None,
        typer.Option(
            help="In memory: record every event and its fate in this new file; then ask "
            "`qt-events history`, or `qt-events rerun -A workers`.",
            metavar="FILE",
        ),
    ] = None,
    chart: Chart = None,
    details: Details = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Replay a market, day by day, through all of Quantum Trader's components in this process."""
    _check_chart(chart)
    kept = _new_history(history, broker)
    prices = read_market(market or MARKET)[:days]
    over, every = ("over RabbitMQ", 20) if broker else ("in memory", 100)
    with _display(over=over, as_json=as_json, every=every) as display:
        report = asyncio.run(_run(prices, broker, display, kept))
    report = replace(report, over=over, options=_options(market, days))
    _print(report, chart, details=details, as_json=as_json)


def feed(
    market: Market = None,
    days: Days = None,
    broker: Annotated[
        str | None,
        typer.Option(
            envvar=["QT_BROKER_URL", "CELERY_BROKER_URL"],
            help="The workers' RabbitMQ, amqp://….",
            metavar="URL",
        ),
    ] = None,
    database: Database = None,
    resume: Annotated[  # noqa: FBT002
        bool,
        typer.Option(
            "--resume",
            help="Go on where a feed of the same prices was interrupted. It must have ended.",
            metavar="",
        ),
    ] = False,
    wait: Annotated[
        float,
        typer.Option(
            min=0,
            help="Wait so long for subscriptions that no worker has declared yet, then end with "
            "exit code 3. 0: begin without a look.",
            metavar="SECONDS",
        ),
    ] = WAIT,
    chart: Chart = None,
    details: Details = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Feed a market, day by day, to the workers of a fleet, at the pace of their answers."""
    _check_chart(chart)
    prices = read_market(market or MARKET)[:days]
    store = _store(database)
    url = broker or "amqp://guest:guest@localhost:5672//"
    bus = qt_events.CeleryEventBus(url, retry=RETRY, slow_after=SLOW_AFTER, service="workers")
    with _display(over="through the fleet", as_json=as_json, every=20) as display:
        report = asyncio.run(_feed(prices, bus, store, display, resume=resume, wait=wait))
    report = replace(report, over="through the fleet", options=_options(market, days))
    _print(report, chart, details=details, as_json=as_json)


def analytics(
    by: Annotated[Question, typer.Option(help="Column to sum up by.")] = "strategy",
    database: Database = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Ask Analytics for the profits by strategy, model or symbol."""
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


def _check_chart(chart: Path | None) -> None:
    if chart is not None:
        check_chart_file(chart)


def _new_history(file: Path | None, broker: str | None) -> History | None:
    """Return a history in a new file; None without a file.

    In an old file all ids of a day are known already, and nothing of this run would be recorded.
    Over RabbitMQ the run deletes its queues at the end, with what is not recorded yet.
    """
    if file is None:
        return None
    if broker:
        message = "--history records a run in memory: leave out --broker (QT_BROKER_URL)"
        raise InvalidOptionError(message)
    if file.exists():
        message = f"the history {file} exists: give --history a new file, or remove that one"
        raise UsedStoreError(message)
    return History(f"sqlite:///{file}")


def _options(market: Path | None, days: int | None) -> list[str]:
    """Return the options that repeat the same days in another run."""
    chosen = {"--market": market, "--days": days}
    return [str(word) for pair in chosen.items() if pair[1] is not None for word in pair]


def _store(database: str | None) -> Store:
    return Store(database) if database else Store.from_environment()


def _display(*, over: str, as_json: bool, every: int) -> Display:
    console = Console(stderr=as_json)
    if console.is_terminal:
        return LiveDisplay(console, over)
    return Display() if as_json else PlainDisplay(console, every)


def _print(report: Report, chart: Path | None, *, details: bool, as_json: bool) -> None:
    if as_json:
        print(report.result.model_dump_json(indent=2))
    else:
        report.print(Console(), details=details)
    if chart is not None:
        write_chart(chart, report.curve)


async def _feed(
    market: list[Close],
    bus: "CeleryEventBus",
    store: Store,
    display: Display,
    *,
    resume: bool,
    wait: float,
) -> Report:
    _end_by_signal()
    try:
        done = await _claim(store, bus, market, resume=resume, wait=wait)
        replay = Replay(bus, store, market, done)
        result = await replay.run(display)
    finally:
        store.dispose()
    return Report(result, seconds=replay.seconds, curve=replay.curve)


async def _claim(
    store: Store, bus: "CeleryEventBus", market: list[Close], *, resume: bool, wait: float
) -> list[HealthChecked]:
    """Take an empty database for this feed; one without broker or hearers leaves it as it is.

    With `resume`, return the days that are done on a database that is not empty.
    """
    used = UsedStoreError(
        "the database holds data of another replay: give --database (QT_DATABASE_URL) an empty "
        "one, or --resume if it is that of a feed of the same prices that was interrupted"
    )
    is_empty = await store.is_empty()
    if not is_empty and not resume:
        raise used
    done = [] if is_empty else await done_days(store, market)
    await _check_broker(
        bus, "Give the workers' broker by --broker, QT_BROKER_URL or CELERY_BROKER_URL."
    )
    if wait and len(done) < len(market):
        await until_declared(bus, lasting_subscriptions(), wait)
    # Another feed may have begun at the same time.
    if is_empty and not await store.documents.add(BEGUN, "", {"days": len(market)}):
        raise used
    return done


async def _run(
    market: list[Close], broker: str | None, display: Display, history: History | None
) -> Report:
    _end_by_signal()
    with TemporaryDirectory(prefix="qt-events-run-") as folder:
        store = Store(f"sqlite:///{folder}/store.db")
        async with _bus(broker) as bus:
            recorder = JourneyRecorder()
            bus.use(recorder)
            build(bus, store)
            replay = Replay(bus, store, market)
            try:
                if history is not None:
                    await history.open()
                    history.attach(bus)
                result = await replay.run(display)
            finally:
                store.dispose()
                if history is not None:
                    await history.close()
    return Report(
        summary(result, bus.get_stats()),
        seconds=replay.seconds,
        curve=replay.curve,
        journey=recorder.journey(),
    )


async def _check_broker(bus: "CeleryEventBus", advice: str) -> None:
    """Raise BrokerUnreachableError at once, where the bus itself would try for half a minute.

    A broker that does not answer is given the bus's connection timeout, by default 5 seconds.
    """
    try:
        # Without subscriptions it has none to look for: it connects and logs in.
        await bus.dead_letters.list()
    except BrokerUnreachableError as error:
        message = f"{error} {advice}"
        raise BrokerUnreachableError(message) from None


def _end_by_signal() -> None:
    """Treat SIGTERM like Ctrl-C, so that the queues and exchanges of the run are deleted."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, signal.raise_signal, signal.SIGINT)


@asynccontextmanager
async def _bus(broker: str | None) -> AsyncIterator["InMemoryEventBus | CeleryEventBus"]:
    if broker is None:
        yield InMemoryEventBus(retry=RETRY, slow_after=SLOW_AFTER)
        return
    prefix = f"qt-run-{uuid.uuid4().hex[:8]}"
    # Imported by this access and not above: celery takes long to load.
    bus = qt_events.CeleryEventBus(
        broker, prefix=prefix, retry=RETRY, slow_after=SLOW_AFTER, service="workers"
    )
    await _check_broker(bus, "Without --broker (QT_BROKER_URL) it runs in memory.")
    timeout = None
    try:
        yield bus
    except BrokerError:
        timeout = CLEAN_UP_TIMEOUT
        raise
    finally:
        await _clean_up(bus, prefix, timeout)


async def _clean_up(bus: "CeleryEventBus", prefix: str, timeout: float | None) -> None:
    try:
        async with asyncio.timeout(timeout):
            await bus.delete_topology()
    except (BrokerError, TimeoutError):
        # Reported and not raised: the error that ended the run is the one to show.
        left = f"queues and exchanges named {prefix}.* may be left on it"
        typer.echo(f"the broker is away: {left}", err=True)
