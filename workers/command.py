"""`qt-events run`: the main job as a command."""

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

import qt_events
from qt_events import BrokerError, EventBus, InMemoryEventBus
from workers.display import Display, LiveDisplay, NoDisplay, PlainDisplay, show
from workers.market import MARKET, Close, read_market
from workers.replay import Replay, Summary

if TYPE_CHECKING:
    from qt_events import CeleryEventBus

FAREWELL = 5.0  # seconds for a broker that has failed already to come back and let itself be tidied


def run(
    market: Annotated[
        Path | None,
        typer.Option(
            help="Close prices as CSV: Date and a column a symbol, a row a day. By default stocks of 2007-2010."
        ),
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Only the first N days.", metavar="N")] = None,
    broker: Annotated[
        str | None, typer.Option(help="Over this RabbitMQ, amqp://…, under a prefix of its own.", metavar="URL")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write the summary as JSON, and nothing else.")] = False,  # noqa: FBT002
) -> None:
    """Replay a market, day by day, through Quantum Trader's components on an event bus."""
    prices = read_market(market or MARKET)[:days]
    with _display(over="over RabbitMQ" if broker else "in memory", as_json=as_json) as display:
        summary = asyncio.run(_replay(prices, broker, display))
    if as_json:
        print(summary.model_dump_json(indent=2))
    else:
        show(summary, display.seconds)


def _display(*, over: str, as_json: bool) -> Display:
    console = Console(stderr=as_json)
    if console.is_terminal:
        return LiveDisplay(console, over)
    return NoDisplay() if as_json else PlainDisplay(console)


async def _replay(market: list[Close], broker: str | None, display: Display) -> Summary:
    # Asked to end, as if by Ctrl-C: what was declared on the broker is deleted first.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, signal.raise_signal, signal.SIGINT)
    async with _bus(broker) as bus:
        return await Replay(bus, market).run(display)


@asynccontextmanager
async def _bus(broker: str | None) -> AsyncIterator[EventBus]:
    if broker is None:
        yield InMemoryEventBus()
        return
    prefix = f"qt-run-{uuid.uuid4().hex[:8]}"
    bus = qt_events.CeleryEventBus(broker, prefix=prefix)  # not imported above: celery is heavy
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
