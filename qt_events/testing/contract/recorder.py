"""Recorder: calls of handlers as lines of JSON in a file, and handlers that write them."""

import asyncio
import json
import logging
import math
import os
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from qt_events.bus import EventBus
from qt_events.delivery.subscribing.subscription import EventHandler
from qt_events.events.event import Event

# Environment variable: the file of this process's recorder
RECORDS = "QT_EVENTS_CONTRACT_RECORDS"

EVERY_GATE = "*"

# Seconds between two reads of the file
_POLL = 0.005
# Seconds that a handler waits at a gate; longer than any test does
_PATIENCE = 30.0


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
    #: Seconds; one clock for all processes of a machine
    at: float = field(default_factory=time.monotonic)


class Recorder:
    """Appends to one file and reads all of it. Safe between threads and processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    @classmethod
    def current(cls) -> "Recorder":
        """Return the recorder that the environment names."""
        return cls(Path(os.environ[RECORDS]))

    def write(self, call: Call) -> None:
        """Append a call, in one write."""
        line = json.dumps(asdict(call), default=str).encode() + b"\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)

    def read(self, kind: str, name: str | None = None, event_id: str | None = None) -> list[Call]:
        """Return the calls that were recorded, oldest first."""
        # What follows the last newline is being written.
        *lines, _ = self.path.read_bytes().split(b"\n")
        calls = (Call(**json.loads(line)) for line in lines)
        found = [call for call in calls if call.kind == kind and name in (None, call.name)]
        return [call for call in found if event_id in (None, call.event_id)]


def record(name: str, event: Event[Any], **details: Any) -> None:
    """Record that a handler was called."""
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
    """Record a call, and return its number among those of this handler with this event."""
    record(name, event)
    return len(Recorder.current().read("call", name, event.id))


def is_open(gate: str) -> bool:
    """Return True once the test has opened this gate."""
    return any(opened.name in (gate, EVERY_GATE) for opened in Recorder.current().read("gate"))


async def passed(gate: str) -> None:
    """Wait in an async handler until the test opens the gate."""
    async with asyncio.timeout(_PATIENCE):
        while not is_open(gate):  # noqa: ASYNC110  # another process opens it
            await asyncio.sleep(_POLL)


def passed_in_thread(gate: str) -> None:
    """Wait in a sync handler until the test opens the gate."""
    deadline = time.monotonic() + _PATIENCE
    while not is_open(gate):
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody opened the gate {gate!r}")
        time.sleep(_POLL)


def recording(name: str, *, after: str = "") -> EventHandler:
    """Return an async handler that records its calls as `name`, once the gate `after` is open."""

    async def handler(event: Event[Any]) -> None:
        if after:
            await passed(after)
        record(name, event)

    return handler


def hear(bus: EventBus, pattern: str, name: str, *, after: str = "", **options: Any) -> None:
    """Subscribe an async handler that records its calls, once the gate `after` is open."""
    bus.subscribe(pattern, recording(name, after=after), name=name, **options)


def fail(
    bus: EventBus,
    pattern: str,
    name: str,
    *,
    times: float = math.inf,
    until: str = "",
    **options: Any,
) -> None:
    """Subscribe an async handler that records its calls and raises OSError.

    It fails the first `times` that it gets an event, and until the gate `until` is open.
    """

    async def handler(event: Event[Any]) -> None:
        if nth_call(name, event) <= times and not (until and is_open(until)):
            raise OSError(f"{name} is out of order")

    bus.subscribe(pattern, handler, name=name, **options)


class RecordedLog(logging.Handler):
    """Logging handler that records the library's warnings, which are a part of the contract."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        Recorder.current().write(Call("log", record.name, details={"text": record.getMessage()}))
