"""Documents: state and records of components, as JSON under a kind and a key."""

from typing import Any

import sqlalchemy as sa

from workers.store.database import Database
from workers.store.tables import documents

# Statements are made once: that takes longer than their execution. ON CONFLICT is the same on both
# databases.
_VALUES = (
    "INSERT INTO documents (kind, key, value) VALUES (:kind, :key, :value) ON CONFLICT (kind, key)"
)
_PUT = sa.text(f"{_VALUES} DO UPDATE SET value = excluded.value").bindparams(
    sa.bindparam("value", type_=sa.JSON)
)
_ADVANCE = sa.text(
    f"{_VALUES} DO UPDATE SET value = excluded.value "
    "WHERE documents.value ->> 'day' <= excluded.value ->> 'day'"
).bindparams(sa.bindparam("value", type_=sa.JSON))
_ADD = sa.text(f"{_VALUES} DO NOTHING RETURNING key").bindparams(
    sa.bindparam("value", type_=sa.JSON)
)
_OF_KIND = documents.c.kind == sa.bindparam("of_kind")
_GET = sa.select(documents.c.value).where(_OF_KIND, documents.c.key == sa.bindparam("of_key"))
_ALL = sa.select(documents.c.key, documents.c.value).where(_OF_KIND)
_COUNT = sa.select(sa.func.count()).select_from(documents).where(_OF_KIND)


class Documents:
    """One row for each kind and key."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, kind: str, key: str, value: dict[str, Any]) -> None:
        """Keep a value in place of an earlier one."""
        row = {"kind": kind, "key": key, "value": value}
        await self._database.write(lambda connection: connection.execute(_PUT, row))

    async def advance(self, kind: str, key: str, value: dict[str, Any]) -> None:
        """Keep a value unless the row has a later `day` (ISO 8601): a late redelivery changes
        nothing.
        """
        row = {"kind": kind, "key": key, "value": value}
        await self._database.write(lambda connection: connection.execute(_ADVANCE, row))

    async def add(self, kind: str, key: str, value: dict[str, Any]) -> bool:
        """Keep a value unless there is one, and return True if it was kept."""
        row = {"kind": kind, "key": key, "value": value}
        return await self._database.write(
            lambda connection: connection.execute(_ADD, row).first() is not None
        )

    async def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """Return the value, or None."""
        which = {"of_kind": kind, "of_key": key}
        found = await self._database.read(
            lambda connection: connection.execute(_GET, which).first()
        )
        return found[0] if found else None

    async def all(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return all values of a kind by key, sorted."""
        rows = await self._database.read(
            lambda connection: connection.execute(_ALL, {"of_kind": kind}).all()
        )
        return dict(sorted((str(key), value) for key, value in rows))

    async def count(self, kind: str) -> int:
        """Return the number of values of a kind."""
        which = {"of_kind": kind}
        return await self._database.read(
            lambda connection: int(connection.execute(_COUNT, which).scalar_one())
        )
