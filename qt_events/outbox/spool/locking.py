"""FileLock: a file is one process's, for as long as it lives; and forks wait for SQLite."""

import fcntl
import os
import threading
from pathlib import Path
from typing import Self

#: Held by whoever calls SQLite: a child that was forked meanwhile would find SQLite's own locks
#: taken, for ever.
calling_sqlite = threading.RLock()
os.register_at_fork(
    before=calling_sqlite.acquire,
    after_in_parent=calling_sqlite.release,
    after_in_child=calling_sqlite.release,
)


class FileLock:
    """Lock of the operating system on a file beside the one that it is about.

    It ends with its process, however that ends. SQLite's own locks would keep others from looking
    into the file.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> Self | None:
        """Lock `path`, or return None: another process, or another spool of this one, has it.

        Raises:
            OSError: the file beside it cannot be made.
        """
        descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def leave(self) -> None:
        """Unlock it; in a forked child, leave it to the parent, which has the same lock."""
        os.close(self._descriptor)
