"""8. A backend of your own: a bus over files. docs/backends.md explains it.

    <folder>/<subscription>/<time>.event        an event that waits, due at the time of the file
    <folder>/<subscription>/dead/<time>.event   a dead letter

A toy for one process: it blocks the event loop while it reads and writes.
"""

import asyncio
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from qt_events import Event, RetryPolicy, Subscription, backend
from qt_events.errors import BusStateError, MessageError, UnroutableError

TURN = 0.01  # seconds between two looks for files that are due
Held = backend.HeldDeadLetter[Path]
_number = count()


@dataclass
class EventFile:
    """A line of JSON about an event, and the event as it was encoded."""

    head: dict[str, Any]
    body: bytes

    @classmethod
    def read(cls, path: Path) -> "EventFile":
        line, _, body = path.read_bytes().partition(b"\n")
        head = json.loads(line)
        for name in {"first_failed", "last_failed"} & head.keys():
            head[name] = head[name] and datetime.fromisoformat(head[name])
        return cls(head, body)

    def write(self, path: Path, delay: float = 0.0) -> None:
        """Write the file in one step, due in `delay` seconds."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part, due = path.with_suffix(".part"), time.time_ns() + int(delay * 1e9)
        part.write_bytes(json.dumps(self.head, default=str).encode() + b"\n" + self.body)
        os.utime(part, ns=(due, due))
        part.replace(path)

    @property
    def attempts(self) -> backend.Attempts:
        return backend.Attempts(self.head.get("attempt", 1), self.head.get("first_failed"))


logger = logging.getLogger("qt_events")


def new_name() -> str:
    """Make a file name: sorted by time, and by number within a nanosecond."""
    return f"{time.time_ns()}-{next(_number):09}.event"


class FileEventBus(backend.Hosted):
    """An EventBus over the folder of a URL: `file:///var/lib/events`."""

    takes_inboxes = True

    def __init__(self, url: str, *, grace: float = 30.0, retry: RetryPolicy | None = None) -> None:
        self.folder, self.grace = Path(url.partition("://")[2]), grace
        self.subscriptions = backend.Subscriptions(retry=retry)
        self.dead_letters = FileDeadLetters(self)
        self._stats = backend.Stats()
        self._watch = backend.SlowHandlerLog(self._stats)
        self._lanes: backend.Lanes[tuple[Subscription, Path]] = backend.Lanes(self._process)
        self._taken: set[Path] = set()  # files in a lane
        self._threads: backend.DaemonThreads | None = None
        self._shutdown, self._closed = backend.Shutdown(), False

    # Publish and subscribe

    async def publish(self, event: Event[Any], *, mandatory: bool = False) -> backend.Published:
        return await self.middleware.publish(event, partial(self._publish, mandatory=mandatory))

    def publish_sync(self, event: Event[Any], *, mandatory: bool = False) -> backend.Published:
        backend.refuse_on_event_loop()
        return asyncio.run(self.publish(event, mandatory=mandatory))

    async def _publish(self, event: Event[Any], *, mandatory: bool) -> backend.Published:
        if self._closed:
            raise BusStateError("this bus is closed: nothing more can be published on it")
        subscriptions = self.subscriptions.match(event.type)
        self._stats.count_published(event.type, routed=bool(subscriptions))
        self.middleware.tell_published(event, subscriptions)
        if mandatory and not subscriptions:
            raise UnroutableError(f"nobody is subscribed to {event.type!r}")
        file = EventFile({"id": event.id, "type": event.type}, backend.encode(event))
        name = new_name()
        for subscription in subscriptions:
            file.write(self.folder / subscription.name / name)
        return backend.CONFIRMED

    def _subscribe(
        self,
        pattern: str,
        handler: backend.EventHandler,
        name: str | None,
        options: backend.SubscriptionOptions,
    ) -> Subscription:
        known = self.subscriptions.of(handler)
        name = name or (known.name if known else backend.name_of(handler)) or ""
        return self.subscriptions.add(pattern, handler, name, options)

    def unsubscribe(
        self, event_type: str | type[Event[Any]], handler: backend.EventHandler
    ) -> None:
        self.subscriptions.remove(backend.pattern_of(event_type), handler)

    # Deliver

    async def run_forever(self, *, handle_signals: bool = False) -> None:
        if self._lanes.running:
            raise BusStateError("this bus runs already")
        self._threads = backend.DaemonThreads(4)
        self._lanes.start()
        shutdown = self._shutdown
        with backend.stopped_by_signals(shutdown) if handle_signals else nullcontext():
            try:
                while shutdown.state is backend.State.SERVING:
                    self._take_due()
                    await asyncio.sleep(TURN)
                await shutdown.finish(self._lanes.drain(), self.grace)
            finally:
                await self._lanes.stop()
                self._threads.shutdown(wait=False)
                shutdown.tell(backend.Trigger.DONE)
                self._shutdown = backend.Shutdown()

    def _waiting(self) -> list[tuple[Subscription, Path]]:
        return [
            (subscription, path)
            for subscription in self.subscriptions
            for path in sorted((self.folder / subscription.name).glob("*.event"))
        ]

    def _take_due(self) -> None:
        for subscription, path in self._waiting():
            if path not in self._taken and path.stat().st_mtime_ns <= time.time_ns():
                self._taken.add(path)
                self._lanes.push(subscription, (subscription, path))

    async def _process(self, item: tuple[Subscription, Path]) -> None:
        """Handle a file. It must not raise: the lane would end."""
        subscription, path = item
        try:
            file = EventFile.read(path)
            self._conclude(file, path, subscription, await self._attempt(file, subscription))
            self._taken.discard(path)
        except (OSError, ValueError, LookupError):
            logger.exception("%s is left as it is", path)

    async def _attempt(self, file: EventFile, subscription: Subscription) -> backend.Outcome:
        try:
            event = backend.decode(file.body, file.head["type"])
        except MessageError as error:
            return backend.unreadable(error)
        return await backend.deliver(
            event,
            subscription,
            file.attempts.next,
            executor=self._threads,
            watch=self._watch,
            middleware=self.middleware,
        )

    def _conclude(
        self, file: EventFile, path: Path, subscription: Subscription, outcome: backend.Outcome
    ) -> None:
        attempts, follows = file.attempts, backend.consequences(outcome)
        if follows.dead_letter is not None:
            self.dead_letters.add(file, subscription, follows.dead_letter)
        if follows.again_after is None:
            path.unlink()
        else:
            attempt, first_failed = attempts.after(follows)
            file.head |= {"attempt": attempt, "first_failed": first_failed}
            file.write(path, follows.again_after)
        event_id, event_type, number = file.head["id"], file.head["type"], attempts.next
        self._stats.count_outcome(subscription.name, event_type, outcome)
        self.middleware.tell_concluded(
            backend.Attempt(event_id, event_type, subscription.name, number, outcome)
        )
        if not any(self.folder.glob(f"*/{path.name}")):  # an event has one name in all folders
            self._stats.count_dispatched(file.head["type"])

    # Join and stop

    async def join(self, timeout: float | None = None) -> None:
        backend.refuse_in_handler()
        await asyncio.sleep(0)  # a run_forever() task made just before starts now
        async with asyncio.timeout(timeout):
            while waiting := self._waiting():
                if not self._lanes.running:
                    raise BusStateError(f"{len(waiting)} deliveries wait for run_forever()")
                await asyncio.sleep(TURN)

    def stop(self) -> None:
        self._shutdown.tell(backend.Trigger.STOP)

    def _forget_stop(self) -> None:
        self._shutdown = backend.Shutdown()

    def close(self) -> None:
        self._closed = True

    def get_stats(self) -> dict[str, Any]:
        patterns, subscriptions = len(self.subscriptions.patterns), len(self.subscriptions)
        return self._stats.snapshot(
            queue_size=len(self._waiting()), handler_types=patterns, total_handlers=subscriptions
        )


class FileDeadLetters(backend.DeadLetterOperations[Path]):
    """Dead letters of a FileEventBus. The receipt of each is its file."""

    def __init__(self, bus: FileEventBus) -> None:
        self._bus = bus

    def add(self, file: EventFile, subscription: Subscription, outcome: backend.DeadLetter) -> None:
        record = backend.record_of(
            outcome,
            file.attempts,
            subscription=subscription.name,
            event_id=file.head["id"],
            event_type=file.head["type"],
            body=b"",  # the file has it, behind its first line
            properties={"message_id": file.head["id"]},
        )
        folder = self._bus.folder / subscription.name / "dead"
        EventFile(asdict(record), file.body).write(folder / new_name())

    @asynccontextmanager
    async def scan(self, subscription: str | None) -> AsyncIterator[backend.Scan[Path]]:
        paths = self._bus.folder.glob(f"{subscription or '*'}/dead/*.event")
        yield FileScan(self._bus, sorted(paths, key=lambda path: path.name))


class FileScan(backend.Scan[Path]):
    """One pass through the dead letters that were there at its start."""

    def __init__(self, bus: FileEventBus, paths: Sequence[Path]) -> None:
        self._bus, self._paths, self.total = bus, paths, len(paths)

    async def batches(self, most: int) -> AsyncIterator[Sequence[Held]]:
        for start in range(0, self.total, most):
            yield [_held(path) for path in self._paths[start : start + most] if path.exists()]

    async def check(self, held: Held) -> None:
        self._bus.subscriptions.served(held.record.subscription)

    async def send_back(self, held: Held) -> None:
        record = held.record
        head = {"id": record.event_id, "type": record.event_type}
        EventFile(head, record.body).write(self._bus.folder / record.subscription / new_name())

    async def remove(self, held: Sequence[Held]) -> None:
        for each in held:
            each.receipt.unlink(missing_ok=True)


def _held(path: Path) -> Held:
    file = EventFile.read(path)
    return Held(backend.DeadLetterRecord(**{**file.head, "body": file.body}), path)
