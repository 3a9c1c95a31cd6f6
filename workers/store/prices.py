"""Prices: closes that the feed has published."""

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

import sqlalchemy as sa

from workers.store.database import Database
from workers.store.tables import prices


class StoredClose(NamedTuple):
    """Closes of one trading day."""

    day: date
    closes: dict[str, float]  #: symbol -> close price


_ADD = sa.text(
    "INSERT INTO prices (day, closes) VALUES (:day, :closes) ON CONFLICT (day) DO NOTHING"
).bindparams(sa.bindparam("day", type_=sa.Date), sa.bindparam("closes", type_=sa.JSON))
_BETWEEN = (
    sa.select(prices)
    .where(prices.c.day > sa.bindparam("after"), prices.c.day <= sa.bindparam("through"))
    .order_by(prices.c.day)
)


class Prices:
    """One row a day."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, day: date, closes: Mapping[str, float]) -> None:
        """Keep the closes of a day; the same day again changes nothing."""
        row = {"day": day, "closes": dict(closes)}
        await self._database.write(lambda connection: connection.execute(_ADD, row))

    async def between(self, after: date | None, through: date) -> list[StoredClose]:
        """Return the days after `after` (None: from the first) up to and including `through`,
        oldest first.
        """
        days = {"after": after or date.min, "through": through}
        rows = await self._database.read(
            lambda connection: connection.execute(_BETWEEN, days).all()
        )
        return [StoredClose(*row) for row in rows]
