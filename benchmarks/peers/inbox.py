"""Contenders that handle events in transactions: with an inbox, and with a session alone."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from benchmarks.pace import spent, warm_up
from benchmarks.trade import fields
from qt_events import Event, InMemoryEventBus
from qt_events.outbox import Inbox, begin_immediately, current_inbox
from workers.fleet.postgres import PrivatePostgres

_MAKE = (
    "CREATE TABLE accounts (number integer PRIMARY KEY, balance bigint NOT NULL)",
    "INSERT INTO accounts VALUES (1, 0), (2, 0)",
    "CREATE TABLE transfers (event text PRIMARY KEY, amount integer)",
)
_ACCOUNTS = sa.table("accounts", sa.column("number"), sa.column("balance"))
_TRANSFERS = sa.table("transfers", sa.column("event"), sa.column("amount"))
_CHANGE = (
    sa.update(_ACCOUNTS)
    .where(_ACCOUNTS.c.number == sa.bindparam("account"))
    .values(balance=_ACCOUNTS.c.balance + sa.bindparam("change"))
)
_INSERT = sa.insert(_TRANSFERS).values(event=sa.bindparam("event"), amount=sa.bindparam("amount"))


async def handle(server: int, is_async: int, inbox: int, count: int) -> dict[str, float]:
    """Handle `count` events one after the other, each in a transaction of three statements.

    It takes money from one account, gives it to another, and writes down that it did.
    """
    with TemporaryDirectory() as folder:
        if not server:
            return await _handle(f"sqlite:///{Path(folder)}/bank.db", is_async, inbox, count)
        with PrivatePostgres() as running:
            return await _handle(running.url, is_async, inbox, count)


async def _handle(url: str, is_async: int, inbox: int, count: int) -> dict[str, float]:
    place = sa.make_url(url)
    kind = "sqlite" if place.drivername == "sqlite" else "postgresql"
    driver = {"sqlite": "sqlite+aiosqlite" if is_async else "sqlite"}.get(
        kind, "postgresql+psycopg"
    )
    place = place.set(drivername=driver)
    engine: Any = create_async_engine(place) if is_async else sa.create_engine(place)
    if kind == "sqlite":
        begin_immediately(engine)
    await _make(engine)
    bus = InMemoryEventBus(max_queue_size=count + warm_up(count), max_workers=1)
    handler = _async_handler(engine, inbox) if is_async else _plain_handler(engine, inbox)
    bus.subscribe("trade.noted", handler, inbox=Inbox(engine) if inbox else None, name="bench")
    async with bus:
        for each in (warm_up(count), count):
            for number in range(each):
                await bus.publish(Event("trade.noted", None, fields(number)))
            began, cpu = time.monotonic(), time.process_time()
            await bus.join()
    found = spent(began, cpu, count)
    await asyncio.to_thread(engine.dispose) if not is_async else await engine.dispose()
    return found


async def _make(engine: Any) -> None:
    for statement in _MAKE:
        if hasattr(engine, "sync_engine"):
            async with engine.begin() as connection:
                await connection.exec_driver_sql(statement)
        else:
            with engine.begin() as connection:
                connection.exec_driver_sql(statement)


def _statements(event: Event[Any]) -> tuple[tuple[Any, dict[str, Any]], ...]:
    return (
        (_CHANGE, {"account": 1, "change": -1}),
        (_CHANGE, {"account": 2, "change": 1}),
        (_INSERT, {"event": event.id, "amount": 1}),
    )


def _plain_handler(engine: sa.Engine, inbox: int) -> Callable[[Event[Any]], None]:
    def in_inbox(event: Event[Any]) -> None:
        session = current_inbox().session
        for statement, values in _statements(event):
            session.execute(statement, values)

    def alone(event: Event[Any]) -> None:
        with Session(engine) as session, session.begin():
            for statement, values in _statements(event):
                session.execute(statement, values)

    return in_inbox if inbox else alone


def _async_handler(engine: Any, inbox: int) -> Callable[[Event[Any]], Awaitable[None]]:
    async def in_inbox(event: Event[Any]) -> None:
        session = current_inbox().session
        for statement, values in _statements(event):
            await session.execute(statement, values)

    async def alone(event: Event[Any]) -> None:
        async with AsyncSession(engine) as session, session.begin():
            for statement, values in _statements(event):
                await session.execute(statement, values)

    return in_inbox if inbox else alone
