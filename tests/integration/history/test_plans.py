"""Plans of queries: what a user asks for is looked up in an index, never by reading a table."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from qt_events.history.asking import trace
from qt_events.history.filters import EventFilter
from qt_events.history.stores.database import checked_url
from qt_events.history.stores.sql_store import SqlStore
from tests.support.stored import NOON, fate, raw

QUESTIONS: dict[str, Callable[[SqlStore], object]] = {
    "correlation": lambda store: store.page(EventFilter(correlation_id="7")),
    "id": lambda store: store.page(EventFilter(id="7")),
    "beginning": lambda store: store.beginning_with("7", limit=10),
    "cause": lambda store: store.page(EventFilter(causation_id="7")),
    "type": lambda store: store.page(EventFilter(pattern="t.7")),
    "fates": lambda store: store.fates_of(["7", "8"]),
    "dead": lambda store: store.page(EventFilter(dead=True)),
    "unhandled": lambda store: store.page(EventFilter(correlation_id="7", unhandled_by="audit")),
    "trace": lambda store: trace(store, "7"),
    "prune": lambda store: store.prune(EventFilter(until=NOON + timedelta(seconds=9))),
    "strays": lambda store: store.prune(EventFilter(until=NOON - timedelta(days=1))),
}


@contextmanager
def plans() -> Iterator[list[str]]:
    """Collect the plan of each query and deletion on the two large tables."""
    found: list[str] = []

    def explain(connection: Any, _: Any, statement: str, parameters: Any, *__: Any) -> None:
        if re.match(r"\s*(SELECT|DELETE).*FROM history_(events|fates)", statement, re.DOTALL):
            how = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
            cursor = connection.connection.cursor()
            cursor.execute(how + statement, parameters)
            found.append("\n".join(str(row[-1]) for row in cursor.fetchall()))

    sa.event.listen(sa.Engine, "before_cursor_execute", explain)
    try:
        yield found
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", explain)


@pytest.fixture
def filled(sql_store: SqlStore, url: str) -> SqlStore:
    """Return a store that is large enough for a scan to be a bad plan."""
    numbers = range(5_000)
    for begin in range(0, 5_000, 1_000):
        some = numbers[begin : begin + 1_000]
        sql_store.append(
            [
                raw(
                    *(str(n), f"t.{n % 50}"),
                    time=NOON + timedelta(seconds=n),
                    correlation_id=str(n // 10),
                    causation_id=str(n - 1),
                )
                for n in some
            ]
        )
        sql_store.append_fates([fate(str(n), outcome="done" if n % 500 else "dead") for n in some])
    if url.startswith("postgresql"):
        # As many as four subscriptions tell. Of 5,000 fates PostgreSQL 18 rather reads all, once,
        # than look for those of ten events.
        for name in ("ledger", "webhook", "metrics"):
            sql_store.append_fates([fate(str(n), name) for n in numbers])
        # Its autovacuum does that in the end. Nobody does it for SQLite, but anybody may.
        analyze(url)
    return sql_store


def analyze(url: str) -> None:
    engine = sa.create_engine(checked_url(url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("ANALYZE")
    engine.dispose()


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_table_is_scanned(filled: SqlStore, question: str) -> None:
    with plans() as found:
        QUESTIONS[question](filled)
    assert found
    for plan in found:
        assert "history_" in plan
        assert not re.search(r"SCAN (history|later)|Seq Scan", plan), plan
        # A range of all sequences is a scan by another name.
        assert not re.search(r"history_events USING INTEGER PRIMARY KEY \(rowid>", plan), plan


def test_dead_letters_are_not_looked_for_among_all_fates(filled: SqlStore, url: str) -> None:
    analyze(url)
    filled.close()
    with plans() as found:
        assert len(filled.page(EventFilter(dead=True))) == 10
    for plan in found:
        assert "history_fates_unfinished" in plan, plan
        assert not re.search(r"SCAN history|Seq Scan on history_fates", plan), plan


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_time_is_looked_up(filled: SqlStore, *, newest_first: bool) -> None:
    """Else all events before it would be read: their order is that of their recording."""
    late, early = NOON + timedelta(seconds=4_990), NOON + timedelta(seconds=10)
    which = EventFilter(until=early) if newest_first else EventFilter(since=late)
    with plans() as found:
        assert len(filled.page(which, newest_first=newest_first)) == 10
    for plan in found:
        assert "history_events_by_time" in plan, plan
        assert "Seq Scan" not in plan, plan


def test_unhandled_events_of_many_types_are_looked_for_in_their_order(
    filled: SqlStore, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the index of types SQLite would read nearly all of the table, and sort it."""
    monkeypatch.setattr("qt_events.history.stores.sql_store._MANY", 1_000)
    which = EventFilter(pattern="t.*", unhandled_by="risk_guard")
    with plans() as found:
        assert [each.event.id for each in filled.page(which, limit=3)] == ["0", "500", "1000"]
    if url.startswith("sqlite"):
        assert "TEMP B-TREE FOR ORDER BY" not in found[-1], found[-1]
    with plans() as found:
        filled.page(EventFilter(pattern="*.7", unhandled_by="risk_guard"))
    assert "history_events_by_type" in found[-1], found[-1]
