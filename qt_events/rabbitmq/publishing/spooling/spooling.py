"""Spooling: the thread that has the spool. It writes, sends, and decides where publishes go."""

import logging
import threading
from collections import deque
from contextlib import suppress
from enum import StrEnum
from time import monotonic, time
from typing import Any

from qt_events.delivery.publishing.spooling import NewEvent, OpenSpool, Spool, SpoolCounts
from qt_events.errors import SpoolError
from qt_events.rabbitmq.publishing.request_queue import RequestQueue
from qt_events.rabbitmq.publishing.requests import Request, resolve
from qt_events.rabbitmq.publishing.spooling.pace import Pace
from qt_events.rabbitmq.publishing.spooling.relay import Relay, Relayed
from qt_events.rabbitmq.publishing.spooling.spool_log import SpoolLog
from qt_events.rabbitmq.publishing.state import PublisherState
from qt_events.rabbitmq.publishing.waiting import WaitingPublishes

logger = logging.getLogger("qt_events")

_TOGETHER = 0.02  # seconds: publishes that wait too long within this time are spooled together
_SHORTEST = 0.05  # seconds between two looks at publishes that wait
_LOOK = 0.2  # seconds between two looks whether the broker is back
_BYTES = 16 * 1024 * 1024  # of the bodies in one transaction


class Way(StrEnum):
    """Way of a publish that begins now."""

    #: Nobody has looked into the spool yet: it waits until somebody has.
    OPENING = "opening"
    #: To the broker.
    DIRECT = "direct"
    #: To the disk.
    SPOOLING = "spooling"


class Spooling:
    """Spool of one publisher. The publisher's thread knows nothing of it.

    Args:
        spool: not opened yet.
        after: seconds that a publish waits for a broker that is away.
        patience: seconds that it waits for anything else.
        relayed: the bus's part in sending what was spooled.
    """

    def __init__(self, spool: Spool, after: float, patience: float, relayed: Relayed) -> None:
        self._spool, self._relayed = spool, relayed
        self._after, self._patience = after, max(after, patience)
        self._file: OpenSpool | None = None

    def attach(self, queue: RequestQueue, state: PublisherState, waiting: WaitingPublishes) -> None:
        """Take the publishes of this queue. Called once a process."""
        self._queue, self._state, self._waiting = queue, state, waiting
        self.log = SpoolLog(self._spool.where)
        self.way = Way.OPENING
        self._counts = SpoolCounts()
        self._pending: deque[tuple[Request, bool]] = deque()
        self._pace = Pace()
        self._wake, self._closing = threading.Event(), False
        self._thread: threading.Thread | None = None
        queue.divert(self._take)

    def after_fork(self) -> None:
        """Leave the file to the parent. `attach` begins anew."""
        if self._file is not None:
            self._file.forget()
            self._file = None

    # For others

    @property
    def stats(self) -> dict[str, Any]:
        """State and size, for get_stats()."""
        counts = self._counts
        oldest = 0.0 if counts.oldest is None else max(0.0, time() - counts.oldest)
        return {
            "state": self.way.value,
            "waiting": counts.waiting,
            "bytes": counts.bytes,
            "oldest": oldest,
            "aside": counts.aside,
        }

    def start(self) -> None:
        """Start the thread. RuntimeError: the interpreter is on its way out."""
        thread = threading.Thread(target=self._run, name="qt_events-spool", daemon=True)
        thread.start()
        self._thread = thread
        # It opens the file, and sends what is there, before anything is published.
        self._wake.set()

    def divert(self) -> None:
        """Have all that is not confirmed written: the publisher ends."""
        self._queue.divert(self._take)

    def close(self, timeout: float) -> None:
        """Write what waits for the disk, and leave the file, within `timeout` seconds."""
        if self._thread is not None:
            self._closing = True
            self._wake.set()
            self._thread.join(timeout)

    def _take(self, request: Request, wait_for_room: bool) -> None:  # noqa: FBT001
        request.diverted = True
        self._pending.append((request, wait_for_room))
        self._wake.set()

    # The thread

    def _run(self) -> None:
        closing = False
        while not closing or self._pending:
            self._wake.wait(self._pause)
            self._wake.clear()
            # Read before the turn: what was put before is written in it.
            closing = self._closing
            try:
                self._turn()
            except SpoolError as error:
                self.log.failed(error)
                self._refuse(error)
            except Exception as error:
                logger.exception("publisher: the spool %s", self.log.where)
                self._refuse(SpoolError(f"the spool {self.log.where} failed: {error!r}"))
        self._leave()

    @property
    def _pause(self) -> float | None:
        """Seconds until there may be something to do without a call of anybody."""
        if self._closing:
            return 0.0
        match self.way:
            case Way.OPENING:
                return None
            case Way.SPOOLING:
                return _LOOK
            case Way.DIRECT:
                now = monotonic()
                age = now - min((each.asked for each in self._queue.heads()), default=now)
                return max(self._after - age + _TOGETHER, _SHORTEST)

    def _turn(self) -> None:
        spool, relay = self._opened()
        confirmed = relay.settle()
        if spool.refresh():
            relay.start_again()
        if self.way is Way.DIRECT:
            self._look(spool)
        elif relay.is_idle and self._state.ready:
            self._end(relay)
        if self.way is Way.SPOOLING:
            self._write_and_send(spool, relay, confirmed)
        self.log.worked()

    def _write_and_send(self, spool: OpenSpool, relay: Relay, confirmed: int) -> None:
        state = self._state
        sends = state.connected and not state.blocked and not self._closing
        most = self._pace.allowed(
            monotonic(),
            is_away=not sends,
            sent=confirmed,
            all_on_their_way=relay.all_on_their_way,
            held_up=relay.is_held_up,
        )
        self._write(spool, most)
        if sends:
            relay.send()
        self.log.goes_on(spool.counts)

    def _opened(self) -> tuple[OpenSpool, Relay]:
        if self._file is None:
            spool = self._spool.open()
            self._file, self._counts = spool, spool.counts
            self.log.where = spool.where
            self._relay = Relay(spool, self._queue, self._relayed, self.log, self._wake.set)
            self.way = Way.SPOOLING
            if spool.counts.waiting:
                self.log.left_over(spool.counts)
            else:
                self._go_direct()
        return self._file, self._relay

    def _look(self, spool: OpenSpool) -> None:
        """Begin to spool if publishes wait too long, or an operator has events sent again."""
        cause = self._waiting.outage(self._after, self._patience)
        if cause is not None:
            self._begin(self._waiting.why(cause))
        elif spool.counts.waiting:
            self._begin("events that were set aside are sent first")

    def _begin(self, why: str) -> None:
        self.way = Way.SPOOLING
        self._queue.divert(self._take)
        self.log.began(why)

    def _end(self, relay: Relay) -> None:
        if self._go_direct():
            self.log.ended(relay.sent)
            relay.sent = 0

    def _go_direct(self) -> bool:
        # What waits for the disk need not go there.
        if self._queue.take_back(self._pending):
            self.way = Way.DIRECT
        return self.way is Way.DIRECT

    def _write(self, spool: OpenSpool, most: int) -> None:
        """Write what waits for the disk, at most so many, in one transaction."""
        if not (batch := self._next_batch(most)):
            return
        try:
            refusals = spool.append([_new_event(each) for each in batch])
        except SpoolError as error:
            _refuse(batch, error)
            raise
        for request, refusal in zip(batch, refusals, strict=True):
            request.error, request.spooled = refusal, refusal is None
        resolve(batch)
        self._pace.wrote(len(batch), monotonic())
        if self._pending and len(batch) == most:
            self._wake.set()

    def _next_batch(self, most: int) -> list[Any]:
        """Take the next of those whose callers still wait."""
        batch, size = list[Any](), 0
        while self._pending and len(batch) < most and size < _BYTES:
            request: Any = self._pending.popleft()[0]
            if not request.future.done():
                batch.append(request)
                size += len(request.content.body)
        return batch

    def _refuse(self, error: SpoolError) -> None:
        """Give the error to all that wait for the disk: nothing is claimed that is not there."""
        _refuse([request for request, _ in self._taken()], error)

    def _taken(self) -> list[tuple[Request, bool]]:
        return [self._pending.popleft() for _ in range(len(self._pending))]

    def _leave(self) -> None:
        # First: a child that is forked from now on has nothing to leave to its parent.
        spool, self._file = self._file, None
        if spool is not None:
            self.log.closed(spool.counts)
            with suppress(SpoolError):
                spool.close()


def _new_event(request: Any) -> NewEvent:
    content = request.content
    return NewEvent(content.properties["message_id"], request.routing_key, content.body)


def _refuse(requests: list[Any], error: SpoolError) -> None:
    for request in requests:
        request.error = error
    resolve(requests)
