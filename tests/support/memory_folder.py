"""Folder for temporary files in memory: tests wait for what they test, not for a slow disk.

A replay over RabbitMQ waits 2,000 times for a sync. At 120 ms each, as on a shared disk, that is
four minutes.
"""

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

# Linux keeps it in memory.
_SHM = Path("/dev/shm")
_MEMORY = Path("/proc/meminfo")
# Of a container: version 2 of control groups, and version 1
_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
# Three processes of tests take 1.5 GiB of files and 6 GiB of memory.
_FILES, _ALL = 4 << 30, 8 << 30  # bytes


def use() -> None:
    """Put all temporary files into memory, of this process and of those that it starts.

    Nothing changes if TMPDIR is set, or if the machine has too little memory.
    """
    if "TMPDIR" not in os.environ and has_room():
        os.environ["TMPDIR"] = str(_SHM)
        # It is found once and remembered.
        tempfile.tempdir = None


def has_room(
    shm: Path = _SHM, memory: Path = _MEMORY, limits: Sequence[Path] = _LIMITS, files: int = _FILES
) -> bool:
    """Return whether programs can run from there, and what tests write fits."""
    try:
        if os.statvfs(shm).f_flag & os.ST_NOEXEC:
            return False
        return shutil.disk_usage(shm).free >= files and _available(memory, limits) >= _ALL
    except OSError:
        return False


def _available(memory: Path, limits: Sequence[Path]) -> int:
    """Return the bytes that may be used, on this machine and in its container."""
    lines = dict(line.split(":", 1) for line in memory.read_text().splitlines())
    given = [limit.read_text().strip() for limit in limits if limit.exists()]
    available = int(lines["MemAvailable"].split()[0]) << 10
    return min([available, *(int(limit) for limit in given if limit != "max")])
