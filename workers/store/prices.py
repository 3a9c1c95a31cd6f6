"""Prices: the closes that the feed has told of."""

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

import sqlalchemy as sa

from workers.store.database import Database
from workers.store.tables import prices


class StoredClose(NamedTuple):
    """One trading day's."""

    day: date
    closes: dict[str, float]  #: symbol -> close price


class Prices:
    """A row a day."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, day: date, closes: Mapping[str, float]) -> None:
        """Keep a day's; the same day again changes nothing."""
        insert = self._database.insert(prices).values(day=day, closes=dict(closes)).on_conflict_do_nothing()
        await self._database.write(lambda connection: connection.execute(insert))

    async def between(self, after: date | None, through: date) -> list[StoredClose]:
        """Days later than `after` (None: from the first), up to and with `through`; oldest first."""
        query = sa.select(prices).where(prices.c.day <= through).order_by(prices.c.day)
        if after is not None:
            query = query.where(prices.c.day > after)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [StoredClose(*row) for row in rows]
