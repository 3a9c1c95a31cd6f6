"""Opening: tables and engine looked at once, before the first event."""

from threading import Lock
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from qt_events.databases.urls import shown
from qt_events.outbox.errors import WrongEngineError
from qt_events.outbox.outbox import Outbox


class Opening:
    """Opening of an inbox's tables, by whichever handler is called first."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._is_open = False
        # Else the threads of a worker would all do it.
        self._lock = Lock()

    def open_sync(self, engine: sa.Engine) -> None:
        """Make the tables if there are none.

        Raises:
            WrongEngineError: the engine commits each statement by itself.
            OutboxError: from Outbox.open.
        """
        if self._is_open:
            return
        with self._lock:
            if not self._is_open:
                with engine.connect() as connection:
                    _must_have_transactions(connection)
                self._outbox.open_sync()
                self._is_open = True

    async def open(self, engine: AsyncEngine) -> None:
        """Do the same by an AsyncEngine. Several may do it at a time: they do the same."""
        if not self._is_open:
            async with engine.connect() as connection:
                await connection.run_sync(_must_have_transactions)
            await self._outbox.open()
            self._is_open = True


def _must_have_transactions(connection: sa.Connection) -> None:
    # SQLite's own BEGIN holds there, too.
    driver: Any = connection.connection.dbapi_connection
    if connection.dialect.name != "sqlite" and getattr(driver, "autocommit", False) is True:
        raise WrongEngineError(
            f"the engine of {shown(connection.engine.url)} commits each statement by itself, so a "
            "note and a handler's effects cannot be one transaction: create it without "
            'isolation_level="AUTOCOMMIT"'
        )
