"""Databases that are full, locked, read-only or away: a named error, and everything afterwards."""

import asyncio
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from qt_events.history import HistoryUnavailableError, NoHistoryError, recorder
from qt_events.history.stores import sqlite
from qt_events.history.stores.database import Database
from qt_events.history.stores.migrations import HEAD, version_of
from qt_events.history.stores.sql_store import SqlStore
from tests.support.stored import many, raw
from workers.fleet.postgres import PrivatePostgres


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


async def recorded_after(store: SqlStore, mend: Any) -> int:
    """Record a batch that has to wait, mend the store, and return the number of its events."""
    watched = Watched(store)
    recording = asyncio.create_task(watched.record(many(50)))
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


@pytest.mark.parametrize("by_another", [False, True])
def test_a_file_that_was_removed_or_replaced_is_opened_again(
    tmp_path: Path, by_another: bool
) -> None:
    """Nothing is written to a file without a name, and then acknowledged."""
    file, url = tmp_path / "events.db", f"sqlite:///{tmp_path}/events.db"
    with closing(SqlStore(url)) as store, closing(SqlStore(url)) as reader:
        store.append([raw("lost")])
        assert len(reader.page()) == 1
        for each in tmp_path.iterdir():
            each.unlink()
        if by_another:
            with closing(SqlStore(f"sqlite:///{tmp_path}/other.db")) as other:
                other.append([raw("other")])
            (tmp_path / "other.db").replace(file)
        assert store.append([raw("kept")]) == 1
        with closing(sqlite3.connect(file)) as found:
            ids = [
                row[0] for row in found.execute("SELECT id FROM history_events ORDER BY sequence")
            ]
        assert ids == (["other", "kept"] if by_another else ["kept"])
        assert [each.event.id for each in reader.page()] == ids


def test_a_file_that_is_removed_during_a_transaction_has_a_name(tmp_path: Path) -> None:
    file = tmp_path / "events.db"
    with closing(Database(f"sqlite:///{file}")) as database:
        writing = database.writing()
        writing.__enter__()
        file.unlink()
        with pytest.raises(HistoryUnavailableError, match="removed or replaced"):
            writing.__exit__(None, None, None)
        with database.writing() as connection:
            assert version_of(connection) == HEAD


def test_asking_leaves_another_programs_database_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "events.db"
    with closing(sqlite3.connect(file)) as theirs:
        theirs.execute("CREATE TABLE theirs (n)")
    before = file.read_bytes()
    with (
        closing(SqlStore(f"sqlite:///{file}", must_exist=True)) as store,
        pytest.raises(NoHistoryError),
    ):
        store.page()
    assert file.read_bytes() == before
    with closing(SqlStore(f"sqlite:///{file}")) as store:
        store.append([raw()])
    with closing(sqlite3.connect(file)) as found:
        assert found.execute("PRAGMA journal_mode").fetchone() == ("wal",)
