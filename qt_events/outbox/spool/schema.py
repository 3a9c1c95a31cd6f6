"""Schema: the table of a spool, and whether a file is a spool's."""

import os
import sqlite3
from pathlib import Path

from qt_events.errors import SpoolFileError

#: "qtsp", in the header of the file, for `file` and for this.
APPLICATION = 0x71747370
VERSION = 1

# AUTOINCREMENT: a place is never given twice, so that what is in flight keeps its own.
_TABLE = """
CREATE TABLE spooled (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    body BLOB NOT NULL,
    since REAL NOT NULL,
    reason TEXT
)
"""
_INDEX = "CREATE INDEX spooled_waiting ON spooled (place) WHERE reason IS NULL"


def connect(path: Path, *, timeout: float) -> sqlite3.Connection:
    """Open a connection whose commits are on the disk when they return.

    Args:
        path: file of the spool.
        timeout: seconds to wait for another process that writes just then.
    """
    connection = sqlite3.connect(path, timeout=timeout, isolation_level=None)
    try:
        # FULL: in WAL mode NORMAL would lose commits with the machine's power.
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def create(path: Path) -> None:
    """Create the file, which only this user may read: events may hold anything."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the table in an empty file; check a file that is not.

    Raises:
        SpoolFileError: it is another program's, or a newer release's, or damaged.
        sqlite3.Error: it cannot be read or written.
    """
    if not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(_TABLE)
        connection.execute(_INDEX)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    check(connection, path)
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise SpoolFileError(
            f"the spool {path} is damaged ({found}); nothing in it is deleted. Move it away; "
            "sqlite3's .recover may read what is left"
        )


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Raise SpoolFileError unless this release can read and write the file."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION:
        raise SpoolFileError(
            f"{path} is a database of something else, and no spool: name another file"
        )
    if version > VERSION:
        raise SpoolFileError(
            f"the spool {path} was made by a newer release (version {version}, this one knows "
            f"{VERSION}): update qt-events, or let the newer release send what is in it"
        )
