"""Rows that somebody changed by hand: an error names the row, and the others are still found."""

from contextlib import closing

import pytest
import sqlalchemy as sa

from qt_events.history import ChangedRowError, EventFilter
from qt_events.history.asking import find, trace
from qt_events.history.stores.database import Database
from qt_events.history.stores.sql_store import SqlStore
from tests.support.stored import fate, many, raw

UPDATE = "UPDATE history_events SET {} WHERE id = '2'"
LONG = "x" * 4096


def change(url: str, statement: str) -> None:
    with closing(Database(url)) as database, database.writing() as connection:
        connection.execute(sa.text(statement))


@pytest.mark.parametrize("changed", [
    "time = 9000000000000000000",
    "recorded_at = -9000000000000000000",
    # Its whole id is in its body alone.
    f"id = '{LONG[:200]}\\#{'0' * 32}', body = 'no JSON'",
])  # fmt: skip
def test_a_row_that_cannot_be_read_is_named_and_the_others_are_found(
    sql_store: SqlStore, url: str, changed: str
) -> None:
    sql_store.append(many(5))
    if url.startswith("postgresql"):
        changed = changed.replace("'no JSON'", "convert_to('no JSON', 'UTF8')")
    change(url, UPDATE.format(changed))
    with pytest.raises(ChangedRowError, match="history_events with sequence = 3 was changed"):
        sql_store.page()
    assert [each.event.id for each in sql_store.page(limit=2)] == ["0", "1"]
    assert [each.event.id for each in sql_store.page(after=3)] == ["3", "4"]
    assert find(sql_store, "4").event.id == "4"
    assert sql_store.append(many(6)) >= 1
    change(url, "DELETE FROM history_events WHERE sequence = 3")
    assert {"0", "1", "3", "4", "5"} <= {each.event.id for each in sql_store.page()}


def test_a_fate_that_cannot_be_read_is_named(sql_store: SqlStore, url: str) -> None:
    sql_store.append([raw()])
    sql_store.append_fates([fate(), fate(subscription="audit")])
    change(url, "UPDATE history_fates SET at = 9000000000000000000 WHERE subscription = 'audit'")
    with pytest.raises(ChangedRowError, match="history_fates with sequence = 2 was changed"):
        sql_store.fates_of(["1"])


@pytest.mark.parametrize("changed", [
    "body = :garbage", "correlation_id = 'elsewhere'", "causation_id = id", "type = ''",
    "content_type = 'text/html'", "source = 'somebody'",
])  # fmt: skip
def test_what_can_be_read_is_shown_as_it_is_now(
    sql_store: SqlStore, url: str, changed: str
) -> None:
    sql_store.append([raw(), raw("2", correlation_id="1", causation_id="1")])
    with closing(Database(url)) as database, database.writing() as connection:
        given = {"garbage": b"\xff{"} if ":garbage" in changed else {}
        connection.execute(sa.text(UPDATE.format(changed)), given)
    assert [each.event.id for each in sql_store.page()] == ["1", "2"]
    assert trace(sql_store, "2").events in {1, 2}
    assert sql_store.count(EventFilter(id="2")) == 1
