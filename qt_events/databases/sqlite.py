"""SQLite: connections, and what it does in its own way."""

import json
from collections.abc import Iterable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects.sqlite import insert

from qt_events.databases.columns import index_text

__all__ = ["insert", "lock", "make_engine", "one_of", "parameters", "size", "values"]

#: Knows how many rows a condition fits. Here nobody does: ANALYZE is run by nobody.
ESTIMATES = False
#: Seconds that a transaction waits for another process's.
BUSY_TIMEOUT = 5.0
_PAUSE = 0.01  #: seconds between two tries of what SQLite does not wait for itself


def make_engine(url: sa.URL) -> sa.Engine:
    """Return an engine. Nothing is opened yet."""
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_TIMEOUT})
    event.listen(engine, "connect", _prepare)
    return engine


def _prepare(connection: Any, _: object) -> None:
    # Transactions begin where `lock` says so; the driver must not.
    connection.isolation_level = None
    # An event is acknowledged after its commit, so the commit must survive a power failure.
    connection.execute("PRAGMA synchronous=FULL")


def prepare(connection: sa.Connection) -> None:
    """Prepare a database for tables. Those who only read one leave it as it is."""
    deadline = monotonic() + BUSY_TIMEOUT
    while True:
        try:
            # Readers and the writer do not wait for each other. The file keeps the mode.
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        except sa.exc.OperationalError as error:
            # SQLite's own waiting does not cover this: another one's lock is an error at once.
            if not _is_busy(error) or monotonic() > deadline:
                raise
            sleep(_PAUSE)
        else:
            return


def _is_busy(error: sa.exc.OperationalError) -> bool:
    return getattr(error.orig, "sqlite_errorname", None) == "SQLITE_BUSY"


def lock(connection: sa.Connection) -> None:
    """Begin a transaction that writes; others wait.

    Two that begin as readers and become writers would wait for each other.
    """
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def values(columns: list[sa.Column[Any]]) -> str:
    """Return what follows the names of columns in a statement that inserts many rows."""
    return f"VALUES ({', '.join('?' * len(columns))})"


def parameters(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the parameters of such a statement: it is executed for each row."""
    return rows


def one_of(column: sa.Column[str], names: list[str]) -> sa.ColumnElement[bool]:
    """Compare a column with any number of names; a list of parameters ends at 32,766."""
    every = sa.func.json_each(json.dumps([index_text(each) for each in names]))
    return column.in_(sa.select(every.table_valued("value").c.value))


def exists(url: sa.URL) -> bool:
    """Tell whether the database is there. Opening it would make the file."""
    return _path(url).exists()


def identity(url: sa.URL) -> object:
    """Return what is another one if the file was replaced, and None if it is not there."""
    try:
        found = _path(url).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _path(url: sa.URL) -> Path:
    # SQLite takes a URI, too: it may say `mode=ro`.
    return Path((url.database or "").removeprefix("file:"))


def size(connection: sa.Connection, _tables: Iterable[str]) -> int:
    """Return the bytes of the file, without room that pruned rows have left."""
    pages, free, each = (
        int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * each
