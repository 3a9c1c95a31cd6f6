"""Tables, as the last migration leaves them.

Their names begin with `outbox_`: they are among the tables of your own. Events have only printable
texts of 255 bytes at most, so that plain columns take them all.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

metadata = sa.MetaData()

#: Values of `state`: not sent yet; sent, and confirmed; refused for good.
WAITING, SENT, DEAD = 0, 1, 2
#: Number of slots. One relay at a time has a slot, and with it all keys that fall into it.
SLOTS = 64


class now_microseconds(FunctionElement[int]):  # noqa: N801  # functions have such names in SQL
    """Time in microseconds since 1970, by the clock of the database."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(now_microseconds, "sqlite")
def _of_sqlite(*_: Any, **__: Any) -> str:
    # unixepoch('subsec') needs SQLite 3.42.
    return "(CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER))"


@compiles(now_microseconds, "postgresql")
def _of_postgresql(*_: Any, **__: Any) -> str:
    return "(CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT))"


def _sequence() -> sa.Column[Any]:
    # Only an INTEGER PRIMARY KEY grows by itself on SQLite; it has 64 bits there.
    kind = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    return sa.Column("sequence", kind, primary_key=True, autoincrement=True)


def _index(name: str, *columns: str, where: str) -> sa.Index:
    condition = sa.text(where)
    return sa.Index(name, *columns, sqlite_where=condition, postgresql_where=condition)


events = sa.Table(
    "outbox_events",
    metadata,
    _sequence(),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    # In microseconds since 1970: exact, and of any year.
    sa.Column("time", sa.BigInteger, nullable=False),
    sa.Column("correlation_id", sa.Text, nullable=False),
    sa.Column("causation_id", sa.Text),
    # CloudEvents JSON, as on the wire.
    sa.Column("body", sa.LargeBinary, nullable=False),
    # Events of one key go one after the other.
    sa.Column("ordering_key", sa.Text, nullable=False),
    sa.Column("slot", sa.SmallInteger, nullable=False),
    sa.Column("added_at", sa.BigInteger, nullable=False, server_default=now_microseconds()),
    sa.Column("state", sa.SmallInteger, nullable=False, server_default=sa.text("0")),
    # Of being sent, or given up.
    sa.Column("ended_at", sa.BigInteger),
    sa.Column("reason", sa.Text),
    _index("outbox_events_waiting", "slot", "sequence", where="state = 0"),
    _index("outbox_events_sent", "ended_at", where="state = 1"),
    _index("outbox_events_dead", "sequence", where="state = 2"),
    # Else SQLite would give the number of a pruned event to a new one.
    sqlite_autoincrement=True,
)

#: Relays that take turns where there are no advisory locks: one at a time has the lease.
leases = sa.Table(
    "outbox_leases",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("token", sa.Text, nullable=False),
    # Counted up by whoever has the lease, for others to see that it lives.
    sa.Column("beats", sa.BigInteger, nullable=False),
)
