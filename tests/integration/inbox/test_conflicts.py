"""Transactions that the database ends, or cannot begin: the event is handled again, and once."""

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from qt_events import Event, InMemoryEventBus, RetryPolicy
from qt_events.outbox import Inbox, begin_immediately
from tests.integration.inbox.conftest import Shop, effect, effects, row_of
from tests.support.waiting import until
from workers.fleet.postgres import PrivatePostgres

#: No error of a database is among those that it repeats.
CHOOSY = RetryPolicy(initial=0, jitter=0, retry_on=(ZeroDivisionError,))
POSTGRESQL = pytest.mark.parametrize("shop", ["postgresql", "postgresql-async"], indirect=True)


@POSTGRESQL
async def test_a_serialization_failure_is_tried_again(shop: Shop) -> None:
    """Another transaction has changed what this one read: PostgreSQL's 40001."""
    bus, meddled = InMemoryEventBus(), list[int]()
    with shop.outside.begin() as connection:
        connection.execute(sa.insert(effects).values(event="shared", word="before"))
    shared = sa.update(effects).where(effects.c.event == "shared")

    def count(session: Session, event: Any) -> None:
        session.execute(sa.select(effects)).all()
        if not meddled:
            meddled.append(1)
            with shop.outside.begin() as other:
                other.execute(shared.values(word="meddled"))
        session.execute(shared.values(word="after"))
        effect(session, event)

    engine = shop.make_engine(isolation_level="SERIALIZABLE")
    bus.subscribe("paid", shop.handler(count), name="ledger", inbox=Inbox(engine), retry=CHOOSY)
    event = Event("paid")
    async with bus:
        await bus.publish(event)
        await bus.join()
    assert shop.effects().count(event.id) == 1
    assert row_of(bus) == {"delivered": 1, "errors": 1, "retries": 1}


@POSTGRESQL
async def test_a_deadlock_is_tried_again(shop: Shop) -> None:
    """Two handlers lock two rows in turn and the other way round: one is ended, and comes again."""
    bus, barrier = InMemoryEventBus(), threading.Barrier(2)
    with shop.outside.begin() as connection:
        for word in ("a", "b"):
            connection.execute(sa.insert(effects).values(event="shared", word=word))
    calls = 0

    def lock(word: str) -> sa.Select[Any]:
        return sa.select(effects).where(effects.c.word == word).with_for_update()

    def cross(session: Session, event: Any) -> None:
        nonlocal calls
        words = ("a", "b") if event.payload["first"] else ("b", "a")
        session.execute(lock(words[0]))
        calls += 1
        # Only the first two meet: the one that comes again is alone.
        if calls <= 2:
            barrier.wait(20)
        session.execute(lock(words[1]))
        effect(session, event)

    def meet(session: Session, event: Any) -> None:
        cross(session, event)

    # Async handlers would wait for each other on their loop: each has a bus in a thread.
    handler = shop.handler(meet)
    inbox = Inbox(shop.engine)
    events = [Event("paid", payload={"first": first}) for first in (True, False)]
    if shop.is_async:
        await asyncio.gather(
            *(asyncio.to_thread(deliver_by_itself, shop, cross, e) for e in events)
        )
    else:
        bus.subscribe("paid", handler, name="ledger", inbox=inbox, retry=CHOOSY, concurrency=2)
        async with bus:
            for event in events:
                await bus.publish(event)
            await bus.join()
        assert row_of(bus) == {"delivered": 2, "errors": 1, "retries": 1}
    assert calls == 3
    assert sorted(set(shop.effects()) - {"shared"}) == sorted(event.id for event in events)
    assert len(shop.effects()) == 4


def deliver_by_itself(shop: Shop, step: Any, event: Event[Any]) -> None:
    """Handle one event on a loop of its own."""

    async def deliver() -> None:
        bus, engine = InMemoryEventBus(), shop.make_engine()
        bus.subscribe("paid", shop.handler(step), name="ledger", inbox=Inbox(engine), retry=CHOOSY)
        async with bus:
            await bus.publish(event)
            await bus.join()
        await engine.dispose()

    asyncio.run(deliver())


async def test_a_locked_file_is_tried_again(tmp_path: Path) -> None:
    """SQLite's lock was not given in time: the attempt has failed, and nothing is lost."""
    url = sa.make_url(f"sqlite:///{tmp_path}/shop.db")
    shop, bus = Shop("sqlite", url), InMemoryEventBus()
    engine = begin_immediately(sa.create_engine(url, connect_args={"timeout": 0.05}))
    bus.subscribe("paid", shop.handler(), name="ledger", inbox=Inbox(engine), retry=CHOOSY)
    first, event = Event("paid"), Event("paid")
    async with bus:
        await bus.publish(first)
        await bus.join()
        with closing(sqlite3.connect(tmp_path / "shop.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await bus.publish(event)
            await until(lambda: bus.get_stats()["retries"] > 0, 20, "an attempt has failed")
            other.execute("ROLLBACK")
        await bus.join()
    assert shop.effects() == [first.id, event.id]
    assert row_of(bus)["delivered"] == 2
    engine.dispose()
    await shop.close()


async def test_a_database_that_goes_away_loses_nothing(own_postgres: PrivatePostgres) -> None:
    """Killed within a handler's transaction, it has kept nothing; when it is back all is done."""
    url = sa.make_url(own_postgres.create_database("shop")).set(drivername="postgresql+psycopg")
    shop, bus, killed = Shop("postgresql", url), InMemoryEventBus(), list[int]()

    def kill(session: Session, event: Any) -> None:
        effect(session, event)
        if not killed:
            killed.append(1)
            own_postgres.kill()

    policy = RetryPolicy(max_attempts=100, initial=0.1, factor=1)
    engine = sa.create_engine(url, pool_pre_ping=True)
    bus.subscribe("paid", shop.handler(kill), name="ledger", inbox=Inbox(engine), retry=policy)
    event = Event("paid")
    async with bus:
        await bus.publish(event)
        await until(lambda: bus.get_stats()["retries"] > 1, 30, "two attempts have failed")
        await asyncio.to_thread(own_postgres.restart)
        await bus.join()
    shop.outside.dispose()
    assert shop.effects() == [event.id]
    assert shop.notes() == [event.id]
    engine.dispose()
    await shop.close()
