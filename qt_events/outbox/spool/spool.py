"""Spool: a path, and how much may wait there for how long."""

import os
from pathlib import Path

from qt_events.limits import positive_int, positive_seconds
from qt_events.outbox.spool.family import open_first_free
from qt_events.outbox.spool.spool_file import Limits, SpoolFile

MAX_BYTES = 256 * 1024 * 1024
MAX_AGE = 7 * 86_400.0


class Spool:
    """File on the local disk, where events wait while the broker is away.

    It is opened by the first publish, or by run_forever(), and stays this process's until that
    ends. Another process with the same path has a file of its own beside it: `spool.db.2`.

    Args:
        path: file that is made if there is none. Its folder must exist, on a local disk.
        max_bytes: size of all events in it, 256 bytes for each included. A publish for which there
            is no room is a SpoolFullError.
        max_age: seconds after which an event is not sent any more. It is set aside, and stays there
            until `qt-events spool retry` sends it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int = MAX_BYTES,
        max_age: float = MAX_AGE,
    ) -> None:
        # Absolute: a process may change its folder before its first publish.
        self.path = Path(os.fsdecode(path)).absolute()
        self._limits = Limits(
            positive_int("max_bytes", max_bytes), positive_seconds("max_age", max_age)
        )

    def __repr__(self) -> str:
        limits = self._limits
        return f"Spool({str(self.path)!r}, max_bytes={limits.bytes}, max_age={limits.seconds:g})"

    @property
    def where(self) -> str:
        """See the Protocol of this name."""
        return str(self.path)

    def open(self) -> SpoolFile:
        """See the Protocol of this name."""
        return open_first_free(self.path, self._limits)
