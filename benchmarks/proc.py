"""Read memory and CPU of a process and its children from /proc."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

#: Bytes of a MB, everywhere in these benchmarks.
MB = 1_000_000
_KIB = 1024
_NANO = 1e9


def resident(pid: int) -> float:
    """Return MB of resident memory, private and shared (VmRSS)."""
    return sum(_rss(folder / "status") for folder in _family(pid)) * _KIB / MB


def cpu(pid: int) -> float:
    """Return CPU seconds of all threads that still run, to a nanosecond.

    The source is schedstat, which does not count in whole ticks.
    """
    return (
        sum(_ran(task / "schedstat") for folder in _family(pid) for task in _tasks(folder)) / _NANO
    )


def _family(pid: int) -> Iterator[Path]:
    folder = Path(f"/proc/{pid}")
    yield folder
    for task in _tasks(folder):
        for child in _text(task / "children").split():
            yield from _family(int(child))


def _tasks(folder: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError):
        return list((folder / "task").iterdir())
    return []


def _rss(status: Path) -> int:
    return sum(
        int(line.split()[1]) for line in _text(status).splitlines() if line.startswith("VmRSS")
    )


def _ran(schedstat: Path) -> int:
    return int((_text(schedstat).split() or ["0"])[0])


def _text(path: Path) -> str:
    """Return the file's text, or "" if the process or the thread has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return path.read_text()
    return ""
