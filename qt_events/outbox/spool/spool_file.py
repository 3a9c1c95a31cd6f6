"""SpoolFile: the events of one process in one SQLite file."""

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from qt_events.delivery.publishing.spooling import NewEvent, SpoolCounts, SpooledEvent
from qt_events.errors import SpoolFullError
from qt_events.outbox.spool import schema
from qt_events.outbox.spool.faults import named
from qt_events.outbox.spool.locking import FileLock

#: Bytes that an event takes beside its body, about.
OVERHEAD = 256
# Seconds to wait for an operator's command, which writes for milliseconds.
_TIMEOUT = 5.0
_PAGE = 500
_COUNTS = """
SELECT count(*) - count(reason), count(reason), coalesce(sum(length(body) + ?), 0) FROM spooled
"""
# One text for any number of places.
_COUNTS_OF = """
SELECT count(*) - count(reason), count(reason), coalesce(sum(length(body) + ?), 0) FROM spooled
WHERE place IN (SELECT value FROM json_each(?))
"""
_REMOVE = "DELETE FROM spooled WHERE place IN (SELECT value FROM json_each(?))"
_SET_ASIDE = """
UPDATE spooled SET reason = ?
WHERE reason IS NULL AND place IN (SELECT value FROM json_each(?))
"""
# Closing one of the parent's in a forked child would end the parent's locks on the file.
_inherited: list[sqlite3.Connection] = []


class Limits(NamedTuple):
    """Bounds of a spool."""

    bytes: int
    seconds: float


class SpoolFile:
    """OpenSpool in a file that this process has locked."""

    def __init__(self, path: Path, lock: FileLock, limits: Limits) -> None:
        """Open the file, and make it if there is none. SpoolError: see `Spool.open`."""
        self._path, self._lock, self._limits = path, lock, limits
        self.where = str(path)
        self.counts = SpoolCounts()
        with named(path):
            schema.create(path)
            self._connection = schema.connect(path, timeout=_TIMEOUT)
            try:
                schema.prepare(self._connection, path)
                self._seen = self._changes()
                self._count()
            except BaseException:
                self._connection.close()
                raise

    def append(self, events: Sequence[NewEvent]) -> list[SpoolFullError | None]:
        """See OpenSpool."""
        refusals, kept, size = list[SpoolFullError | None](), list[NewEvent](), self.counts.bytes
        for event in events:
            needs = len(event.body) + OVERHEAD
            if size + needs > self._limits.bytes:
                refusals.append(self._full(event))
            else:
                size += needs
                refusals.append(None)
                kept.append(event)
        if kept:
            now = time.time()
            self._insert((*event, now, None) for event in kept)
            self.counts.waiting += len(kept)
            self.counts.bytes = size
            if self.counts.oldest is None:
                self.counts.oldest = now
        return refusals

    def _full(self, event: NewEvent) -> SpoolFullError:
        counts = self.counts
        aside = f", {counts.aside} of them set aside" if counts.aside else ""
        return SpoolFullError(
            f"the spool {self.where} is full: {counts.waiting + counts.aside} events{aside} take "
            f"{counts.bytes} bytes, and max_bytes={self._limits.bytes}. {event.type!r} is not kept:"
            " publish the same event again when the broker is back"
        )

    def adopt(self, other: "SpoolFile") -> int:
        """Take everything that is in the file of a process that has ended. Return how many.

        Killed in between, some are in both files, and are sent twice.
        """
        count = 0
        while rows := other.page(_PAGE):
            self._insert(row[1:] for row in rows)
            other.remove([row[0] for row in rows])
            count += len(rows)
        if count:
            self._count()
        return count

    def page(self, count: int, after: int = 0) -> list[tuple[int, str, str, bytes, float, str]]:
        """Return rows as they are, those that were set aside, too."""
        sql = "SELECT * FROM spooled WHERE place > ? ORDER BY place LIMIT ?"
        return self._all(sql, after, count)

    def waiting(self, after: int, count: int, size: int) -> list[SpooledEvent]:
        """See OpenSpool."""
        sql = (
            "SELECT place, id, type, body FROM spooled WHERE place > ? AND reason IS NULL "
            "ORDER BY place LIMIT ?"
        )
        found = list[SpooledEvent]()
        with named(self._path):
            # Row by row: each body may have megabytes.
            for row in self._connection.execute(sql, (after, count)):
                found.append(SpooledEvent(*row))
                size -= len(found[-1].body)
                if size <= 0:
                    break
        return found

    def remove(self, places: Sequence[int]) -> None:
        """See OpenSpool."""
        if not places:
            return
        listed = json.dumps(list(places))
        with self._writing() as connection:
            found = connection.execute(_COUNTS_OF, (OVERHEAD, listed)).fetchone()
            connection.execute(_REMOVE, (listed,))
        waiting, aside, size = found
        self.counts.waiting -= waiting
        self.counts.aside -= aside
        self.counts.bytes -= size
        self._find_oldest()

    def set_aside(self, place: int, reason: str) -> None:
        """See OpenSpool."""
        self._move_aside([place], reason)

    def expire(self) -> list[str]:
        """See OpenSpool."""
        limit = time.time() - self._limits.seconds
        if self.counts.oldest is None or self.counts.oldest >= limit:
            return []
        sql = "SELECT place, id FROM spooled WHERE reason IS NULL AND since < ?"
        expired = self._all(sql, limit)
        reason = f"waited for longer than max_age={self._limits.seconds:g} s"
        self._move_aside([place for place, _ in expired], reason)
        return [event_id for _, event_id in expired]

    def _move_aside(self, places: Sequence[int], reason: str) -> None:
        with self._writing() as connection:
            values = (reason, json.dumps(list(places)))
            moved = connection.execute(_SET_ASIDE, values).rowcount
        self.counts.waiting -= moved
        self.counts.aside += moved
        self._find_oldest()

    def refresh(self) -> bool:
        """See OpenSpool."""
        changes = self._changes()
        if changes == self._seen:
            return False
        self._seen = changes
        self._count()
        return True

    def close(self) -> None:
        """See OpenSpool."""
        with named(self._path):
            try:
                self._connection.close()
            finally:
                self._lock.leave()

    def forget(self) -> None:
        """See OpenSpool."""
        _inherited.append(self._connection)
        self._lock.leave()

    # SQLite

    def _changes(self) -> int:
        """Return a number that others' commits change, and our own do not."""
        with named(self._path):
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def _count(self) -> None:
        ((waiting, aside, size),) = self._all(_COUNTS, OVERHEAD)
        self.counts.waiting, self.counts.aside, self.counts.bytes = waiting, aside, size
        self._find_oldest()

    def _find_oldest(self) -> None:
        sql = "SELECT since FROM spooled WHERE reason IS NULL ORDER BY place LIMIT 1"
        self.counts.oldest = next((since for (since,) in self._all(sql)), None)

    def _insert(self, rows: Iterator[tuple[Any, ...]]) -> None:
        sql = "INSERT INTO spooled (id, type, body, since, reason) VALUES (?, ?, ?, ?, ?)"
        with self._writing() as connection:
            connection.executemany(sql, rows)

    def _all(self, sql: str, *values: object) -> list[Any]:
        with named(self._path):
            return self._connection.execute(sql, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Return a transaction: all of it is on the disk at its end, or nothing is."""
        connection = self._connection
        with named(self._path):
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # A full disk has rolled it back already.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
