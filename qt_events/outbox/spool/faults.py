"""Faults of SQLite and of the disk, as named errors that say what to do."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qt_events.errors import SpoolFileError, SpoolFullError
from qt_events.outbox.spool.locking import calling_sqlite

_KEPT = "nothing in it is deleted"
_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
#: Low byte of SQLite's extended result codes.
_PRIMARY = 0xFF


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Raise errors of SQLite and of the operating system as a SpoolError about this file."""
    try:
        with calling_sqlite:
            yield
    except sqlite3.Error as error:
        raise _of_sqlite(path, error) from error
    except OSError as error:
        raise SpoolFileError(
            f"the spool {path} cannot be used: {error.strerror or error}. Name a file in a "
            "folder on the local disk that this process may write to"
        ) from error


def _of_sqlite(path: Path, error: sqlite3.Error) -> SpoolFileError | SpoolFullError:
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
    if code == sqlite3.SQLITE_FULL:
        return SpoolFullError(
            f"no room on the disk of the spool {path}: make room, then publish the same event again"
        )
    if code in _BROKEN:
        return SpoolFileError(
            f"{path} is no spool, or is damaged ({error}); {_KEPT}. Move it away, or name another "
            "file; sqlite3's .recover may read what is left"
        )
    return SpoolFileError(
        f"the spool {path} cannot be read or written ({error}); {_KEPT}. Is its folder on a local "
        "disk, and may this process write to it?"
    )
