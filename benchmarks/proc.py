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
    return _memory(pid, "VmRSS")


def peak(pid: int) -> float:
    """Return the most MB of resident memory so far (VmHWM); of children the sum of theirs."""
    return _memory(pid, "VmHWM")


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


def _memory(pid: int, name: str) -> float:
    lines = (line for folder in _family(pid) for line in _text(folder / "status").splitlines())
    return sum(int(line.split()[1]) for line in lines if line.startswith(name)) * _KIB / MB


def _ran(schedstat: Path) -> int:
    return int((_text(schedstat).split() or ["0"])[0])


def _text(path: Path) -> str:
    """Return the file's text, or "" if the process or the thread has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return path.read_text()
    return ""
