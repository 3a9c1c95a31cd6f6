"""Family: one file for each process, and those that processes left that have ended.

Several processes may be given one path: the workers of a web server, the children of a pool. The
first takes `spool.db`, the next `spool.db.2`, and so on.
"""

import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from qt_events.errors import SpoolError, SpoolInUseError
from qt_events.outbox.spool.faults import named
from qt_events.outbox.spool.locking import FileLock
from qt_events.outbox.spool.spool_file import Limits, SpoolFile

logger = logging.getLogger("qt_events")

#: Processes that one path is enough for.
MOST = 64


def members(path: Path) -> Iterator[Path]:
    """Yield the files that processes with this path may have, whether they exist or not."""
    yield path
    for number in range(2, MOST + 1):
        yield path.with_name(f"{path.name}.{number}")


def open_first_free(path: Path, limits: Limits) -> SpoolFile:
    """Open the first file that no other process has, and take over what is in those left behind.

    Raises:
        SpoolInUseError: each has its process.
        SpoolFileError: the file cannot be used.
    """
    for each in members(path):
        with named(each):
            lock = FileLock.take(each)
        if lock is not None:
            opened = _open(each, lock, limits)
            _take_over(opened, path, limits)
            return opened
    raise SpoolInUseError(
        f"{MOST} processes have a file of the spool {path} each: name another path for this one"
    )


def _open(path: Path, lock: FileLock, limits: Limits) -> SpoolFile:
    try:
        return SpoolFile(path, lock, limits)
    except BaseException:
        lock.leave()
        raise


def _take_over(own: SpoolFile, path: Path, limits: Limits) -> None:
    """Move what is in files without a process to this one's. A broken one is left as it is."""
    for each in members(path):
        if str(each) == own.where or not each.exists():
            continue
        try:
            count = _taken(own, each, limits)
        except SpoolError as error:
            logger.warning("spool: what may be in %s is not sent: %s", each, error)
            continue
        if count:
            logger.info("spool: took over %d events of a process that ended, from %s", count, each)


def _taken(own: SpoolFile, path: Path, limits: Limits) -> int:
    with named(path):
        lock = FileLock.take(path)
    if lock is None:
        return 0
    left = _open(path, lock, limits)
    try:
        return own.adopt(left)
    finally:
        with suppress(SpoolError):
            left.close()
