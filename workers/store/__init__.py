"""Store: the state that all processes share, in SQLite by default or in PostgreSQL.

database.py       connections, transactions, errors
postgresql.py     connections that give up on a silent server
tables.py         the schema
migrations/       its versions
prices.py         closes that the feed has published
documents.py      state and records of components, as JSON
trades.py         trades, in one set of books for each component that keeps some
policy_store.py   the current risk mode and the earlier ones
history.py        prices, as far as a process has read them
retry.py          for callers outside of handlers
errors.py         the errors
"""

import os
from typing import Self

import sqlalchemy as sa

from workers.store.database import Database
from workers.store.documents import Documents
from workers.store.errors import (
    InvalidStoreUrlError,
    StoreError,
    StoreSchemaError,
    StoreUnavailableError,
)
from workers.store.history import MarketHistory, NoPricesError
from workers.store.policy_store import PolicyStore
from workers.store.prices import Prices, StoredClose
from workers.store.tables import metadata
from workers.store.trades import Trade, Trades

__all__ = [
    "Database",
    "Documents",
    "InvalidStoreUrlError",
    "MarketHistory",
    "NoPricesError",
    "PolicyStore",
    "Prices",
    "Store",
    "StoreError",
    "StoreSchemaError",
    "StoreUnavailableError",
    "StoredClose",
    "Trade",
    "Trades",
]

DEFAULT_URL = "sqlite:///qt_events.db"


class Store:
    """All tables of one database; see Database for the URL."""

    def __init__(self, url: str = DEFAULT_URL) -> None:
        self._database = Database(url)
        self.documents = Documents(self._database)
        self.policies = PolicyStore(self._database)
        self.prices = Prices(self._database)
        self.trades = Trades(self._database)
        self.market = MarketHistory(self.prices)  #: as far as this process has read it

    @classmethod
    def from_environment(cls) -> Self:
        """Return the store of QT_DATABASE_URL, by default the file `qt_events.db` here."""
        return cls(os.environ.get("QT_DATABASE_URL") or DEFAULT_URL)

    async def is_empty(self) -> bool:
        """Return True if no table has a row."""
        queries = [sa.select(sa.exists().select_from(table)) for table in metadata.sorted_tables]
        return not await self._database.read(
            lambda connection: any(connection.scalar(query) for query in queries)
        )

    def dispose(self) -> None:
        """Close its connections; it may be used again."""
        self._database.dispose()
