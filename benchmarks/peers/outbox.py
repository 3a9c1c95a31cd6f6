"""Contenders of an outbox: events added to a transaction, relayed, and published directly."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy as sa

from benchmarks.pace import percentiles, spent, windowed
from benchmarks.trade import fields
from qt_events import CeleryEventBus, Event, TradeExecutedEvent
from qt_events.events.cloudevents import encode
from qt_events.outbox import Outbox, begin_immediately
from workers.fleet.postgres import PrivatePostgres

#: Events of one transaction that is filled, and publishes in flight beside a relay.
BATCH, IN_FLIGHT = 500, 1000


def add(server: int, count: int) -> dict[str, float]:
    """Add events to transactions, on SQLite or on a `server`."""
    with _database(server) as engine:
        outbox = Outbox(engine)
        events = [TradeExecutedEvent.create(**fields(number)) for number in range(BATCH)]
        return _within(engine, count, lambda c, number: outbox.add(c, events[number]))


def insert(server: int, count: int) -> dict[str, float]:
    """Insert rows of the same size by SQLAlchemy Core, one a statement."""
    with _database(server) as engine:
        table = sa.Table(
            "plain",
            sa.MetaData(),
            sa.Column(
                "sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True
            ),
            *(sa.Column(name, sa.Text) for name in ("type", "id", "source", "correlation", "key")),
            sa.Column("body", sa.LargeBinary),
            *(sa.Column(name, sa.BigInteger) for name in ("time", "slot", "state")),
        )
        table.create(engine)
        events = [TradeExecutedEvent.create(**fields(number)) for number in range(BATCH)]
        rows = [
            {
                "type": each.type, "id": each.id, "source": each.source, "correlation": each.id,
                "key": each.id, "body": encode(each), "time": 1, "slot": 1, "state": 0,
            }
            for each in events
        ]  # fmt: skip
        statement = sa.insert(table)
        return _within(engine, count, lambda c, number: c.execute(statement, rows[number]))


def _within(
    engine: sa.Engine, count: int, one: Callable[[sa.Connection, int], object]
) -> dict[str, float]:
    """Return events a second by the median transaction; its begin and end are not measured."""
    seconds = []
    for round_ in range(count // BATCH + 1):
        with engine.connect() as connection:
            connection.begin()
            began = time.perf_counter()
            for number in range(BATCH):
                one(connection, number)
            # The first round is a warm-up.
            seconds += [time.perf_counter() - began] if round_ else []
    return {"rate": BATCH / median(seconds)}


async def relay(server: int, count: int) -> dict[str, float]:
    """Send a backlog that is in the table."""
    with _database(server) as engine:
        outbox = Outbox(engine)
        for first in range(0, count, BATCH):
            with engine.begin() as connection:
                for number in range(first, first + BATCH):
                    outbox.add(connection, TradeExecutedEvent.create(**fields(number)))
        bus = _bus()
        began, cpu = time.monotonic(), time.process_time()
        async with outbox.relay(bus) as relay:
            await relay.emptied()
            figures = spent(began, cpu, count)
        bus.close()
        return figures


async def publish(count: int) -> dict[str, float]:
    """Publish as many events directly."""
    bus = _bus()
    figures = await windowed(
        lambda number: bus.publish(TradeExecutedEvent.create(**fields(number))), count, IN_FLIGHT
    )
    bus.close()
    return figures


async def commit_to_handled(count: int) -> dict[str, float]:
    """Measure from the end of a commit on PostgreSQL until a handler has the event."""
    with _database(1) as engine:
        outbox = Outbox(engine)

        async def commit(event: Event[Any]) -> float:
            with engine.begin() as connection:
                outbox.add(connection, event)
            return time.perf_counter()

        bus, heard = _bus(), _Heard()
        bus.subscribe("bench.#", heard, name="bench.heard")
        async with bus, outbox.relay(bus):
            return await heard.each(count, commit)


async def publish_to_handled(count: int) -> dict[str, float]:
    """Measure from a direct publish until a handler has the event."""
    bus, heard = _bus(), _Heard()
    bus.subscribe("bench.#", heard, name="bench.heard")

    async def publish(event: Event[Any]) -> float:
        began = time.perf_counter()
        await bus.publish(event)
        return began

    async with bus:
        return await heard.each(count, publish)


class _Heard:
    """Handler that notes when it has an event."""

    def __init__(self) -> None:
        self._at, self._arrived = 0.0, asyncio.Event()

    async def __call__(self, _event: Event[Any]) -> None:
        self._at = time.perf_counter()
        self._arrived.set()

    async def each(
        self, count: int, begin: Callable[[Event[Any]], Awaitable[float]]
    ) -> dict[str, float]:
        """Send events one at a time; `begin` returns from when the time counts."""
        lags = []
        for number in range(-20, count):
            self._arrived.clear()
            began = await begin(Event("bench.happened", None, {"number": number}))
            await self._arrived.wait()
            # The first are a warm-up.
            lags += [self._at - began] if number >= 0 else []
        return percentiles(lags)


def _bus() -> CeleryEventBus:
    return CeleryEventBus(os.environ["QT_BENCH_URL"])


@contextmanager
def _database(server: int) -> Iterator[sa.Engine]:
    if not server:
        with TemporaryDirectory() as folder:
            yield from _opened(
                begin_immediately(sa.create_engine(f"sqlite:///{Path(folder)}/s.db"))
            )
        return
    with PrivatePostgres() as running:
        url = running.url.replace("postgresql://", "postgresql+psycopg://")
        yield from _opened(sa.create_engine(url))


def _opened(engine: sa.Engine) -> Iterator[sa.Engine]:
    Outbox(engine).open_sync()
    try:
        yield engine
    finally:
        engine.dispose()
