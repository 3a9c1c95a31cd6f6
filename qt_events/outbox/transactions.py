"""Transactions of the outbox's own, whatever the engine's kind, with named errors."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from qt_events.databases.urls import SECRETS, shown
from qt_events.outbox.engines import sync_engine_of
from qt_events.outbox.errors import OutboxSchemaError, OutboxUnavailableError

T = TypeVar("T")

#: PostgreSQL's codes of a table and of a column that are not there.
_NO_TABLE = ("42P01", "42703")


class Run(Protocol):
    """Calls a function with the connection of a transaction."""

    async def __call__(self, do: Callable[[sa.Connection], T], /) -> T: ...


class Transactions:
    """Transactions for coroutines.

    Raises:
        OutboxSchemaError: the tables are not there.
        OutboxUnavailableError: the database cannot be used now.
    """

    def __init__(self, engine: sa.Engine | AsyncEngine) -> None:
        self._engine = engine
        # One thread: a relay does one thing after the other, and SQLite's connections stay in it.
        self._thread: ThreadPoolExecutor | None = None

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Run]:
        """Begin a transaction; lend what calls a function with its connection; commit it."""
        engine = self._engine
        with named_errors(engine):
            if isinstance(engine, AsyncEngine):
                async with engine.begin() as lent:
                    yield lent.run_sync
                return
            connection: sa.Connection = await self._call(engine.connect)
            try:
                transaction = await self._call(connection.begin)
                yield partial(self._call_with, connection)
                await self._call(transaction.commit)
            finally:
                # What is not committed is rolled back.
                await self._call(connection.close)

    async def run(self, do: Callable[[sa.Connection], T]) -> T:
        """Call `do` in a transaction, and commit it."""
        engine = self._engine
        if isinstance(engine, AsyncEngine):
            with named_errors(engine):
                async with engine.begin() as lent:
                    return await lent.run_sync(do)
        return await self._call(run, engine, do)

    async def _call_with(self, connection: sa.Connection, do: Callable[[sa.Connection], T]) -> T:
        return await self._call(do, connection)

    async def _call(self, do: Callable[..., T], *arguments: Any) -> T:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "qt_events-outbox")
        return await asyncio.get_running_loop().run_in_executor(self._thread, do, *arguments)

    def close(self) -> None:
        """End the thread."""
        if self._thread is not None:
            self._thread.shutdown(wait=False)


def run(engine: sa.Engine, do: Callable[[sa.Connection], T]) -> T:
    """Call `do` in a transaction, and commit it. Errors: see Transactions."""
    with named_errors(engine), engine.begin() as connection:
        return do(connection)


# Errors


@contextmanager
def named_errors(engine: sa.Engine | AsyncEngine) -> Iterator[None]:
    """Give errors of the database our names."""
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        url = sync_engine_of(engine).url
        if is_about_tables(cause):
            raise no_tables(url, cause) from None
        raise OutboxUnavailableError(
            f"the outbox in {shown(url)} cannot be used now ({_text(cause, url)}): is its server "
            "running, its disk not full, and may this user write it?"
        ) from None


def is_about_tables(error: BaseException) -> bool:
    """Tell whether a driver misses a table, or a column."""
    text = str(error)
    return (
        "no such table" in text
        or "has no column named" in text
        or getattr(error, "sqlstate", None) in _NO_TABLE
    )


def no_tables(url: sa.URL, cause: BaseException) -> OutboxSchemaError:
    """Return the error for a database without tables of this release."""
    return OutboxSchemaError(
        f"{shown(url)} has no tables of an outbox, or older ones ({_text(cause, url)}): "
        "`await outbox.open()` makes them when your program starts, `qt-events outbox upgrade "
        "--store URL` by hand"
    )


def _text(error: BaseException, url: sa.URL) -> str:
    """Return the driver's text on one line, without passwords."""
    text = " ".join(str(error).split())
    for secret in (url.password, *map(url.query.get, SECRETS)):
        if isinstance(secret, str) and secret:
            text = text.replace(secret, "***")
    return text
