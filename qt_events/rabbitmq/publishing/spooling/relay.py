"""Relay: what is on the disk goes to the broker, in order."""

import math
from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Protocol

from qt_events.delivery.publishing.spooling import OpenSpool, SpooledEvent
from qt_events.errors import (
    BusStateError,
    MessageError,
    PublishRefusedError,
    QtEventsError,
    SpoolError,
    text_of,
)
from qt_events.rabbitmq.publishing.request_queue import RequestQueue
from qt_events.rabbitmq.publishing.requests import PublishRequest
from qt_events.rabbitmq.publishing.spooling.spool_log import SpoolLog

IN_FLIGHT = 1_000  #: events that are sent and not confirmed, at most
BYTES = 8 * 1024 * 1024  #: of their bodies; one more than that is sent alone
_PAGE = 100  # events that are read at once
# Seconds for which the publisher tries an event again that the broker could not store. Others wait
# behind it for so long, at most.
_NACKED = 2.0
_HELD_UP = 0.3  # seconds in which a confirm comes, mostly
_PASS = 4.0  # seconds of new events before those that were left behind are tried again
_PAUSE = 1.0  # seconds before everything is tried again, after a refusal that is not an event's own


class Relayed(Protocol):
    """Part of the bus in a relay. Called by the thread that has the spool."""

    def request(self, event: SpooledEvent) -> PublishRequest:
        """Make the publish of an event. MessageError: it cannot be read."""

    def unheard(self, event: SpooledEvent) -> None:
        """Note an event that no queue took."""

    def forgotten(self, event_id: str) -> None:
        """Note an event that is not sent any more, before an operator says so."""


class Relay:
    """Events of one open spool on their way to the broker. For the thread that has the spool.

    They go in the order of their places. One that the broker cannot store (nack) is passed by the
    others, and tried again after them: a full queue holds up no other. One that it refuses is set
    aside.
    """

    def __init__(
        self,
        spool: OpenSpool,
        queue: RequestQueue,
        relayed: Relayed,
        log: SpoolLog,
        wake: Callable[[], object],
    ) -> None:
        self._spool, self._queue, self._relayed, self._log = spool, queue, relayed, log
        self._wake = wake
        self._in_flight: dict[int, tuple[int, float]] = {}  # bytes and begin, by place
        self._size = 0  # bytes of all of them
        # Filled by the publisher's thread.
        self._ended: deque[tuple[SpooledEvent, PublishRequest]] = deque()
        self._last = 0  # place of the last one that was sent in this pass
        self._left = False  # something before that is to be sent again
        self._at_end = False  # nothing is behind it
        self._pass_ends = self._not_before = 0.0  # by time.monotonic()
        self.sent = 0  #: number of confirmed ones

    @property
    def is_idle(self) -> bool:
        """True if there is nothing to send, and nothing on its way."""
        return not self._in_flight and not self._ended and not self._spool.counts.waiting

    @property
    def all_on_their_way(self) -> bool:
        """True if the last look found nothing more to send."""
        return self._at_end

    @property
    def is_held_up(self) -> bool:
        """True if something that was sent is not confirmed for a while, or is to be sent again."""
        _, oldest = next(iter(self._in_flight.values()), (0, math.inf))
        return self._left or monotonic() - oldest > _HELD_UP

    def start_again(self) -> None:
        """Begin with the first event again: an operator has changed something."""
        self._left = True

    def send(self) -> None:
        """Send as many as may be in flight. Raises SpoolError."""
        if self._queue.closed.is_set() or monotonic() < self._not_before:
            return
        self._expire()
        if self._left and (not self._in_flight or monotonic() >= self._pass_ends):
            if self._in_flight:
                # What was left behind has its turn when these are through.
                return
            self._last, self._left = 0, False
            self._pass_ends = monotonic() + _PASS
        self._at_end = False
        while self._send_page():
            pass

    def _expire(self) -> None:
        if expired := self._spool.expire():
            self._log.expired(len(expired))
            for event_id in expired:
                self._relayed.forgotten(event_id)

    def _send_page(self) -> bool:
        """Send the next few. Return False if there are no more, or no more may be in flight."""
        count, size = min(_PAGE, IN_FLIGHT - len(self._in_flight)), BYTES - self._size
        if count <= 0 or size <= 0:
            return False
        page = self._spool.waiting(self._last, count, size)
        for event in page:
            if self._in_flight and len(event.body) > BYTES - self._size:
                return False
            self._last = event.place
            if event.place not in self._in_flight:
                self._send(event)
        self._at_end = not page
        return not self._at_end

    def _send(self, event: SpooledEvent) -> None:
        try:
            request = self._relayed.request(event)
        except MessageError as error:
            self._set_aside(event, error)
            return
        request.await_on(None, _NACKED)
        request.future.add_done_callback(partial(self._note, event, request))
        self._in_flight[event.place] = len(event.body), monotonic()
        self._size += len(event.body)
        try:
            self._queue.put(request, wait_for_room=False)
        except BusStateError:
            self._size -= self._in_flight.pop(event.place)[0]

    def _set_aside(self, event: SpooledEvent, error: QtEventsError) -> None:
        reason = text_of(error)
        self._spool.set_aside(event.place, reason)
        self._log.set_aside(event, reason)
        self._relayed.forgotten(event.id)

    def _note(self, event: SpooledEvent, request: PublishRequest, _future: object) -> None:
        self._ended.append((event, request))
        self._wake()

    def settle(self) -> int:
        """Remove from the disk what the broker has confirmed, and return how many. SpoolError."""
        before = self.sent
        ended = [self._ended.popleft() for _ in range(len(self._ended))]
        for event, _ in ended:
            self._size -= self._in_flight.pop(event.place)[0]
        try:
            self._spool.remove([event.place for event, request in ended if request.error is None])
            for event, request in ended:
                self._conclude(event, request)
        except SpoolError:
            # Some are where they were, and go again.
            self._left = True
            raise
        return self.sent - before

    def _conclude(self, event: SpooledEvent, request: PublishRequest) -> None:
        match request.error:
            case None:
                self.sent += 1
                if not request.routed:
                    self._relayed.unheard(event)
            case PublishRefusedError() if request.nacks:
                self._left = True
            case PublishRefusedError() as refusal:
                self._set_aside(event, refusal)
            case error:
                # Not the event's own fault: a declaration that comes first, or the bus is closed.
                self._left, self._not_before = True, monotonic() + _PAUSE
                if not isinstance(error, BusStateError):
                    self._log.failed(error)
