"""History of a fleet: the database in which its recorder keeps every event and its fate."""

import os
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from qt_events.history import EventFilter, History
from qt_events.testing.keeper import Keeper
from workers.fleet.postgres import PostgresError, PrivatePostgres
from workers.replay.done_days import UsedStoreError

#: Subscriptions that the recorder serves.
RECORDED = frozenset({"history", "history.fates"})


class FleetHistory:
    """One history. Its URL goes to the recorder alone, by the environment."""

    def __init__(self, url: str, place: str, *, lasts: bool = False) -> None:
        """Take the URL, the place in words, and whether it stays when the fleet has ended."""
        self.url, self.place, self.lasts = url, place, lasts
        self._store = History(url).store

    def count(self, pattern: str) -> int:
        """Return the number of events of some type. HistoryError: the database cannot be used."""
        return self._store.count(EventFilter(pattern=pattern))

    def trace_of_a_trade(self) -> str:
        """Return the command that traces the first trade, or lists all events if there is none."""
        trades = self._store.page(EventFilter(pattern="trade.executed"), limit=1)
        ask = f"trace {trades[0].event.id}" if trades else "list"
        parts = urlsplit(self.url)
        if parts.password or "password=" in parts.query:
            return f"qt-events history {ask}   (with QT_HISTORY: the URL that you gave)"
        return f"qt-events history {ask} --store {shlex.quote(self.url)}"

    def close(self) -> None:
        """Close its connections."""
        self._store.close()


@contextmanager
def open_history(url: str | None) -> Iterator[FleetHistory]:
    """Open the history at a URL, or, without one, a PostgreSQL or a file that ends with the fleet.

    Raises:
        HistoryError: the URL is wrong, or its database cannot be used.
        UsedStoreError: another run was recorded in it. All ids of a day are known there already,
            and nothing of this run would be recorded.
    """
    if url is None:
        with _private() as history:
            yield history
        return
    with closing(FleetHistory(url, "in the database that you named", lasts=True)) as history:
        if history.count("market.closed"):
            message = "the history has another run: give --history (QT_HISTORY) a new database"
            raise UsedStoreError(message)
        yield history


@contextmanager
def _private() -> Iterator[FleetHistory]:
    with closing(Keeper("qt-events-history-")) as keeper, ExitStack() as stack:
        try:
            server = stack.enter_context(_postgres())
        except PostgresError as error:
            place = f"in SQLite until the fleet ends: {' '.join(str(error).split())}"
            history = FleetHistory(f"sqlite:///{keeper.folder}/history.db", place)
        else:
            place = "in a PostgreSQL of its own until the fleet ends"
            history = FleetHistory(_with_password_file(server.url, keeper.folder), place)
        with closing(history):
            yield history


def _postgres() -> PrivatePostgres:
    if find_spec("psycopg") is None:
        message = "PostgreSQL's driver is not installed: pip install 'qt-events[history]'"
        raise PostgresError(message)
    return PrivatePostgres()


def _with_password_file(url: str, folder: Path) -> str:
    """Return the URL of a server with its password in a file, so that it may be shown."""
    parts, file = urlsplit(url), folder / "pgpass"
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as opened:
        opened.write(f"*:*:*:*:{parts.password}\n")
    address = f"{parts.username}@{parts.hostname}:{parts.port}"
    return parts._replace(netloc=address, query=f"passfile={file}").geturl()
