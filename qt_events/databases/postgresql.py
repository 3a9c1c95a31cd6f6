"""PostgreSQL: connections, and what it does in its own way."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, dialect, insert

from qt_events.databases.columns import index_text

__all__ = ["insert", "lock", "make_engine", "one_of", "parameters", "size", "values"]

#: Knows how many rows a condition fits.
ESTIMATES = True
#: A server that is gone without a word is given up after about 20 s; libpq alone waits for hours.
_PATIENCE = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
# Any number, the same in all processes.
_LOCK = 7_105_716_002


def make_engine(url: sa.URL) -> sa.Engine:
    """Return an engine. Nothing is opened yet."""
    given = {name: value for name, value in _PATIENCE.items() if name not in url.query}
    return sa.create_engine(url, connect_args=given, pool_pre_ping=True)


def prepare(_connection: sa.Connection) -> None:
    """Do nothing: a database needs no more than its tables."""


def lock(connection: sa.Connection) -> None:
    """Let only one transaction at a time write.

    Sequences then become visible in their order, and two recorders that write the same events do
    not wait for each other for ever.
    """
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")


def values(columns: list[sa.Column[Any]]) -> str:
    """Return what follows the names of columns in a statement that inserts many rows.

    Each column's values are one array: a row for itself would take three messages and a plan.
    """
    kinds = [each.type.compile(dialect()) for each in columns]  # type: ignore[no-untyped-call]
    arrays = ", ".join(f"%b::{kind}[]" for kind in kinds)
    return f"SELECT * FROM unnest({arrays})"  # noqa: S608  # these are names of types


def parameters(rows: list[tuple[Any, ...]]) -> tuple[list[Any], ...]:
    """Return the parameters of such a statement: it is executed once."""
    return tuple(map(list, zip(*rows, strict=True)))


def one_of(column: sa.Column[str], names: list[str]) -> sa.ColumnElement[bool]:
    """Compare a column with any number of names; a list of parameters ends at 65,535."""
    return column == sa.any_(sa.literal([index_text(each) for each in names], ARRAY(sa.Text)))


def exists(_url: sa.URL) -> bool:
    """Return True: connecting makes no database."""
    return True


def identity(_url: sa.URL) -> object:
    """Return None: nobody replaces a database under its server."""
    return None


def size(connection: sa.Connection, tables: Iterable[str]) -> int:
    """Return the bytes of tables with their indexes."""
    # Through pg_inherits: a table may have been partitioned, and is empty itself then.
    query = sa.text(
        "SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class WHERE oid IN "
        "(SELECT to_regclass(:table) UNION ALL "
        "SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass(:table))"
    )
    return sum(int(connection.scalar(query, {"table": table}) or 0) for table in tables)
