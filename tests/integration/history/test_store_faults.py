"""Databases that are full, locked, read-only or away: a named error, and everything afterwards."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from os import urandom
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from qt_events import Event, InMemoryEventBus
from qt_events.databases import sqlite
from qt_events.events.raw import RawEvent
from qt_events.history import History, HistoryUnavailableError, recorder
from qt_events.history.stores.database import checked_url
from qt_events.history.stores.sql_store import SqlStore
from tests.support.stored import many, raw
from tests.support.waiting import until
from workers.fleet.postgres import PrivatePostgres

MIB = 1 << 20


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(recorder, "LONGEST_WAIT", 0.1)
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT", 0.05)


class Watched(recorder.Recorder):
    """A recorder that tells when a store could not be used."""

    def __init__(self, store: SqlStore) -> None:
        super().__init__(store)
        self.away = threading.Event()

    async def kept(self, keep: Any, what: str) -> Any:
        def watched() -> Any:
            try:
                return keep()
            except HistoryUnavailableError:
                self.away.set()
                raise

        return await super().kept(watched, what)


async def recorded_after(
    store: SqlStore, mend: Callable[[], object], events: Sequence[RawEvent] = tuple(many(50))
) -> int:
    """Record a batch that has to wait, mend the store, and return the number of its events."""
    watched = Watched(store)
    recording = asyncio.create_task(watched.record(events))
    assert await asyncio.to_thread(watched.away.wait, 60)
    mend()
    async with asyncio.timeout(60):
        await recording
    return store.stats().events


@pytest.mark.usefixtures("impatient")
async def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """SQLite says `full` at its own limit as it does at the disk's. Nothing of the batch is kept
    until there is room.
    """
    pages = [40]

    def limit(connection: Any, _: object) -> None:
        connection.execute(f"PRAGMA max_page_count={pages[0]}")

    with closing(SqlStore(f"sqlite:///{tmp_path}/events.db")) as store:
        store.append([raw("first")])
        sa.event.listen(sa.Engine, "connect", limit)
        try:
            store.close()
            with pytest.raises(HistoryUnavailableError, match="full"):
                store.append([raw(str(n), body=bytes(10_000)) for n in range(50)])
            assert store.stats().events == 1
            pages[0] = 1_000_000
            store.close()
            assert store.append([raw(str(n), body=bytes(10_000)) for n in range(50)]) == 50
        finally:
            sa.event.remove(sa.Engine, "connect", limit)


@pytest.mark.usefixtures("impatient")
async def test_a_full_disk_of_a_server_is_waited_for(own_postgres: PrivatePostgres) -> None:
    """The kernel refuses to make a file longer. Nothing of the batch is kept until there is room.

    Bodies of 16 MiB come back as they were.
    """
    large = [raw(f"large {n}", body=urandom(16 * MIB)) for n in range(2)]
    with closing(SqlStore(own_postgres.url)) as store:
        store.append([raw("first")])
        store.close()
        # Its log has files of 16 MiB, which it needs.
        own_postgres.limit_files(20 * MIB)
        with pytest.raises(HistoryUnavailableError, match="its disk not full"):
            store.append(large)
        assert store.stats().events == 1

        def mend() -> None:
            own_postgres.limit_files(None)

        assert await recorded_after(store, mend, large) == 3
        assert {each.event.body for each in store.page(after=1)} == {each.body for each in large}


async def test_tables_that_another_session_has_locked_are_waited_for(postgres_url: str) -> None:
    engine = sa.create_engine(checked_url(postgres_url))
    with closing(SqlStore(postgres_url)) as store:
        store.append([raw("first")])
        with engine.begin() as other:
            other.exec_driver_sql("LOCK TABLE history_events IN ACCESS EXCLUSIVE MODE")
            recording = asyncio.create_task(recorder.Recorder(store).record(many(50)))
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            await until(lambda: other.exec_driver_sql(waiting).scalar_one() > 0, 60)
            assert not recording.done()
        async with asyncio.timeout(60):
            await recording
        assert store.count() == 51
    engine.dispose()


@pytest.mark.usefixtures("impatient")
async def test_a_database_that_may_only_be_read_is_waited_for(postgres_url: str) -> None:
    engine = sa.create_engine(checked_url(postgres_url), isolation_level="AUTOCOMMIT")

    def allow(read_only: str) -> None:
        with engine.connect() as other:
            name = other.exec_driver_sql("SELECT current_database()").scalar_one()
            setting = "ALTER DATABASE {} SET default_transaction_read_only = {}"
            other.exec_driver_sql("SET default_transaction_read_only = off")
            other.exec_driver_sql(setting.format(name, read_only))

    with closing(SqlStore(postgres_url)) as store:
        store.append([raw("first")])
        store.close()
        allow("on")
        with pytest.raises(HistoryUnavailableError, match=r"read-only.*may this user write it"):
            store.append([raw("second")])
        assert await recorded_after(store, lambda: allow("off")) == 51
    engine.dispose()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_events_wait_for_a_database_that_is_away_for_ten_minutes(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock of its own: no attempt is counted, and each event is there once."""
    leave: Callable[[], object]
    come_back: Callable[[], object]
    if kind == "postgresql":
        server: PrivatePostgres = request.getfixturevalue("own_postgres")
        url, leave, come_back = server.url, server.kill, server.restart
    else:
        folder, elsewhere = tmp_path / "there", tmp_path / "elsewhere"
        folder.mkdir()
        url = f"sqlite:///{folder}/events.db"
        leave, come_back = partial(folder.rename, elsewhere), partial(elsewhere.rename, folder)
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        before = sum(waits)
        waits.append(seconds)
        if before < 600 <= before + seconds:
            await asyncio.to_thread(come_back)

    monkeypatch.setattr(recorder, "sleep", sleep)
    history = History(url)
    async with InMemoryEventBus() as bus:
        history.attach(bus)
        await bus.publish(Event("recorded.happened"))
        await bus.join()
        await history.close()
        await asyncio.to_thread(leave)
        for _ in range(20):
            await bus.publish(Event("recorded.happened"))
        async with asyncio.timeout(120):
            await bus.join()
        assert bus.get_stats()["retries"] == bus.get_stats()["dead_letters"] == 0
    assert 600 <= sum(waits) < 700
    assert max(waits) == 30
    assert (await history.stats()).events == 21
    await history.close()


@pytest.mark.usefixtures("impatient")
async def test_a_locked_file_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "events.db"
    with closing(SqlStore(f"sqlite:///{file}")) as store:
        store.append([raw("first")])
        store.close()
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(HistoryUnavailableError, match="locked"):
                store.append([raw("second")])
            assert await recorded_after(store, lambda: other.execute("ROLLBACK")) == 51


def test_a_new_file_waits_for_another_programs_transaction(tmp_path: Path) -> None:
    """SQLite alone waits for no lock where it changes the file's mode."""
    file, tried = tmp_path / "events.db", threading.Semaphore(0)

    def count(_: object, __: object, statement: str, *___: object) -> None:
        if "journal_mode" in statement:
            tried.release()

    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    try:
        with (
            closing(sqlite3.connect(file, isolation_level=None)) as other,
            closing(SqlStore(f"sqlite:///{file}")) as store,
            ThreadPoolExecutor(1) as thread,
        ):
            other.execute("CREATE TABLE theirs (n)")
            other.execute("BEGIN IMMEDIATE")
            appended = thread.submit(store.append, [raw()])
            appended.add_done_callback(lambda _: tried.release(2))
            assert all(tried.acquire(timeout=60) for _ in range(2))
            assert not appended.done()
            other.execute("ROLLBACK")
            assert appended.result(60) == 1
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", count)


def test_a_file_that_may_not_be_written_has_a_name(tmp_path: Path) -> None:
    file = tmp_path / "events.db"
    with closing(SqlStore(f"sqlite:///{file}")) as store:
        store.append([raw("first")])
    url = f"sqlite:///file:{file}?mode=ro&uri=true"
    with closing(SqlStore(url, must_exist=True)) as store:
        with pytest.raises(HistoryUnavailableError, match=r"readonly.*may this user write it"):
            store.append([raw("second")])
        assert len(store.page()) == 1


def test_a_folder_that_is_not_there_has_a_name(tmp_path: Path) -> None:
    with (
        closing(SqlStore(f"sqlite:///{tmp_path}/no/events.db")) as store,
        pytest.raises(HistoryUnavailableError, match="unable to open database file"),
    ):
        store.append([raw()])


def test_what_is_no_database_has_a_name(tmp_path: Path) -> None:
    file = tmp_path / "events.db"
    file.write_bytes(b"not a database at all" * 100)
    with (
        closing(SqlStore(f"sqlite:///{file}")) as store,
        pytest.raises(HistoryUnavailableError, match="file is not a database"),
    ):
        store.append([raw()])


@pytest.mark.usefixtures("impatient")
async def test_a_server_that_is_away_is_waited_for(own_postgres: PrivatePostgres) -> None:
    """The error does not show the password, and the same store goes on."""
    with closing(SqlStore(own_postgres.url)) as store:
        store.append([raw("first")])
        own_postgres.kill()
        with pytest.raises(HistoryUnavailableError, match=r"127\.0\.0\.1") as away:
            store.append([raw("second")])
        assert str(urlsplit(own_postgres.url).password) not in str(away.value)
        assert await recorded_after(store, own_postgres.restart) == 51


@pytest.mark.usefixtures("impatient")
async def test_a_server_that_is_killed_in_mid_batch_keeps_each_event_once(
    own_postgres: PrivatePostgres,
) -> None:
    """A batch whose commit was not answered is written again; no event of it is there twice."""
    with closing(SqlStore(own_postgres.url)) as store:
        recording = recorder.Recorder(store)
        await recording.record([raw("first")])
        began = asyncio.Event()

        async def record() -> None:
            for number in range(40):
                await recording.record(many(50, first=50 * number))
                began.set()

        writing = asyncio.create_task(record())
        await began.wait()
        await asyncio.to_thread(own_postgres.kill)
        await asyncio.to_thread(own_postgres.restart)
        async with asyncio.timeout(90):
            await writing
        found = [each.event.id for each in store.page(limit=5000)]
        assert sorted(found) == sorted(["first", *map(str, range(2000))])


def test_a_wrong_password_is_refused_without_showing_it(postgres_url: str) -> None:
    with (
        closing(SqlStore(postgres_url.replace("@", "planted@", 1))) as store,
        pytest.raises(HistoryUnavailableError, match="authentication") as refused,
    ):
        store.append([raw()])
    assert "planted" not in str(refused.value)


def test_a_table_that_somebody_dropped_has_a_name(url: str) -> None:
    with closing(SqlStore(url)) as store:
        store.append([raw()])
        engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        with engine.begin() as connection:
            connection.execute(sa.text("DROP TABLE history_events"))
        engine.dispose()
        with pytest.raises(HistoryUnavailableError, match="history_events"):
            store.append([raw("2")])
