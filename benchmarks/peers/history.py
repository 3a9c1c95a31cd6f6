"""Contenders that keep events in a database: a History's store, and the driver alone."""

import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import psycopg

from benchmarks.trade import fields
from qt_events import RawEvent, TradeExecutedEvent
from qt_events.databases.columns import microseconds
from qt_events.history import History
from workers.fleet.postgres import PrivatePostgres

BATCH = 500
_COLUMNS = "type, source, id, time, recorded_at, correlation_id, causation_id, content_type, body"


def append(server: int, count: int) -> dict[str, float]:
    """Append batches through the store of a History, on SQLite or on a `server`."""
    return _on(server, count, _ours)


def append_bare(server: int, count: int) -> dict[str, float]:
    """Insert the same rows into the same table, by one executemany a transaction."""
    return _on(server, count, _bare)


def append_copied(server: int, count: int) -> dict[str, float]:
    """Insert them by COPY, which knows no `ON CONFLICT`; PostgreSQL only."""
    return _on(server, count, _copied)


Append = Callable[[list[RawEvent]], object]


def _on(server: int, count: int, contender: Callable[[str, list[Any]], Append]) -> dict[str, float]:
    with TemporaryDirectory() as folder:
        if not server:
            return _timed(f"sqlite:///{Path(folder)}/events.db", count, contender)
        with PrivatePostgres() as running:
            return _timed(running.url, count, contender)


def _timed(url: str, count: int, contender: Callable[[str, list[Any]], Append]) -> dict[str, float]:
    """Return events a second by the median batch."""
    batches = [
        [RawEvent.of(TradeExecutedEvent.create(**fields(number))) for number in range(BATCH)]
        for _ in range(count // BATCH + 1)
    ]
    history, opened = History(url), list[Any]()
    history.store.append(batches.pop())
    append_to, seconds = contender(url, opened), []
    for batch in batches:
        began = time.perf_counter()
        append_to(batch)
        seconds.append(time.perf_counter() - began)
    history.store.close()
    for each in opened:
        each.close()
    return {"rate": BATCH / median(seconds)}


def _ours(url: str, opened: list[Any]) -> Append:
    store = History(url).store
    opened.append(store)
    return store.append


def _bare(url: str, opened: list[Any]) -> Append:
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        connection.execute("PRAGMA synchronous=FULL")
        marks, begin = "?", "BEGIN IMMEDIATE"
    else:
        connection = psycopg.connect(url, autocommit=True)  # type: ignore[assignment]
        marks, begin = "%s", "BEGIN"
    opened.append(connection)
    places = ", ".join([marks] * 9)
    statement = f"INSERT INTO history_events ({_COLUMNS}) VALUES ({places})"  # noqa: S608

    def append_all(events: list[RawEvent]) -> None:
        cursor = connection.cursor()
        cursor.execute(begin)
        cursor.executemany(statement, _rows(events))
        cursor.execute("COMMIT")

    return append_all


def _copied(url: str, opened: list[Any]) -> Append:
    connection = psycopg.connect(url)
    opened.append(connection)

    def append_all(events: list[RawEvent]) -> None:
        with connection.cursor().copy(f"COPY history_events ({_COLUMNS}) FROM STDIN") as copy:
            for row in _rows(events):
                copy.write_row(row)
        connection.commit()

    return append_all


def _rows(events: Sequence[RawEvent]) -> list[tuple[Any, ...]]:
    return [
        (
            each.type, each.source, each.id, microseconds(each.time), microseconds(each.time),
            each.correlation_id, each.causation_id, each.content_type, each.body,
        )
        for each in events
    ]  # fmt: skip
