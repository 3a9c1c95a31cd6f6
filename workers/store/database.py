"""Database: connections for threads and processes, transactions, and named errors.

Async handlers reach SQLAlchemy's plain engine through threads: its connections belong to no event
loop, and a Celery pool may have one loop, many, or none.
"""

import asyncio
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from threading import Lock
from typing import Any, TypeVar
from weakref import WeakSet

import sqlalchemy as sa
from sqlalchemy import event

from workers.store.errors import InvalidStoreUrlError, StoreError, StoreUnavailableError
from workers.store.migrations import is_current, upgrade

T = TypeVar("T")

#: Seconds that a write waits for the write of another process.
BUSY_TIMEOUT = 30.0
_POSTGRESQL = "postgresql+psycopg"
_DRIVERS = {
    "sqlite": "sqlite",
    "postgresql": _POSTGRESQL,
    "postgres": _POSTGRESQL,
    _POSTGRESQL: _POSTGRESQL,
}
#: Secrets that libpq takes in the query of a URL.
_SECRETS = ("password", "sslpassword")
_EXAMPLES = "sqlite:///qt_events.db or postgresql://user:password@host:5432/name"


class Database:
    """One database, for all threads of a process and for the processes forked from it.

    Nothing is opened before the first use; the schema is brought up to date then.

    Args:
        url: `sqlite:///file`, `postgresql://user:password@host/name`.
        busy_timeout: seconds that a write waits for the write of another process, on SQLite.
            postgresql.py has the limits on PostgreSQL.

    Raises:
        InvalidStoreUrlError: `url` has none of these forms.
    """

    def __init__(self, url: str, *, busy_timeout: float = BUSY_TIMEOUT) -> None:
        self.url, self._busy_timeout = _checked_url(url), busy_timeout
        self._opening = Lock()
        self._engine: sa.Engine | None = None
        _databases.add(self)

    def __repr__(self) -> str:
        return f"Database({self})"

    def __str__(self) -> str:
        return self.url.difference_update_query(_SECRETS).render_as_string(hide_password=True)

    async def read(self, query: Callable[[sa.Connection], T]) -> T:
        """Return the result of `query`, or raise StoreError."""
        return await asyncio.to_thread(self._in_transaction, query, writes=False)

    async def write(self, change: Callable[[sa.Connection], T]) -> T:
        """Return the result of `change` once it is committed, or raise StoreError.

        A crash of this program loses nothing of it. With SQLite, a power failure may lose
        the last commits.
        """
        return await asyncio.to_thread(self._in_transaction, change, writes=True)

    def _in_transaction(self, work: Callable[[sa.Connection], T], *, writes: bool) -> T:
        with (
            self._named_errors(),
            self._lent_engine() as engine,
            engine.connect() as connection,
        ):
            if writes:
                self._begin(connection)
            result = work(connection)
            connection.commit()
            return result

    @contextmanager
    def _lent_engine(self) -> Iterator[sa.Engine]:
        """Lend the engine, and close its connections afterwards if it was given up meanwhile.

        A thread goes on with its transaction when the coroutine that waits for it is cancelled.
        """
        engine = self._open_engine()
        try:
            yield engine
        finally:
            if engine is not self._engine:
                engine.pool.dispose()

    def _begin(self, connection: sa.Connection) -> None:
        """Take SQLite's write lock at the start of a transaction.

        Two transactions that become writers halfway would wait for each other.
        """
        if self._is_sqlite:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    def dispose(self) -> None:
        """Close all connections, those in use after their transactions; it may be used again."""
        with self._opening:
            self.give_up_engine()

    def give_up_engine(self) -> None:
        """Close idle connections; those in use are closed by their threads."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.pool.dispose()

    def forget(self) -> None:
        """Start anew in a forked child: engine and lock belong to its parent."""
        self._opening, self._engine = Lock(), None

    @property
    def _is_sqlite(self) -> bool:
        return self.url.drivername == "sqlite"

    def _open_engine(self) -> sa.Engine:
        with self._opening:
            if self._engine is None:
                engine = self._new_engine()
                try:
                    self._bring_up_to_date(engine)
                except BaseException:
                    engine.dispose()
                    raise
                self._engine = engine
            return self._engine

    def _bring_up_to_date(self, engine: sa.Engine) -> None:
        with engine.connect() as connection:
            # Usually it is, and then no lock is needed.
            if is_current(connection):
                return
            connection.rollback()
            self._begin(connection)
            upgrade(connection, str(self))
            connection.commit()

    def _new_engine(self) -> sa.Engine:
        # NaN is no JSON. PostgreSQL refuses it, SQLite would keep it.
        strict = {"json_serializer": partial(json.dumps, allow_nan=False)}
        if not self._is_sqlite:
            from workers.store.postgresql import make_engine  # noqa: PLC0415  # the extra `postgresql`

            return make_engine(self.url, **strict)
        engine = sa.create_engine(self.url, connect_args={"timeout": self._busy_timeout}, **strict)
        event.listen(engine, "connect", _prepare_sqlite)
        return engine

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError) as error:
            text = self._error_text(error)
            advice = (
                "another process is writing"
                if "locked" in text
                else "is it running, and its disk not full?"
            )
            message = f"the database {self} cannot be used now ({text}): {advice}"
            raise StoreUnavailableError(message) from None
        # psycopg raises the last two for values that it cannot send.
        except (sa.exc.SQLAlchemyError, TypeError, ValueError) as error:
            text = self._error_text(error)
            message = f"the database {self} refuses: {text}; trying again does not help"
            raise StoreError(message) from None

    def _error_text(self, error: Exception) -> str:
        """Return the driver's text in one line, without passwords."""
        text = " ".join(str(getattr(error, "orig", None) or error).split())
        for secret in (self.url.password, *map(self.url.query.get, _SECRETS)):
            text = text.replace(str(secret or "\0"), "***")
        return text


# SQLite's locks belong to a process and are not inherited. A child of a process with an open file
# would believe that it holds them, and lose its writes when the parent closes the file. So idle
# connections are closed before a fork.
_databases: WeakSet[Database] = WeakSet()


def _before_fork() -> None:
    for database in tuple(_databases):
        database.give_up_engine()


def _after_fork() -> None:
    for database in tuple(_databases):
        database.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)


def _prepare_sqlite(connection: Any, _: object) -> None:
    # Database begins transactions itself; the driver must not.
    connection.isolation_level = None
    # With WAL readers and a writer do not wait for each other. The file keeps the mode, so an error
    # because another process sets it at this moment does not matter.
    with suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode=WAL")
    # With WAL the file stays whole after a crash of the program or of the machine.
    connection.execute("PRAGMA synchronous=NORMAL")


def _checked_url(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        # The text does not repeat the URL: it may hold a password.
        message = f"this is no database URL: write {_EXAMPLES}"
        raise InvalidStoreUrlError(message) from None
    driver = _DRIVERS.get(parsed.drivername)
    if driver is None:
        message = f"no store for {parsed.drivername!r}: write {_EXAMPLES}"
        raise InvalidStoreUrlError(message)
    if driver == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise InvalidStoreUrlError(
            "a database in memory would be another one for each connection: "
            f"name a file, such as {_EXAMPLES}"
        )
    if driver == _POSTGRESQL:
        _must_have_driver()
    return parsed.set(drivername=driver)


def _must_have_driver() -> None:
    try:
        import psycopg  # noqa: F401, PLC0415  # the extra `postgresql`
    except ImportError:
        message = "PostgreSQL needs its driver: pip install 'qt-events[postgresql]'"
        raise InvalidStoreUrlError(message) from None
