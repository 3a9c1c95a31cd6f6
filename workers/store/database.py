"""Database: connections for threads and processes, transactions, and the one border where its errors get names.

SQLAlchemy's plain engine, reached from async handlers through threads: a connection then belongs to no event loop,
which a Celery pool may have one of, many of, or none.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event

from workers.store.errors import InvalidStoreUrlError, StoreUnavailableError
from workers.store.migrations import upgrade

T = TypeVar("T")

BUSY_TIMEOUT = 30.0  # seconds that a write waits for another process's
_CONNECT_TIMEOUT = 5  # seconds, PostgreSQL
_POSTGRESQL = "postgresql+psycopg"
_DRIVERS = {"sqlite": "sqlite", "postgresql": _POSTGRESQL, "postgres": _POSTGRESQL, _POSTGRESQL: _POSTGRESQL}
_EXAMPLES = "sqlite:///qt_events.db or postgresql://user:password@host:5432/name"


class Database:
    """One database, for all threads of a process and for the processes forked from it.

    Nothing is opened before the first use; the schema is brought up to date then.

    Args:
        url: `sqlite:///file`, `postgresql://user:password@host/name`.
        busy_timeout: seconds that a write waits for another process's.

    Raises:
        InvalidStoreUrlError: it is none of these.
    """

    def __init__(self, url: str, *, busy_timeout: float = BUSY_TIMEOUT) -> None:
        self.url, self._busy_timeout = _checked(url), busy_timeout
        self._opening = Lock()
        self._engine: sa.Engine | None = None
        self._pid = os.getpid()

    def __repr__(self) -> str:
        return f"Database({self})"

    def __str__(self) -> str:
        return self.url.render_as_string(hide_password=True)

    async def read(self, query: Callable[[sa.Connection], T]) -> T:
        """What `query` finds; StoreUnavailableError if it cannot be asked."""
        return await asyncio.to_thread(self._in_transaction, query, writes=False)

    async def write(self, change: Callable[[sa.Connection], T]) -> T:
        """What `change` says, once it is on disk; StoreUnavailableError if it is not."""
        return await asyncio.to_thread(self._in_transaction, change, writes=True)

    def _in_transaction(self, work: Callable[[sa.Connection], T], *, writes: bool) -> T:
        with self._translated(), self._opened().connect() as connection:
            if writes:
                self._begin(connection)
            result = work(connection)
            connection.commit()
            return result

    def _begin(self, connection: sa.Connection) -> None:
        """On SQLite, who is going to write says so at once: two who find out halfway would wait for each other."""
        if self._is_sqlite:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    def dispose(self) -> None:
        """Close what is open; it may be used again."""
        with self._opening:
            if self._engine is not None:
                self._engine.dispose(close=self._pid == os.getpid())
            self._engine = None

    @property
    def _is_sqlite(self) -> bool:
        return self.url.drivername == "sqlite"

    def _opened(self) -> sa.Engine:
        """This process's engine: a connection shared across a fork would serve two masters."""
        with self._opening:
            if self._engine is None or self._pid != os.getpid():
                if self._engine is not None:
                    self._engine.dispose(close=False)
                engine = self._sqlite() if self._is_sqlite else self._postgresql()
                with engine.connect() as connection:
                    self._begin(connection)
                    upgrade(connection, str(self))
                    connection.commit()
                self._engine, self._pid = engine, os.getpid()
            return self._engine

    def _sqlite(self) -> sa.Engine:
        engine = sa.create_engine(self.url, connect_args={"timeout": self._busy_timeout})
        event.listen(engine, "connect", _prepare_sqlite)
        return engine

    def _postgresql(self) -> sa.Engine:
        limits = f"-c lock_timeout={self._busy_timeout * 1000:.0f} -c statement_timeout=60000"
        arguments = {"connect_timeout": _CONNECT_TIMEOUT, "tcp_user_timeout": 10_000, "options": limits}
        return sa.create_engine(self.url, connect_args=arguments, pool_pre_ping=True)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError) as error:
            said = " ".join(str(getattr(error, "orig", None) or error).split())
            message = f"the database {self} cannot be used now ({said}): is it running, and its disk not full?"
            raise StoreUnavailableError(message.replace(self.url.password or "\0", "***")) from None


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # Database says BEGIN, not the driver; reading needs none
    with suppress(sqlite3.OperationalError):  # another process does the same at this moment; the file remembers it
        connection.execute("PRAGMA journal_mode=WAL")  # readers and a writer do not wait for each other
    connection.execute("PRAGMA synchronous=NORMAL")  # with WAL: whole after a crash of this program or of its machine


def _checked(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        message = f"this is no database URL: write {_EXAMPLES}"  # it may hold a password
        raise InvalidStoreUrlError(message) from None
    driver = _DRIVERS.get(parsed.drivername)
    if driver is None:
        message = f"no store for {parsed.drivername!r}: write {_EXAMPLES}"
        raise InvalidStoreUrlError(message)
    if driver == "sqlite" and parsed.database in {None, "", ":memory:"}:
        message = f"a database in memory would be another one for each connection: name a file, such as {_EXAMPLES}"
        raise InvalidStoreUrlError(message)
    if driver == _POSTGRESQL:
        _must_have_driver()
    return parsed.set(drivername=driver)


def _must_have_driver() -> None:
    try:
        import psycopg  # noqa: F401, PLC0415  # the extra `postgresql`
    except ImportError:
        message = "PostgreSQL needs its driver: pip install 'qt-events[postgresql]'"
        raise InvalidStoreUrlError(message) from None
