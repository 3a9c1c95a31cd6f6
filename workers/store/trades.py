"""Trades, in one set of books for each component that keeps some. Money is in whole cents."""

from datetime import date
from typing import Literal, NamedTuple

import sqlalchemy as sa

from qt_events import Side
from workers.store.database import Database
from workers.store.tables import trades


class Trade(NamedTuple):
    """An executed order."""

    order_id: str
    day: date
    symbol: str
    side: Side
    size: int  #: units
    price: float
    strategy_id: str
    model: str
    pnl_cents: int | None  #: of a sale


_COLUMNS = [trades.c[name] for name in Trade._fields]
_ADD = sa.text(
    f"INSERT INTO trades (book, {', '.join(Trade._fields)}) "  # noqa: S608  # names of columns
    f"VALUES (:book, :{', :'.join(Trade._fields)}) "
    "ON CONFLICT (book, order_id) DO NOTHING RETURNING order_id"
).bindparams(sa.bindparam("day", type_=sa.Date))
_OF_BOOK = trades.c.book == sa.bindparam("of_book")
_BETWEEN = sa.select(*_COLUMNS).where(
    _OF_BOOK, trades.c.day > sa.bindparam("after"), trades.c.day <= sa.bindparam("through")
)
_COUNT = sa.select(sa.func.count()).select_from(trades).where(_OF_BOOK)


class Trades:
    """One row for each book and order."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, book: str, trade: Trade) -> bool:
        """Enter a trade, once for each order id, and return True if it is new."""
        row = {"book": book, **trade._asdict(), "side": trade.side.value}
        return await self._database.write(
            lambda connection: connection.execute(_ADD, row).first() is not None
        )

    async def between(self, book: str, after: date | None, through: date) -> list[Trade]:
        """Return the trades of days after `after` (None: from the first) up to and including
        `through`.

        They are sorted by day, then order id.
        """
        which = {"of_book": book, "after": after or date.min, "through": through}
        rows = await self._database.read(
            lambda connection: connection.execute(_BETWEEN, which).all()
        )
        found = [Trade(*row)._replace(side=Side(row.side)) for row in rows]
        return sorted(found, key=lambda trade: (trade.day, trade.order_id))

    async def count(self, book: str) -> int:
        """Return the number of trades in a book."""
        which = {"of_book": book}
        return await self._database.read(
            lambda connection: int(connection.execute(_COUNT, which).scalar_one())
        )

    async def profit(
        self, book: str, by: Literal["strategy_id", "model", "symbol"]
    ) -> dict[str, int]:
        """Return the profit of sales in cents by the values of a column, sorted by them."""
        column = trades.c[by]
        query = sa.select(column, sa.func.sum(trades.c.pnl_cents))
        query = query.where(trades.c.book == book, trades.c.pnl_cents.is_not(None)).group_by(column)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return {str(name): int(cents) for name, cents in sorted(rows, key=lambda row: str(row[0]))}
