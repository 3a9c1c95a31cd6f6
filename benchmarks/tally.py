"""What handlers count, in files that the process of the benchmark reads: one for each process that handles.

A hit costs a third of a microsecond, the same for every contender.
"""

import mmap
import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path

FOLDER = "QT_BENCH_TALLY"  #: the variable that names the folder
_FORM = struct.Struct("qddd")  # hits, seconds at the first and the last by one clock for all processes, CPU seconds
_CPU_EVERY = 500


class Tally:
    """This process's own count."""

    def __init__(self, folder: Path) -> None:
        with (folder / str(os.getpid())).open("w+b") as file:
            file.truncate(_FORM.size)
            self._map = mmap.mmap(file.fileno(), _FORM.size)
        self._hits, self._first, self._began = 0, time.monotonic(), time.process_time()
        self._cpu = 0.0

    def hit(self) -> None:
        """One more event has been handled."""
        self._hits += 1
        if not self._hits % _CPU_EVERY:
            self._cpu = (time.process_time() - self._began) / self._hits
        _FORM.pack_into(self._map, 0, self._hits, self._first, time.monotonic(), self._cpu)


_own: Tally | None = None


def hit() -> None:
    """Count one, in whatever process this is: a child begins its own file."""
    global _own  # noqa: PLW0603
    if _own is None:
        _own = Tally(Path(os.environ[FOLDER]))
    _own.hit()


@dataclass(frozen=True)
class Count:
    """All processes together."""

    hits: int
    seconds: float  #: from the first hit of any to the last of any
    cpu: float  #: seconds for each hit, of the processes that handle

    @classmethod
    def of(cls, folder: Path) -> "Count":
        """As far as it has come."""
        found = [_FORM.unpack(path.read_bytes()) for path in folder.iterdir() if path.stat().st_size == _FORM.size]
        rows = [row for row in found if row[0]]
        hits = sum(row[0] for row in rows)
        if not hits:
            return cls(0, 0.0, 0.0)
        seconds = max(row[2] for row in rows) - min(row[1] for row in rows)
        return cls(hits, seconds, sum(row[0] * row[3] for row in rows) / hits)
