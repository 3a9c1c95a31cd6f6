"""Feeding: one start, from the history into the queue of old events.

Everything that was published before the subscription's own queue was bound is in the history, once
its recorders have caught up. What was published since is in that queue, and perhaps in the history,
too. A fence is put into the queue at the moment of which the history's end is known. What is before
the fence and was sent is taken out; what is before it and was not kept by then is moved behind the
old events. So each event comes once, and in its place.
"""

import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

from amqp.basic_message import Message as RawMessage

from qt_events.delivery.subscribing.starting import RECORDER, RecordedEvents
from qt_events.errors import MessageError
from qt_events.events.raw import RawEvent
from qt_events.events.topics import RoutingIndex
from qt_events.rabbitmq.compat.unreadable import MARK as UNREADABLE
from qt_events.rabbitmq.messages.envelope import TYPE, Envelope, body_of, encodable
from qt_events.rabbitmq.messages.properties import Content, raw_to_amqp
from qt_events.rabbitmq.starting.line import Line
from qt_events.rabbitmq.starting.progress import Phase, Progress
from qt_events.rabbitmq.starting.requests import (
    BEGIN,
    END,
    FENCE,
    FLAW,
    MARK,
    StartRequest,
    is_fence,
    mark,
    mark_of,
)
from qt_events.rabbitmq.topology.names import Topology
from qt_events.rabbitmq.topology.queues import OURS
from qt_events.rabbitmq.topology.trust import ASTRAY, PUBLISHED, RETURNED, Provenance

logger = logging.getLogger("qt_events")

T = TypeVar("T")

#: Events that are sent before the next ones, and at most so many again after a kill.
BATCH = 100
#: Old events that wait for the newcomer, at most: then others have their turn.
MOST = 5_000
#: Seconds of work on one start before others have their turn.
TURN = 5.0
_ASTRAY = "it came by a route that this bus does not use: see docs/security.md"
_PATIENCE = 2.0  # seconds for the next message out of a queue that is not empty


class Gone(Exception):  # no error: an operator removed it
    """Newcomer whose queue of old events is gone, or another start's."""


class _Found(NamedTuple):
    """Message out of the subscription's own queue."""

    envelope: Envelope
    #: The event that was published to everybody; None for any other message.
    event: RawEvent | None


class Feeding:
    """One start. `run` awaits something of the history, and keeps the line alive meanwhile."""

    def __init__(
        self,
        request: StartRequest,
        line: Line,
        past: RecordedEvents,
        topology: Topology,
        run: Callable[[Coroutine[Any, Any, Any]], Any],
    ) -> None:
        self._request, self.line, self._past, self._run = request, line, past, run
        self._topology = topology
        self._name = request.subscription
        self._queue, self._old = topology.queue(self._name), topology.old(self._name)
        self._key = topology.old_key(self._name, request.generation)
        self._provenance = Provenance(topology, self._name, self._name)
        self._index: RoutingIndex[str] = RoutingIndex()
        for each in request.patterns:
            self._index.add(each, each)

    def turn(self) -> bool:
        """Go on for a while. Return True if it is over.

        Raises:
            OSError, AMQPError: the connection is lost; the next recorder goes on.
        """
        try:
            return self._turn(monotonic() + TURN)
        except Gone:
            message = "%s begins no more: its queue %r is gone, or was made anew"
            logger.info(message, self._name, self._old)
            return True

    def _turn(self, until: float) -> bool:
        kept = self._run(self._past.progress(self._request.generation))
        progress = Progress() if kept is None else Progress.of(*kept)
        if progress.phase is Phase.ENDED:
            return True
        if progress.phase is Phase.EMPTYING:
            self._send([mark(BEGIN)])
            if self.line.depth(self._queue) is None:
                # Whoever has asked is about to declare it, or has died; then another one will.
                return False
            self._catch_up(progress)
        if progress.phase is Phase.FEEDING:
            if not (self._feed(progress, until) and self._empty(progress, until)):
                return False
            self._keep(progress, Phase.ENDING)
        self._send([mark(END)])
        self._keep(progress, Phase.ENDED)
        logger.info("%s: all its old events are sent, up to %d", self._name, progress.place)
        return True

    def _keep(self, progress: Progress, phase: Phase) -> None:
        progress.phase = phase
        keeping = self._past.keep_progress(
            self._request.generation, self._name, progress.place, progress.text()
        )
        self._run(keeping)

    def _send(self, contents: Sequence[Content]) -> None:
        sent = [(self._key, each) for each in contents]
        if not self.line.publish(self._topology.starting, sent):
            raise Gone

    # What the history keeps, and where it ends

    def _catch_up(self, progress: Progress) -> None:
        """Find the history's end behind all that the queue does not have, and put up the fence."""
        self._all_caught_up()
        progress.last = self._run(self._past.last())
        progress.fence = f"{FENCE}{uuid4().hex}"
        fence = [(self._name, mark(progress.fence))]
        self.line.publish(self._topology.redeliver, fence)
        self._keep(progress, Phase.FEEDING)

    def _all_caught_up(self) -> None:
        """Return once every recorder has kept what it got before.

        If one has ended meanwhile, what it had has gone back to the queue, behind the marks: then
        once more.
        """
        before, passed, recorders = None, frozenset[str](), 0
        while passed != before or recorders != self._recorders():
            recorders, before = self._recorders(), passed
            passed = self._run(self._past.catch_up_with(self._recorders))
            if recorders == len(passed) == 1:
                before = passed

    def _recorders(self) -> int:
        found = self.line.depth(self._topology.queue(RECORDER))
        return 0 if found is None else found[1]

    # Old events

    def _feed(self, progress: Progress, until: float) -> bool:
        """Send what is kept up to the end. Return False if there is more to do."""
        while progress.place < progress.last:
            if monotonic() > until or self._is_full():
                return False
            page = self._run(self._past.page(progress.place, self._request.since))
            found = [(place, event) for place, event in page if place <= progress.last]
            for begin in range(0, len(found), BATCH):
                part = found[begin : begin + BATCH]
                self._send([_content(each) for _, each in part if self._index.match(each.type)])
                progress.place = part[-1][0]
                self._keep(progress, Phase.FEEDING)
            if not found:
                progress.place = progress.last
        return True

    def _is_full(self) -> bool:
        found = self.line.depth(self._old)
        if found is None:
            raise Gone
        return found[0] >= MOST

    # The head of the subscription's own queue

    def _empty(self, progress: Progress, until: float) -> bool:
        """Take out what is before the fence. Return False if there is more to do."""
        self._keep(progress, Phase.EMPTYING)

        def is_last(raw: RawMessage) -> bool:
            return is_fence(self._topology, raw) and mark_of(raw) == progress.fence

        while True:
            taken = self.line.take(self._queue, BATCH, _PATIENCE, is_last)
            self._send(self._moved(taken, progress.last))
            self.line.settle(taken)
            if any(map(is_last, taken)):
                return True
            found = self.line.depth(self._queue)
            if found is None:
                raise Gone
            if not (taken or found[0]):
                message = "%s: something else takes events out of %r while it begins"
                logger.warning(message, self._name, self._queue)
                return True
            if monotonic() > until:
                # Nothing is in flight.
                self._keep(progress, Phase.FEEDING)
                return False

    def _moved(self, taken: Sequence[RawMessage], last: int) -> list[Content]:
        """Return what was not sent yet, as it came."""
        found = [self._found(raw) for raw in taken if not is_fence(self._topology, raw)]
        events = [each.event for each in found if each.event is not None]
        places = self._run(self._past.places(events)) if events else ()
        sent = {
            id(event)
            for event, place in zip(events, places, strict=True)
            if 0 < place <= last and self._is_wanted(event)
        }
        return [_copy(each.envelope) for each in found if id(each.event) not in sent]

    def _is_wanted(self, event: RawEvent) -> bool:
        since = self._request.since
        heard = bool(self._index.match(event.type))
        return heard and (since is None or since <= event.time)

    def _found(self, raw: RawMessage) -> _Found:
        properties = dict(raw.properties)
        headers = properties.pop("application_headers", None) or {}
        origin = self._provenance.of(raw.delivery_info, headers)
        names = OURS if origin == RETURNED else ()
        ours = {name: headers[name] for name in names if name in headers}
        flaw = _ASTRAY if origin == ASTRAY else headers.get(UNREADABLE)
        if flaw is not None:
            ours[MARK] = f"{FLAW}{flaw}"
        key = encodable(str(raw.delivery_info.get("routing_key", "")))
        envelope = Envelope(self._name, self._name, body_of(raw), properties, ours, key)
        event = None
        if origin == PUBLISHED and flaw is None:
            # One that is no event is not kept. The newcomer makes a dead letter of it.
            with suppress(MessageError):
                event = envelope.event(raw=True)
        return _Found(envelope, event)


def _content(event: RawEvent) -> Content:
    content = raw_to_amqp(event)
    content.headers = {TYPE: event.type}
    return content


def _copy(envelope: Envelope) -> Content:
    headers = {**envelope.headers, TYPE: envelope.event_type}
    return Content(envelope.body, envelope.carried(), headers)
