"""Looking: what an operator does with the files of a spool, while their processes go on."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from qt_events.errors import SpoolFileError
from qt_events.outbox.spool import schema
from qt_events.outbox.spool.family import members
from qt_events.outbox.spool.faults import named

_TIMEOUT = 10.0  # seconds to wait for the process that writes


@dataclass(frozen=True, slots=True)
class SpoolStats:
    """Size of one file."""

    file: str
    waiting: int  #: events to be sent
    aside: int  #: events that are not sent before they are retried
    bytes: int  #: of the bodies of both
    oldest: datetime | None  #: since when the first of those to be sent waits


@dataclass(frozen=True, slots=True)
class SpoolEntry:
    """One event in a file."""

    file: str
    place: int
    id: str
    type: str
    bytes: int
    since: datetime
    reason: str | None  #: why it was set aside; None while it waits


def stats(path: Path) -> list[SpoolStats]:
    """Return the size of each file. SpoolFileError: there is none, or a broken one."""
    return [_stats(each) for each in _existing(path)]


def _stats(path: Path) -> SpoolStats:
    sql = (
        "SELECT count(*) - count(reason), count(reason), coalesce(sum(length(body)), 0), "
        "min(since) FILTER (WHERE reason IS NULL) FROM spooled"
    )
    with named(path), closing(_connect(path)) as connection:
        waiting, aside, size, oldest = connection.execute(sql).fetchone()
    return SpoolStats(str(path), waiting, aside, size, None if oldest is None else _time(oldest))


def entries(path: Path, *, aside: bool, limit: int) -> Iterator[SpoolEntry]:
    """Yield events in their order, at most `limit`; with `aside` only those that were set aside."""
    sql = (
        "SELECT place, id, type, length(body), since, reason FROM spooled "
        "WHERE (reason IS NOT NULL OR NOT ?) ORDER BY place LIMIT ?"
    )
    for each in _existing(path):
        with named(each), closing(_connect(each)) as connection:
            found = connection.execute(sql, (aside, limit)).fetchall()
        for place, event_id, event_type, size, since, reason in found:
            yield SpoolEntry(str(each), place, event_id, event_type, size, _time(since), reason)
        limit -= len(found)


def retry(path: Path, event_id: str | None) -> int:
    """Have events sent that were set aside, one or all. Return how many.

    Their process sends them, or the next one that uses the file.
    """
    sql = (
        "UPDATE spooled SET reason = NULL, since = ? "
        "WHERE reason IS NOT NULL AND (? IS NULL OR id = ?)"
    )
    count = 0
    for each in _existing(path):
        with named(each), closing(_connect(each)) as connection:
            count += connection.execute(sql, (time.time(), event_id, event_id)).rowcount
    return count


def _existing(path: Path) -> list[Path]:
    found = [each for each in members(path) if each.exists()]
    if not found:
        raise SpoolFileError(f"there is no spool {path}")
    return found


def _connect(path: Path) -> sqlite3.Connection:
    connection = schema.connect(path, timeout=_TIMEOUT)
    try:
        schema.check(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _time(since: float) -> datetime:
    return datetime.fromtimestamp(since, UTC)
