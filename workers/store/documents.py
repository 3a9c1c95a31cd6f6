"""Documents: what a component knows, or did, as JSON under a kind and a key."""

from typing import Any

import sqlalchemy as sa

from workers.store.database import Database
from workers.store.tables import documents


class Documents:
    """A row for each kind and key."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, kind: str, key: str, value: dict[str, Any]) -> None:
        """Keep it, in place of what was there."""
        insert = self._database.insert(documents).values(kind=kind, key=key, value=value)
        upsert = insert.on_conflict_do_update(index_elements=["kind", "key"], set_={"value": insert.excluded.value})
        await self._database.write(lambda connection: connection.execute(upsert))

    async def add(self, kind: str, key: str, value: dict[str, Any]) -> bool:
        """Keep it unless there is one; whether it is new."""
        insert = self._database.insert(documents).values(kind=kind, key=key, value=value).on_conflict_do_nothing()
        new = insert.returning(documents.c.key)
        return await self._database.write(lambda connection: connection.execute(new).first() is not None)

    async def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """It, or None."""
        query = sa.select(documents.c.value).where(documents.c.kind == kind, documents.c.key == key)
        value: dict[str, Any] | None = await self._database.read(lambda connection: connection.execute(query).scalar())
        return value

    async def all(self, kind: str) -> dict[str, dict[str, Any]]:
        """All of a kind, by key, sorted."""
        query = sa.select(documents.c.key, documents.c.value).where(documents.c.kind == kind)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return dict(sorted((str(key), value) for key, value in rows))

    async def count(self, kind: str) -> int:
        """How many of a kind."""
        query = sa.select(sa.func.count()).select_from(documents).where(documents.c.kind == kind)
        return await self._database.read(lambda connection: int(connection.execute(query).scalar_one()))
