"""Trades, in as many books as there are components that keep some. Money is in whole cents."""

from datetime import date
from typing import Literal, NamedTuple

import sqlalchemy as sa

from qt_events import Side
from workers.store.database import Database
from workers.store.tables import trades


class Trade(NamedTuple):
    """An order that was carried out."""

    order_id: str
    day: date
    symbol: str
    side: Side
    size: int  #: units
    price: float
    strategy_id: str
    model: str
    pnl_cents: int | None  #: of a sale


class Trades:
    """A row for each book and order."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, book: str, trade: Trade) -> bool:
        """Enter it, once for each order id; whether it is new."""
        insert = self._database.insert(trades).values(book=book, **trade._asdict()).on_conflict_do_nothing()
        new = insert.returning(trades.c.order_id)
        return await self._database.write(lambda connection: connection.execute(new).first() is not None)

    async def between(self, book: str, after: date | None, through: date) -> list[Trade]:
        """Of days later than `after` (None: from the first), up to and with `through`; by day, then order id."""
        columns = [trades.c[name] for name in Trade._fields]
        query = sa.select(*columns).where(trades.c.book == book, trades.c.day <= through)
        if after is not None:
            query = query.where(trades.c.day > after)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        found = [Trade(*row)._replace(side=Side(row.side)) for row in rows]
        return sorted(found, key=lambda trade: (trade.day, trade.order_id))

    async def count(self, book: str, day: date | None = None) -> int:
        """How many, of a day or in all."""
        query = sa.select(sa.func.count()).select_from(trades).where(trades.c.book == book)
        if day is not None:
            query = query.where(trades.c.day == day)
        return await self._database.read(lambda connection: int(connection.execute(query).scalar_one()))

    async def profit(self, book: str, by: Literal["strategy_id", "model", "symbol"]) -> dict[str, int]:
        """Cents that sales brought, summed up by a column, and sorted by it."""
        column = trades.c[by]
        query = sa.select(column, sa.func.sum(trades.c.pnl_cents))
        query = query.where(trades.c.book == book, trades.c.pnl_cents.is_not(None)).group_by(column)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return {str(name): int(cents) for name, cents in sorted(rows, key=lambda row: str(row[0]))}
