"""Database: connections for the threads of a process, transactions, and named errors."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from types import ModuleType
from weakref import WeakSet

import sqlalchemy as sa

from qt_events.databases import postgresql, sqlite
from qt_events.databases.urls import SECRETS, DatabaseUrls, shown
from qt_events.history.errors import (
    HistoryError,
    HistorySchemaError,
    HistoryUnavailableError,
    InvalidHistoryUrlError,
    NoHistoryError,
    RefusedRowError,
)
from qt_events.history.stores.migrations import HEAD, upgrade, version_of

checked_url = DatabaseUrls(
    "history",
    "events.db",
    InvalidHistoryUrlError,
    "; History() without a URL keeps it in memory",
).checked_url
#: PostgreSQL's code of a row that no partition takes (yet).
_NO_PARTITION = "23514"


class Database:
    """One database. Nothing is opened before the first transaction; tables are made then.

    Raises:
        InvalidHistoryUrlError: `url` has another form, or its driver is not installed.
    """

    def __init__(self, url: str, *, must_exist: bool = False) -> None:
        self._url, self._must_exist = checked_url(url), must_exist
        self.dialect: ModuleType = sqlite if self._url.drivername == "sqlite" else postgresql
        self._opening = Lock()
        self._engine: sa.Engine | None = None
        self._identity: object = None
        _databases.add(self)

    def __str__(self) -> str:
        return shown(self._url)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Lend a connection for one or more queries, each of them by itself.

        A transaction around them would take two more messages to PostgreSQL and back.
        """
        with self._connected() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        with self._named_errors(), self._open().connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Lend a connection for one transaction, committed at the end; others wait meanwhile."""
        with self._connected() as connection:
            self.dialect.lock(connection)
            yield connection
            connection.commit()
        if self._is_replaced():
            raise HistoryUnavailableError(
                f"the file of the history {self} was removed or replaced during a transaction: "
                "do it again, in the file that is there now"
            )

    def upgrade(self) -> None:
        """Bring the tables of an older release up to date. It makes none: the URL may be wrong."""
        with self._named_errors():
            engine = self.dialect.make_engine(self._url)
            try:
                self._version(engine, must_exist=True)
                self._upgrade(engine)
            finally:
                engine.dispose()

    def close(self) -> None:
        """Close idle connections; those in use are closed when they are given back."""
        with self._opening:
            self.give_up()

    def give_up(self) -> None:
        """Close idle connections, without the lock: the process is about to fork."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    def forget(self) -> None:
        """Start anew in a forked child: connections and lock are its parent's."""
        self._opening, self._engine = Lock(), None

    def _open(self) -> sa.Engine:
        with self._opening:
            if self._engine is not None and self._is_replaced():
                # What is written to the old file is lost.
                self.give_up()
            if self._engine is None:
                engine = self.dialect.make_engine(self._url)
                try:
                    self._check(engine)
                except BaseException:
                    engine.dispose()
                    raise
                self._engine, self._identity = engine, self.dialect.identity(self._url)
            return self._engine

    def _is_replaced(self) -> bool:
        return bool(self.dialect.identity(self._url) != self._identity)

    def _check(self, engine: sa.Engine) -> None:
        """Make the tables if there are none; refuse those of another release."""
        found = self._version(engine, must_exist=self._must_exist)
        if found is None:
            self._upgrade(engine)
        elif found < HEAD:
            raise HistorySchemaError(
                f"the history {self} has tables of version {found}, this release needs {HEAD}: "
                "run `qt-events history upgrade --store URL`"
            )

    def _version(self, engine: sa.Engine, *, must_exist: bool) -> str | None:
        """Return the version of the tables, None if there are none; refuse a later release's."""
        if must_exist and not self.dialect.exists(self._url):
            raise self._nothing()
        with engine.connect() as connection:
            found = version_of(connection)
        if found is None and must_exist:
            raise self._nothing()
        if found is not None and found > HEAD:
            raise HistorySchemaError(
                f"the history {self} has tables of version {found}, this release knows {HEAD}: "
                "run `pip install --upgrade 'qt-events[history]'`"
            )
        return found

    def _upgrade(self, engine: sa.Engine) -> None:
        with engine.connect() as connection:
            self.dialect.prepare(connection)
            self.dialect.lock(connection)
            # Another process may have done it meanwhile.
            if (version_of(connection) or "") < HEAD:
                upgrade(connection)
            connection.commit()

    def _nothing(self) -> NoHistoryError:
        return NoHistoryError(
            f"nothing was ever recorded in {self}: is it the right one? "
            "`qt-events history record --store URL` begins a history"
        )

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except HistoryError:
            raise
        except sa.exc.SQLAlchemyError as error:
            if _is_refusal(error):
                raise self._refused(error) from None
            # The next one looks at the version again: the tables may have been changed meanwhile.
            self.close()
            raise HistoryUnavailableError(
                f"the history {self} cannot be used now ({self._text(error)}): is its server "
                "running, its disk not full, and may this user write it?"
            ) from None
        except (OverflowError, TypeError, ValueError) as error:
            raise self._refused(error) from None

    def _refused(self, error: Exception) -> RefusedRowError:
        return RefusedRowError(f"the history {self} refuses a value: {self._text(error)}")

    def _text(self, error: Exception) -> str:
        """Return the driver's text on one line, without passwords."""
        text = " ".join(str(getattr(error, "orig", None) or error).split())
        for secret in (self._url.password, *map(self._url.query.get, SECRETS)):
            text = text.replace(str(secret or "\0"), "***")
        return text


# SQLite's locks belong to a process. The child of one with an open file would believe that it holds
# them, and lose its writes when the parent closes the file.
_databases: WeakSet[Database] = WeakSet()


def _before_fork() -> None:
    for database in tuple(_databases):
        database.give_up()


def _after_fork() -> None:
    for database in tuple(_databases):
        database.forget()


os.register_at_fork(before=_before_fork, after_in_child=_after_fork)


def _is_refusal(error: sa.exc.SQLAlchemyError) -> bool:
    """Tell a value that it cannot hold, or send. All else may be mended from outside."""
    if isinstance(error, sa.exc.IntegrityError):
        return getattr(error.orig, "sqlstate", None) != _NO_PARTITION
    return type(error) in (sa.exc.DataError, sa.exc.StatementError)
