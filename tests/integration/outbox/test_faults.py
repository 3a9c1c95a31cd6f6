"""Databases that go away, locks, leases and wakings: events wait, and go on."""

import asyncio
import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from qt_events.events.raw import RawEvent
from qt_events.memory import InMemoryEventBus
from qt_events.outbox import Outbox, OutboxUnavailableError
from qt_events.outbox.relaying import lease, listening
from qt_events.outbox.relaying import relay as relaying
from qt_events.outbox.tables import SENT, WAITING, events, leases
from tests.support.shop import placed, prepared, rows, sync_url
from tests.support.waiting import until
from workers.fleet.postgres import PrivatePostgres

#: Seconds: longer than any test may take, so that nothing comes about by looking now and then.
NEVER = 1000.0


class Kept(InMemoryEventBus):
    """A bus that keeps the ids of what it is told to send."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []

    async def forward(self, event: RawEvent) -> None:
        self.sent.append(event.id)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relaying, "LONGEST_PAUSE", 0.1)
    monkeypatch.setattr(listening, "PAUSE", 0.1)


def add(engine: sa.Engine, outbox: Outbox, *ids: str) -> None:
    with engine.begin() as connection:
        for each in ids:
            outbox.add(connection, placed(each), key="a")


# Databases that go away


async def test_a_server_that_is_killed_is_waited_for(
    own_postgres: PrivatePostgres, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once, without the password, and events go on when it is back."""
    engine, bus = prepared(sa.create_engine(sync_url(own_postgres.url))), Kept()
    outbox = Outbox(engine)
    async with outbox.relay(bus, poll=0.05) as relay:
        add(engine, outbox, "1")
        await until(lambda: relay.sent == 1)
        own_postgres.kill()
        await until(lambda: "events wait" in caplog.text)
        await asyncio.sleep(0.5)
        assert caplog.text.count("events wait") == 1
        assert str(engine.url.password) not in caplog.text
        with pytest.raises(OutboxUnavailableError, match="is its server running"):
            await outbox.stats()
        await asyncio.to_thread(own_postgres.restart)
        await asyncio.to_thread(add_when_it_works, engine, outbox, "2")
        await until(lambda: bus.sent == ["1", "2"])
    engine.dispose()


def add_when_it_works(engine: sa.Engine, outbox: Outbox, id: str) -> None:
    """Connections of the pool are those of before the crash, until one of them was tried."""
    with suppress(sa.exc.OperationalError):
        add(engine, outbox, id)
        return
    add(engine, outbox, id)


async def test_a_server_that_is_killed_before_the_mark_makes_a_double(
    own_postgres: PrivatePostgres,
) -> None:
    """With the same id: what was confirmed is not known to be so."""
    engine, bus = prepared(sa.create_engine(sync_url(own_postgres.url))), Kept()
    outbox = Outbox(engine)
    add(engine, outbox, "1")
    forward = bus.forward

    async def forward_and_kill(event: RawEvent) -> None:
        await forward(event)
        if len(bus.sent) == 1:
            own_postgres.kill()
            await asyncio.to_thread(own_postgres.restart)

    bus.forward = forward_and_kill  # type: ignore[method-assign]
    async with outbox.relay(bus, poll=0.05):
        await until(lambda: len(bus.sent) == 2)
    with suppress(sa.exc.OperationalError):
        rows(engine)
    assert rows(engine, SENT) == ["1"]
    assert bus.sent == ["1", "1"]
    engine.dispose()


async def test_a_file_that_somebody_has_locked_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Beyond the driver's own patience."""
    url = f"sqlite:///{tmp_path}/shop.db"
    engine = prepared(sa.create_engine(url, connect_args={"timeout": 0.05}))
    outbox, bus = Outbox(engine), Kept()
    add(engine, outbox, "1")
    with closing(sqlite3.connect(tmp_path / "shop.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        async with outbox.relay(bus):
            await until(lambda: "locked" in caplog.text)
            assert bus.sent == []
            other.execute("COMMIT")
            await until(lambda: bus.sent == ["1"])
    engine.dispose()


def tables(engine: sa.Engine) -> list[str]:
    with suppress(sa.exc.OperationalError):
        return sa.inspect(engine).get_table_names()
    return []


async def test_a_relay_may_begin_before_its_database(own_postgres: PrivatePostgres) -> None:
    """It makes the tables when it can."""
    engine, bus = sa.create_engine(sync_url(own_postgres.url)), Kept()
    own_postgres.kill()
    outbox = Outbox(engine)
    async with outbox.relay(bus, poll=0.05):
        await asyncio.to_thread(own_postgres.restart)
        await until(lambda: "outbox_events" in tables(engine))
        add(engine, outbox, "1")
        await until(lambda: bus.sent == ["1"])
    engine.dispose()


# Wakings


async def test_an_event_wakes_the_relay(engine: sa.Engine, outbox: Outbox) -> None:
    """At its commit, though it was added long before."""
    bus = Kept()
    async with outbox.relay(bus, poll=NEVER):
        for number in range(3):
            with engine.begin() as connection:
                outbox.add(connection, placed(str(number)))
                await asyncio.sleep(0.1)
            await until(lambda: len(bus.sent) > number)  # noqa: B023  # it is waited for here


async def test_an_async_engine_wakes_the_relay(async_engine: AsyncEngine, url: str) -> None:
    bus, outbox = Kept(), Outbox(async_engine)
    async with outbox.relay(bus, poll=NEVER):
        async with async_engine.begin() as connection:
            await outbox.add(connection, placed("1"))
        await until(lambda: bus.sent == ["1"])


async def test_postgresql_wakes_relays_of_other_processes(
    postgres_url: str, tmp_path: Path
) -> None:
    """Here one of another engine, that hears of nothing in its own process."""
    engine = prepared(sa.create_engine(sync_url(postgres_url)))
    bus, far = Kept(), Outbox(sync_url(postgres_url))
    async with far.relay(bus, poll=NEVER) as relay:
        with engine.begin() as connection:
            # Whoever writes rows in another way wakes it by hand.
            Outbox(engine)
            connection.exec_driver_sql(
                "INSERT INTO outbox_events (type, id, source, time, correlation_id, body, "
                "ordering_key, slot) VALUES ('a', '1', 's', 0, '1', '{}', '1', 7)"
            )
            connection.exec_driver_sql("NOTIFY qt_events_outbox")
        await until(lambda: relay.sent == 1)
        # A connection that listens and is cut is made anew.
        with engine.connect() as connection:
            cut = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%%'"
            )
            assert connection.exec_driver_sql(cut).all() == [(True,)]
        add(engine, Outbox(engine), "2")
        await until(lambda: relay.sent == 2)
    far.close()
    engine.dispose()


# Leases


def held(engine: sa.Engine) -> list[tuple[str, int]]:
    with engine.connect() as connection:
        return [
            tuple(each) for each in connection.execute(sa.select(leases.c.token, leases.c.beats))
        ]


async def test_a_lease_that_stands_still_is_taken_over(
    file_engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while by the contender's own clock, whatever the clock on the wall says."""
    monkeypatch.setattr(lease, "LEASE", 0.3)
    outbox, bus = Outbox(file_engine), Kept()
    with file_engine.begin() as connection:
        token = "another-machine/pid:[1]/1 0"
        connection.execute(sa.insert(leases).values(name="relay", token=token, beats=7))
    add(file_engine, outbox, "1")
    began = asyncio.get_running_loop().time()
    async with outbox.relay(bus, poll=0.02):
        await until(lambda: bus.sent == ["1"])
        assert asyncio.get_running_loop().time() - began >= 0.3
        assert held(file_engine) != [(token, 7)]
    assert held(file_engine) == []


async def test_a_lease_that_is_counted_up_is_not_taken_over(
    file_engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relay that waits long for a confirm goes on counting."""
    monkeypatch.setattr(lease, "LEASE", 0.5)
    monkeypatch.setattr(lease, "BEAT", 0.05)
    outbox, slow, other = Outbox(file_engine), Kept(), Kept()
    gate, forward = asyncio.Event(), slow.forward

    async def wait_and_forward(event: RawEvent) -> None:
        await gate.wait()
        await forward(event)

    slow.forward = wait_and_forward  # type: ignore[method-assign]
    add(file_engine, outbox, "1")
    async with outbox.relay(slow, poll=0.02):
        await until(lambda: held(file_engine))
        async with outbox.relay(other, poll=0.02):
            await asyncio.sleep(1.0)
            gate.set()
            await until(lambda: slow.sent == ["1"])
            await until(lambda: rows(file_engine, SENT) == ["1"])
    assert other.sent == []


async def test_the_lease_of_a_process_that_is_gone_is_taken_over_at_once(
    file_engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE", NEVER)
    outbox, bus = Outbox(file_engine), Kept()
    if (child := os.fork()) == 0:
        os._exit(0)
    machine = lease._process().rpartition("/")[0]  # noqa: SLF001  # what a process writes down
    with file_engine.begin() as connection:
        token = f"{machine}/{child} 0"
        connection.execute(sa.insert(leases).values(name="relay", token=token, beats=7))
    add(file_engine, outbox, "1")
    async with outbox.relay(bus, poll=0.02):
        await until(lambda: bus.sent == ["1"])
    await asyncio.to_thread(os.waitpid, child, 0)


# Processes


def test_a_forked_child_has_connections_of_its_own(engine: sa.Engine, outbox: Outbox) -> None:
    """The parent's go on working, too."""
    add(engine, outbox, "1")
    if (child := os.fork()) == 0:
        try:
            add(engine, outbox, "2")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    add(engine, outbox, "3")
    assert rows(engine, WAITING) == ["1", "2", "3"]


def test_a_relay_in_a_thread(engine: sa.Engine, outbox: Outbox) -> None:
    """For programs without an event loop."""
    bus = Kept()
    add(engine, outbox, "1")
    with outbox.relay_thread(bus, poll=NEVER):
        add(engine, outbox, "2")
        asyncio.run(until(lambda: bus.sent == ["1", "2"]))
    assert rows(engine, SENT) == ["1", "2"]
    with engine.connect() as connection:
        ended = connection.scalars(sa.select(events.c.ended_at - events.c.added_at)).all()
    assert all(0 < each < 60_000_000 for each in ended)
