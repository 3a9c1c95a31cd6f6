"""Entries: notes of publishers and handlers, a line each, in files that survive a kill."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from time import monotonic


class Kind(StrEnum):
    """Kinds of entries."""

    ATTEMPTED = "attempted"  #: a publish is about to be tried; `about` is the event's type
    CONFIRMED = "confirmed"  #: it returned
    FAILED = "failed"  #: it raised; `about` is the error's name
    HANDLED = "handled"  #: a handler is done with it; `about` is the subscription
    DEAD = "dead"  #: it is a dead letter; `about` is the subscription, `why` the reason
    FAULT = "fault"  #: a fault strikes; `id` is its name


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a ledger."""

    kind: Kind
    id: str  #: id of the event
    about: str = ""
    #: Seconds; one clock for all processes of a machine
    at: float = field(default_factory=monotonic)
    why: str = ""

    def line(self) -> bytes:
        """Return the entry as it stands in a file."""
        return json.dumps([self.kind, self.id, self.about, self.at, self.why]).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> "Entry":
        """Read the entry of one line."""
        kind, *rest = json.loads(line)
        return cls(Kind(kind), *rest)


def append(folder: Path, entry: Entry) -> None:
    """Append to this process's file in the folder, in one write; safe in threads and after a fork.

    A line stands even if the process is killed next. It is not synced: a crash of the machine may
    lose it.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    file = os.open(folder / f"{os.getpid()}.entries", flags, 0o644)
    try:
        os.write(file, entry.line())
    finally:
        os.close(file)


class Reader:
    """Reads the lines appended since its last call, of all processes or of matching files."""

    def __init__(self, folder: Path, names: str = "*.entries") -> None:
        self._folder, self._names = folder, names
        self._read: dict[Path, int] = {}

    def read(self) -> Iterator[Entry]:
        """Yield new entries, in the order of each process."""
        for path in sorted(self._folder.glob(self._names)):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                for line in file:
                    # It is being written.
                    if not line.endswith(b"\n"):
                        break
                    self._read[path] = self._read.get(path, 0) + len(line)
                    yield Entry.from_line(line)
