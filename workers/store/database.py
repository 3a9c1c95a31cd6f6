"""Database: connections for threads and processes, transactions, and the one border where its errors get names.

SQLAlchemy's plain engine, reached from async handlers through threads: a connection then belongs to no event loop,
which a Celery pool may have one of, many of, or none.
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

BUSY_TIMEOUT = 30.0  # seconds that a write waits for another process's
_POSTGRESQL = "postgresql+psycopg"
_DRIVERS = {
    "sqlite": "sqlite",
    "postgresql": _POSTGRESQL,
    "postgres": _POSTGRESQL,
    _POSTGRESQL: _POSTGRESQL,
}
_SECRETS = ("password", "sslpassword")  # what libpq takes in a URL's query
_EXAMPLES = "sqlite:///qt_events.db or postgresql://user:password@host:5432/name"


class Database:
    """One database, for all threads of a process and for the processes forked from it.

    Nothing is opened before the first use; the schema is brought up to date then.

    Args:
        url: `sqlite:///file`, `postgresql://user:password@host/name`.
        busy_timeout: seconds that a write waits for another process's; SQLite. On PostgreSQL, see postgresql.py.

    Raises:
        InvalidStoreUrlError: it is none of these.
    """

    def __init__(self, url: str, *, busy_timeout: float = BUSY_TIMEOUT) -> None:
        self.url, self._busy_timeout = _checked(url), busy_timeout
        self._opening = Lock()
        self._engine: sa.Engine | None = None
        _databases.add(self)

    def __repr__(self) -> str:
        return f"Database({self})"

    def __str__(self) -> str:
        return self.url.difference_update_query(_SECRETS).render_as_string(hide_password=True)

    async def read(self, query: Callable[[sa.Connection], T]) -> T:
        """What `query` finds; StoreError if it cannot be asked."""
        return await asyncio.to_thread(self._in_transaction, query, writes=False)

    async def write(self, change: Callable[[sa.Connection], T]) -> T:
        """What `change` says, once it is committed; StoreError if it is not.

        A crash of this program loses nothing of it. With SQLite, a power failure may lose the last commits.
        """
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
            self.close_idle()
            self._engine = None

    def close_idle(self) -> None:
        """Close the connections that nobody uses at this moment."""
        if self._engine is not None:
            self._engine.dispose()

    def forget(self) -> None:
        """Begin anew, in a forked child: the engine, and a lock that a thread may have held, are its parent's."""
        self._opening, self._engine = Lock(), None

    @property
    def _is_sqlite(self) -> bool:
        return self.url.drivername == "sqlite"

    def _opened(self) -> sa.Engine:
        with self._opening:
            if self._engine is None:
                engine = self._made()
                try:
                    self._bring_up_to_date(engine)
                except BaseException:
                    engine.dispose()
                    raise
                self._engine = engine
            return self._engine

    def _bring_up_to_date(self, engine: sa.Engine) -> None:
        with engine.connect() as connection:
            if is_current(
                connection
            ):  # as mostly: then no lock is needed, and nobody's write is waited for
                return
            connection.rollback()
            self._begin(connection)
            upgrade(connection, str(self))
            connection.commit()

    def _made(self) -> sa.Engine:
        # PostgreSQL refuses NaN, which is no JSON; SQLite would keep it.
        strict = {"json_serializer": partial(json.dumps, allow_nan=False)}
        if not self._is_sqlite:
            from workers.store.postgresql import make_engine  # noqa: PLC0415  # the extra `postgresql`

            return make_engine(self.url, **strict)
        engine = sa.create_engine(self.url, connect_args={"timeout": self._busy_timeout}, **strict)
        event.listen(engine, "connect", _prepare_sqlite)
        return engine

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError) as error:
            said = self._said(error)
            advice = (
                "another process is writing"
                if "locked" in said
                else "is it running, and its disk not full?"
            )
            message = f"the database {self} cannot be used now ({said}): {advice}"
            raise StoreUnavailableError(message) from None
        except (
            sa.exc.SQLAlchemyError,
            TypeError,
            ValueError,
        ) as error:  # psycopg's own for what it cannot send
            message = (
                f"the database {self} refuses: {self._said(error)}; trying again does not help"
            )
            raise StoreError(message) from None

    def _said(self, error: Exception) -> str:
        """The driver's words, in a line, without what nobody may read."""
        said = " ".join(str(getattr(error, "orig", None) or error).split())
        for secret in (self.url.password, *map(self.url.query.get, _SECRETS)):
            said = said.replace(str(secret or "\0"), "***")
        return said


# SQLite's locks belong to the process, and are not inherited: a child of a process with the file open would take them
# for held, and lose what it writes when its parent closes the file. So nothing idle is open at a fork.
_databases: WeakSet[Database] = WeakSet()


def _before_fork() -> None:
    for database in tuple(_databases):
        database.close_idle()


def _after_fork() -> None:
    for database in tuple(_databases):
        database.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # Database says BEGIN, not the driver; reading needs none
    with suppress(
        sqlite3.OperationalError
    ):  # another process does the same at this moment; the file remembers it
        connection.execute(
            "PRAGMA journal_mode=WAL"
        )  # readers and a writer do not wait for each other
    connection.execute(
        "PRAGMA synchronous=NORMAL"
    )  # with WAL: whole after a crash of this program or of its machine


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
