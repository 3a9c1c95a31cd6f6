"""Moving: what the queues of a subscription hold, into those of another name.

For a subscription that was renamed. A message is stored in the new queue, confirmed, before the old
one loses it: a broken move leaves the rest where it is, and one event twice at most.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

from amqp.basic_message import Message as RawMessage
from amqp.exceptions import NotFound

from qt_events.dead_letters.scan import Progress
from qt_events.delivery.outcome import DeadLetterReason
from qt_events.errors import BusStateError, TopologyError, UnknownSubscriptionError
from qt_events.events.topics import matches
from qt_events.rabbitmq.compat.basic_publish import UNSENDABLE
from qt_events.rabbitmq.compat.unreadable import MARK
from qt_events.rabbitmq.connection.connections import ANSWER_TIMEOUT
from qt_events.rabbitmq.messages.envelope import (
    BODY_SIZE,
    KEY,
    REASON,
    TYPE,
    body_of,
    headers_of,
    record_from,
)
from qt_events.rabbitmq.messages.properties import FORMER_PRIORITY, PERSISTENT
from qt_events.rabbitmq.topology.names import Topology
from qt_events.rabbitmq.topology.queues import OURS
from qt_events.rabbitmq.topology.trust import ASTRAY, PUBLISHED, Provenance

_HELD = 500  # messages in hand at a time
_SILENCE = 0.2  # seconds without a message before the queue is asked for its length
# Neither is ours to say: the broker checks the first, and the second is its own.
_NOT_CARRIED = ("application_headers", "user_id", "cluster_id")


@dataclass(slots=True)
class Moved:
    """Numbers of what was moved."""

    source: str
    destination: str
    events: int = 0
    quarantined: int = 0
    dead_letters: int = 0
    #: Messages that stay: the new one does not hear them, no bus put them there, or AMQP cannot
    #: carry them.
    skipped: int = 0


class Move:
    """Move from one subscription to another, over a connection of its own.

    With `patterns` only what the new one hears: two services may have shared the old queue.
    """

    def __init__(  # from where to where, and what
        self,
        topology: Topology,
        connection: Any,
        source: str,
        destination: str,
        patterns: Sequence[str] | None = None,
    ) -> None:
        self._topology, self._source, self._destination = topology, source, destination
        self._patterns = patterns
        self._connection = connection
        self._reading, self._writing = connection.channel(), connection.channel()
        self._reading.auto_decode = False
        self._writing.events["basic_return"].add(self._on_return)
        self._is_returned = False
        self._provenance = Provenance(topology, source, source)
        self.moved = Moved(source, destination)

    def check(self, *, force: bool) -> None:
        """Raise an error unless the new queue is there, and nobody serves the old one.

        Raises:
            UnknownSubscriptionError: there is no queue of the new name.
            BusStateError: the old queue has consumers, and `force` is not given.
        """
        depth = self._depth(self._topology.queue(self._destination))
        if depth is None and self._depth(self._topology.dead(self._destination)) is None:
            raise UnknownSubscriptionError(
                f"there is no queue of {self._destination!r}: declare it first, with "
                "`qt-events topology declare --app MODULE`, or give the --app here"
            )
        _, consumers = self._depth(self._topology.queue(self._source)) or (0, 0)
        if consumers and not force:
            raise BusStateError(
                f"{self._source!r} is served, by {consumers} consumers: stop these workers, for "
                "they would bind it again; --force moves what they do not hold"
            )

    def run(self, on_progress: Callable[[Progress], object]) -> Moved:
        """Move all there is now. Call `on_progress` after each message."""
        t, moved, done = self._topology, self.moved, 0
        total = sum((self._depth(each) or (0, 0))[0] for each in self.queues)
        on_progress(Progress(total))
        for source, destination, of, what in (
            (t.queue, t.queue, self._event, "events"),
            (t.quarantine, t.quarantine, self._event, "quarantined"),
            (t.dead, t.dead, self._dead_letter, "dead_letters"),
        ):
            for raw in self._messages(source(self._source)):
                copy = of(raw)
                if copy is not None and self._store(copy, destination(self._destination)):
                    self._reading.basic_ack(raw.delivery_info["delivery_tag"])
                    setattr(moved, what, getattr(moved, what) + 1)
                    done += 1
                else:
                    moved.skipped += 1
                on_progress(Progress(max(total, done), done, moved.skipped))
        # What stays comes back before anybody looks.
        self._reading.close()
        return moved

    @property
    def queues(self) -> list[str]:
        """Queues of the old name."""
        t = self._topology
        return [queue(self._source) for queue in (t.queue, t.quarantine, t.dead)]

    @property
    def has_quarantine(self) -> bool:
        """True if one was made for the old name."""
        return self._depth(self._topology.quarantine(self._source)) is not None

    def remove(self) -> None:
        """Delete the old queues. BusStateError: one is not empty, or is served."""
        for queue in self.queues:
            # The broker does not look by itself: quorum queues know no if_empty.
            waiting, consumers = self._depth(queue) or (0, 0)
            if self.moved.skipped or waiting or consumers:
                raise BusStateError(
                    f"{queue!r} is not removed: {waiting + self.moved.skipped} messages are left, "
                    f"and it has {consumers} consumers"
                )
        for queue in self.queues:
            self._writing.queue_delete(queue)

    # One message

    def _messages(self, queue: str) -> Iterator[RawMessage]:
        """Yield all, by consuming: a single active consumer's queue answers no basic.get."""
        if self._depth(queue) is None:
            return
        arrived: deque[RawMessage] = deque()
        self._reading.basic_qos(0, _HELD, a_global=False)
        tag = self._reading.basic_consume(queue, callback=arrived.append)
        empty_looks, deadline = 0, monotonic() + ANSWER_TIMEOUT
        # Twice: some were on their way when the queue was asked first.
        while empty_looks < 2:  # noqa: PLR2004
            with suppress(TimeoutError):
                self._connection.drain_events(timeout=_SILENCE)
            if arrived:
                empty_looks, deadline = 0, monotonic() + ANSWER_TIMEOUT
            elif not (self._depth(queue) or (0,))[0]:
                empty_looks += 1
            elif monotonic() > deadline:
                raise TopologyError(
                    f"{queue!r} has messages and sends none: another one consumes them, or more "
                    f"than {_HELD} in it were put there by no bus; purge those first"
                )
            while arrived:
                yield arrived.popleft()
        self._reading.basic_cancel(tag)

    def _is_heard(self, event_type: object) -> bool:
        if self._patterns is None:
            return True
        return any(matches(each, str(event_type)) for each in self._patterns)

    def _event(self, raw: RawMessage) -> RawMessage | None:
        """Return the copy of an event, with the headers that its route makes believable."""
        given = raw.headers or {}
        origin = self._provenance.of(raw.delivery_info, given)
        if origin == ASTRAY or MARK in given:
            return None
        names = () if origin == PUBLISHED else OURS
        kept = {name: given[name] for name in names if name in given}
        headers = {TYPE: raw.delivery_info["routing_key"], **kept}
        return _copy(raw, headers) if self._is_heard(headers[TYPE]) else None

    def _dead_letter(self, raw: RawMessage) -> RawMessage | None:
        given = raw.headers or {}
        believed = self._provenance.believed(raw.delivery_info, given)
        headers = {REASON: DeadLetterReason.FORGED.value} if believed is None else believed
        key = str(raw.delivery_info["routing_key"])
        record = record_from(self._destination, body_of(raw), _carried(raw), headers, key)
        if believed is not None and not self._is_heard(record.event_type):
            return None
        whole = {} if record.whole else {BODY_SIZE: headers[BODY_SIZE]}
        told = {**headers_of(record, self._key(headers.get(KEY))), **whole}
        return RawMessage(record.body, application_headers=told, **record.properties)

    def _key(self, key: object) -> str:
        """Return the routing key that brings it back; of a broadcast it has the process."""
        instance = str(key or "").removeprefix(self._source)
        return f"{self._destination}{instance if instance.startswith('.') else ''}"

    def _store(self, message: RawMessage, queue: str) -> bool:
        self._is_returned = False
        try:
            self._writing.basic_publish_confirm(
                message, "", queue, mandatory=True, confirm_timeout=ANSWER_TIMEOUT
            )
        except UNSENDABLE:
            return False
        if self._is_returned:
            raise TopologyError(f"there is no queue {queue!r} any more: nothing more is moved")
        return True

    def _on_return(self, *_: object) -> None:
        self._is_returned = True

    def _depth(self, queue: str) -> tuple[int, int] | None:
        with self._connection.channel() as channel:
            try:
                return self._topology.depth(channel, queue)
            except NotFound:
                return None


def _carried(raw: RawMessage) -> dict[str, Any]:
    kept = {
        name: value
        for name, value in raw.properties.items()
        if name not in _NOT_CARRIED and (name, value) != FORMER_PRIORITY
    }
    return {**kept, "delivery_mode": PERSISTENT}


def _copy(raw: RawMessage, headers: dict[str, Any]) -> RawMessage:
    return RawMessage(body_of(raw), application_headers=headers, **_carried(raw))
