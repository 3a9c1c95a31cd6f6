"""Recorder: what handlers did, as lines of JSON in a file, so that a test sees it whichever process they ran in."""

import asyncio
import json
import logging
import os
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from qt_events.events.event import Event

RECORDS = "QT_EVENTS_CONTRACT_RECORDS"  # environment variable: the file of this process's recorder

EVERY_GATE = "*"

_POLL = 0.005  # seconds between two looks at the file
_PATIENCE = 30.0  # seconds that a handler waits at a gate; a test has given up long before


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a handler, or another thing that happened: `kind` is call, gate, log or ready."""

    kind: str
    name: str
    event_id: str = ""
    event_type: str = ""
    payload: dict[str, Any] = field(default_factory=dict)
    correlation_id: str | None = None
    causation_id: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    process: int = field(default_factory=os.getpid)
    thread: int = field(default_factory=threading.get_ident)
    at: float = field(
        default_factory=time.monotonic
    )  #: seconds; one clock for all processes of a machine


class Recorder:
    """Appends to one file and reads all of it. Safe between threads and processes: one write a line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    @classmethod
    def current(cls) -> "Recorder":
        """The one that the environment names."""
        return cls(Path(os.environ[RECORDS]))

    def write(self, call: Call) -> None:
        """Append."""
        line = json.dumps(asdict(call), default=str).encode() + b"\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)

    def read(self, kind: str, name: str | None = None, event_id: str | None = None) -> list[Call]:
        """What was recorded, oldest first."""
        calls = [
            Call(**json.loads(line))
            for line in self.path.read_bytes().splitlines(keepends=True)
            if line[-1:] == b"\n"
        ]
        return [
            c
            for c in calls
            if c.kind == kind and name in (None, c.name) and event_id in (None, c.event_id)
        ]


def record(name: str, event: Event[Any], **details: Any) -> None:
    """A handler says that it was called."""
    call = Call(
        "call",
        name,
        event_id=event.id,
        event_type=event.type,
        payload=dict(event.payload),
        correlation_id=event.correlation_id,
        causation_id=event.causation_id,
        details=details,
    )
    Recorder.current().write(call)


def nth_call(name: str, event: Event[Any]) -> int:
    """Record a call; how many there have been of this handler with this event, this one included."""
    record(name, event)
    return len(Recorder.current().read("call", name, event.id))


def is_open(gate: str) -> bool:
    """Whether the test has opened this gate."""
    return any(opened.name in (gate, EVERY_GATE) for opened in Recorder.current().read("gate"))


async def passed(gate: str) -> None:
    """An async handler waits here until the test opens the gate."""
    async with asyncio.timeout(_PATIENCE):
        while not is_open(gate):  # noqa: ASYNC110  # another process opens it
            await asyncio.sleep(_POLL)


def passed_in_thread(gate: str) -> None:
    """A sync handler waits here until the test opens the gate."""
    deadline = time.monotonic() + _PATIENCE
    while not is_open(gate):
        if time.monotonic() > deadline:
            message = f"nobody opened the gate {gate!r}"
            raise TimeoutError(message)
        time.sleep(_POLL)


class RecordedLog(logging.Handler):
    """Records the library's warnings: what is reported by name is a part of the contract."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        Recorder.current().write(Call("log", record.name, details={"text": record.getMessage()}))
