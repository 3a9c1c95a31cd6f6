"""What SQLite and PostgreSQL have that memory has not: files, servers, schemas, transactions."""

import asyncio
import os
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from qt_events.history.errors import (
    HistorySchemaError,
    HistoryUnavailableError,
    InvalidHistoryUrlError,
    NoHistoryError,
    RefusedRowError,
)
from qt_events.history.filters import EventFilter
from qt_events.history.recorder import Recorder
from qt_events.history.stores.database import Database, checked_url
from qt_events.history.stores.migrations import HEAD, VERSION_TABLE
from qt_events.history.stores.schema import metadata
from qt_events.history.stores.sql_store import SqlStore
from tests.support.fleet.forks import ForkingKeeper
from tests.support.stored import fate, many, raw

ROOT = Path(__file__).parents[3]
SET_VERSION = sa.text("UPDATE history_version SET version_num = :version")


def test_a_batch_is_kept_whole_or_not_at_all(sql_store: SqlStore) -> None:
    with pytest.raises(RefusedRowError):
        sql_store.append([raw("1"), raw("2", body=object())])
    assert sql_store.page() == []


def test_what_a_constraint_forbids_is_refused(sql_store: SqlStore) -> None:
    with pytest.raises(RefusedRowError, match="event_type"):
        sql_store.append_fates([fate(), fate("2", event_type=None)])
    assert sql_store.fates_of(["1"]) == []


def test_what_is_kept_stays_for_the_next_process(url: str) -> None:
    with closing(SqlStore(url)) as one:
        one.append([raw()])
        one.append_fates([fate()])
    with closing(SqlStore(url)) as other:
        assert [each.event for each in other.page()] == [raw()]
        assert other.fates_of(["1"]) == [fate()]


def test_tables_that_change_under_a_recorder_bury_nothing(sql_store: SqlStore, url: str) -> None:
    """An event waits: the error is none of its own, and soon says what mends it."""
    sql_store.append([raw("1")])
    engine = sa.create_engine(checked_url(url))
    rename = "ALTER TABLE history_events RENAME COLUMN {} TO {}"
    with engine.begin() as other:
        other.exec_driver_sql(rename.format("body", "content"))
        other.execute(SET_VERSION, {"version": "9999"})
    with pytest.raises(HistoryUnavailableError):
        sql_store.append([raw("2")])
    with pytest.raises(HistorySchemaError, match="9999"):
        sql_store.append([raw("2")])
    with engine.begin() as other:
        other.exec_driver_sql(rename.format("content", "body"))
        other.execute(SET_VERSION, {"version": HEAD})
    assert sql_store.append([raw("2")]) == 1
    engine.dispose()


def test_a_pattern_may_fit_any_number_of_types(sql_store: SqlStore, url: str) -> None:
    """PostgreSQL takes 65,535 parameters, SQLite as many as it was built for: here 1,000."""

    def limit(connection: Any, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 1_000)

    one, types = raw(), 2_000 if url.startswith("sqlite") else 66_000
    sa.event.listen(sa.Engine, "connect", limit)
    try:
        sql_store.append([replace(one, id=str(n), type=f"t.{n}") for n in range(types)])
        assert sql_store.count(EventFilter(pattern="t.*")) == types
        assert len(sql_store.page(EventFilter(pattern="*.*"), limit=3)) == 3
    finally:
        sa.event.remove(sa.Engine, "connect", limit)


def test_two_recorders_keep_each_event_once(url: str) -> None:
    """Both open the store at the same time, and write the same events in other orders."""
    stores = [SqlStore(url), SqlStore(url)]
    batches = [many(50, first=50 * number) for number in range(8)]
    together = Barrier(2)

    async def record(number: int) -> int:
        recorder = Recorder(stores[number])
        for batch in batches if number else reversed(batches):
            # It tries again where a slow machine makes a transaction longer than one is waited for.
            await recorder.record(batch if number else batch[::-1])
        return recorder.new

    def run(number: int) -> int:
        together.wait(60)
        return asyncio.run(record(number))

    with ThreadPoolExecutor(2) as threads:
        assert sum(threads.map(run, range(2))) == 400
    assert stores[0].stats().events == 400
    for store in stores:
        store.close()


def test_nobody_fails_who_makes_the_tables_at_the_same_time_as_others(url: str) -> None:
    """A recorder that starts with another one begins: no lock is an error at once."""
    stores, together = [SqlStore(url) for _ in range(4)], Barrier(4)

    def append(number: int) -> int:
        together.wait(60)
        return stores[number].append([raw(str(number)), raw("all")])

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(append, range(4))) == 5
    for store in stores:
        store.close()


FORKING = """
import os, sys
from qt_events.history.stores.sql_store import SqlStore
from tests.support.fleet.forks import ForkingKeeper
from tests.support.stored import raw

store = SqlStore(sys.argv[1])
store.append([raw("parent")])
if child := os.fork():
    assert os.waitpid(child, 0)[1] == 0
    assert store.append([raw("parent"), raw("child"), raw("later")]) == 1
else:
    assert store.append([raw("parent"), raw("child")]) == 1
store.close()
"""


def test_a_forked_child_has_connections_of_its_own(url: str) -> None:
    keeper = ForkingKeeper("qt-events-history-")
    try:
        command = [sys.executable, "-c", FORKING, url]
        process = keeper.spawn("forking", command, {**os.environ, "PYTHONPATH": str(ROOT)})
        assert process.wait(100) == 0, (keeper.folder / "forking.out").read_text()
    finally:
        keeper.close()


def test_the_tables_are_those_that_the_migrations_make(sql_store: SqlStore, url: str) -> None:
    sql_store.append([raw()])
    with closing(Database(url)) as database, database.reading() as connection:
        found = sa.inspect(connection)
        for table in metadata.sorted_tables:
            columns = {each["name"]: each["nullable"] for each in found.get_columns(table.name)}
            assert columns == {each.name: each.nullable for each in table.columns}
            indexes = {
                each["name"]: (each["column_names"], bool(each["unique"]))
                for each in found.get_indexes(table.name)
            }
            assert indexes == {
                each.name: ([column.name for column in each.columns], bool(each.unique))
                for each in table.indexes
            }
        assert found.has_table(VERSION_TABLE)


@pytest.mark.parametrize(("wrong", "command"), [
    ("0000", "qt-events history upgrade --store URL"),
    ("9999", r"pip install --upgrade 'qt-events\[history\]'"),
])  # fmt: skip
def test_tables_of_another_release_are_an_error_with_the_command_that_mends_it(
    sql_store: SqlStore, url: str, wrong: str, command: str
) -> None:
    sql_store.append([raw()])
    with closing(Database(url)) as database, database.writing() as connection:
        connection.execute(SET_VERSION, {"version": wrong})
    with pytest.raises(HistorySchemaError, match=rf"{wrong}.*{HEAD}.*{command}") as caught:
        SqlStore(url).append([raw("2")])
    assert (urlsplit(url).password or "hunter2") not in str(caught.value)


def test_an_upgrade_makes_no_history_and_leaves_a_later_one_as_it_is(url: str) -> None:
    """A misspelt URL is an error, as are tables of a release to come."""
    with closing(SqlStore(url)) as store, closing(Database(url)) as database:
        with pytest.raises(NoHistoryError, match="is it the right one"):
            store.upgrade()
        if url.startswith("sqlite"):
            assert not Path(url.removeprefix("sqlite:///")).exists()
        store.append([raw()])
        with database.writing() as connection:
            connection.execute(SET_VERSION, {"version": "9999"})
        with pytest.raises(HistorySchemaError, match=r"9999.*pip install"):
            store.upgrade()


def test_a_store_that_must_exist_is_not_made(url: str) -> None:
    with closing(SqlStore(url, must_exist=True)) as reader, closing(SqlStore(url)) as recorder:
        with pytest.raises(NoHistoryError, match="history record --store URL"):
            reader.page()
        if url.startswith("sqlite"):
            assert not Path(url.removeprefix("sqlite:///")).exists()
        recorder.append([raw()])
        assert len(reader.page()) == 1


@pytest.mark.parametrize("wrong", [
    "events.db", "mysql://qt:hunter2@localhost/x", "sqlite://", "sqlite:///:memory:", "",
    "postgresql://qt:p@hunter2@localhost/x", "postgresql://qt:p@hunter2@localhost:5432",
    "postgresql://qt:hunter2@localhost:port/x", "redis://:hunter2@localhost",
])  # fmt: skip
def test_a_wrong_url_is_refused_without_its_password(wrong: str) -> None:
    with pytest.raises(InvalidHistoryUrlError, match=r"sqlite:///events\.db") as caught:
        SqlStore(wrong)
    assert "hunter2" not in str(caught.value)


def test_a_table_partitioned_as_the_page_says_is_used_as_before(postgres_url: str) -> None:
    """The statements are those of docs/history.md, with a smaller first partition."""
    page = (ROOT / "docs" / "history.md").read_text()
    statements = page[page.index("BEGIN;") : page.index("COMMIT;")].removeprefix("BEGIN;")
    with closing(SqlStore(postgres_url)) as store, closing(Database(postgres_url)) as database:
        store.append(many(3))
        with database.writing() as connection:
            for each in statements.replace("20000000", "5").split(";"):
                connection.exec_driver_sql(each) if each.strip() else None
            connection.exec_driver_sql("CREATE UNIQUE INDEX ON history_events_2 (id, source)")
        assert store.append(many(6, first=3)) == 6
        # The last one is in the second partition, as the same event again is.
        assert store.append(many(1, first=8)) == 0
        assert [each.event.id for each in store.page()] == [str(n) for n in range(9)]
        assert store.stats().bytes > 0
        # Numbers go on without the first partition, which had them before.
        with database.writing() as connection:
            connection.exec_driver_sql("DROP TABLE history_events_until_now")
        assert store.append(many(1, first=9)) == 1
        assert store.prune(EventFilter()).events == 6
