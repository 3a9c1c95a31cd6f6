"""Listening: PostgreSQL wakes a relay at the commit of a transaction with events (LISTEN).

Where it cannot, by a pool between or a driver that is not known here, relays look now and then.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from qt_events.outbox.rows import CHANNEL

logger = logging.getLogger("qt_events")

#: Seconds between two tries to listen.
PAUSE = 5.0


class Listening:
    """One connection that listens, beside the engine's pool. For one event loop."""

    def __init__(self, engine: sa.Engine | AsyncEngine, wake: Callable[[], None]) -> None:
        self._engine, self._wake = engine, wake
        self._connection: Any = None
        self._descriptor: int | None = None
        self._task: asyncio.Task[None] | None = None
        self._next = 0.0

    @property
    def is_on(self) -> bool:
        """True while PostgreSQL would wake the relay."""
        return self._descriptor is not None or (self._task is not None and not self._task.done())

    async def keep(self) -> None:
        """Listen, if that is not so already."""
        if self.is_on or monotonic() < self._next or self._engine.dialect.name != "postgresql":
            return
        self._next = monotonic() + PAUSE
        await self.close()
        try:
            await self._begin()
        # The driver's own: nothing translates what a raw connection raises.
        except Exception as error:  # noqa: BLE001
            logger.debug("outbox: PostgreSQL cannot wake this relay: %s", error)
            await self.close()
        else:
            # What was committed before is not told.
            self._wake()

    async def _begin(self) -> None:
        if isinstance(self._engine, AsyncEngine):
            if self._engine.dialect.driver == "psycopg":
                self._task = asyncio.create_task(self._listen(await self._opened(self._engine)))
        elif self._engine.dialect.driver == "psycopg":
            await asyncio.to_thread(self._open, self._engine)
            loop, self._descriptor = asyncio.get_running_loop(), self._connection.fileno()
            loop.add_reader(self._descriptor, self._read)

    # A plain engine: the loop watches the connection's socket

    def _open(self, engine: sa.Engine) -> None:
        lent = engine.raw_connection()
        self._connection = lent.driver_connection
        # It is none of the pool's any more.
        lent.detach()
        self._connection.autocommit = True
        self._connection.execute(f"LISTEN {CHANNEL}")

    def _read(self) -> None:
        try:
            for _ in self._connection.notifies(timeout=0):
                self._wake()
        except Exception as error:  # noqa: BLE001  # psycopg's; the connection is opened again
            logger.debug("outbox: the connection that listens is lost: %s", error)
            self._forget()
            self._wake()

    def _forget(self) -> None:
        if self._descriptor is not None:
            with suppress(RuntimeError, ValueError):
                asyncio.get_running_loop().remove_reader(self._descriptor)
            self._descriptor = None

    # An async engine: a task waits

    async def _opened(self, engine: AsyncEngine) -> Any:
        lent = await engine.raw_connection()
        self._connection = lent.driver_connection
        lent.detach()
        await self._connection.set_autocommit(True)
        await self._connection.execute(f"LISTEN {CHANNEL}")
        return self._connection

    async def _listen(self, connection: Any) -> None:
        try:
            async for _ in connection.notifies():
                self._wake()
        except Exception as error:  # noqa: BLE001  # the same
            logger.debug("outbox: the connection that listens is lost: %s", error)
            self._wake()

    async def close(self) -> None:
        """Listen no more."""
        self._forget()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        connection, self._connection = self._connection, None
        if connection is not None:
            closed = connection.close()
            if closed is not None:
                await closed
