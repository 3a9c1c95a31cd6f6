"""Line: the one connection by which a recorder serves newcomers.

It takes requests, sends old events and empties queues by this connection alone. When that ends, the
broker gives the request to another recorder, and nothing that this one sends can follow.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from time import monotonic

from amqp import Connection as RawConnection
from amqp.basic_message import Message as RawMessage
from amqp.exceptions import NotFound

from qt_events.rabbitmq.compat.basic_publish import writer_to
from qt_events.rabbitmq.messages.properties import Content
from qt_events.rabbitmq.publishing.confirms import UnconfirmedPublishes
from qt_events.rabbitmq.topology.names import Topology

_BEAT = 0.2  # seconds that it waits for frames before it looks at other things
_SILENCE = 60.0  # seconds without a confirm after which the connection is given up


class Stopped(Exception):  # no error: the recorder stops
    """Recorder that stops in the middle of its work."""


class NotStored(Exception):  # no error of anybody's: it is tried again
    """Publish that the broker could not store."""


class Line:
    """Line of one recorder. `stopping` ends whatever it does, by Stopped.

    Every method raises OSError or an error of py-amqp if the connection is lost or refused.
    """

    def __init__(self, raw: RawConnection, topology: Topology, stopping: threading.Event) -> None:
        self.raw, self._topology, self._stopping = raw, topology, stopping
        self._unconfirmed: UnconfirmedPublishes[None] = UnconfirmedPublishes()
        self._returned = self._nacked = 0
        self._out = raw.channel()
        self._out.events["basic_ack"].add(self._on_ack)
        self._out.events["basic_nack"].add(self._on_nack)
        self._out.events["basic_return"].add(self._on_return)
        self._out.confirm_select()
        self._writer = writer_to(self._out)
        self._in, self._looks, self._requests = raw.channel(), raw.channel(), raw.channel()
        self._in.auto_decode = self._requests.auto_decode = False

    # Requests

    def begin(self) -> None:
        """Take requests, one at a time; another recorder gets none meanwhile."""
        self._topology.declare_starts(self._looks)
        self._waiting = list[RawMessage]()
        self._requests.basic_qos(0, 1, a_global=False)
        self._requests.basic_consume(self._topology.starts, callback=self._waiting.append)

    def request(self) -> RawMessage:
        """Return the next request, once there is one."""
        while not self._waiting:
            self.beat()
        return self._waiting.pop()

    def done(self, request: RawMessage) -> None:
        """Acknowledge a request."""
        self._requests.basic_ack(request.delivery_info["delivery_tag"])

    # Publish

    def publish(self, exchange: str, messages: Iterable[tuple[str, Content]]) -> bool:
        """Publish messages, each with its routing key; return once all are confirmed.

        Return False if one of them, or all, went nowhere.

        Raises:
            NotStored: the broker could not store one of them.
        """
        self._returned = self._nacked = 0
        for key, content in messages:
            self._writer.write(exchange, key, content)
            self._unconfirmed.add(None)
        self._writer.flush()
        heard = monotonic()
        while left := len(self._unconfirmed):
            self.beat()
            if len(self._unconfirmed) < left:
                heard = monotonic()
            elif monotonic() - heard > _SILENCE:
                raise TimeoutError(f"no confirm for {_SILENCE:g} s")
        if self._nacked:
            raise NotStored(f"the broker could not store {self._nacked} events in {exchange!r}")
        return not self._returned

    def _on_ack(self, tag: int, multiple: object) -> None:
        self._unconfirmed.settle(tag, multiple=bool(multiple))

    def _on_nack(self, tag: int, multiple: object) -> None:
        self._nacked += len(self._unconfirmed.settle(tag, multiple=bool(multiple)))

    def _on_return(self, *_: object) -> None:
        self._returned += 1

    # Take out

    def depth(self, queue: str) -> tuple[int, int] | None:
        """Return the numbers of ready messages and of consumers; None if there is no such queue."""
        try:
            return self._topology.depth(self._looks, queue)
        except NotFound:
            return None

    def take(
        self, queue: str, most: int, patience: float, is_last: Callable[[RawMessage], bool]
    ) -> Sequence[RawMessage]:
        """Take the next messages out of a queue, in order, at most so many.

        It ends with the last one, or when nothing has come for `patience` seconds. A message that
        was on its way then is among them: none goes back, behind the others.
        """
        taken = list[RawMessage]()
        self._in.basic_qos(0, most, a_global=False)
        tag = self._in.basic_consume(queue, callback=taken.append)
        heard, seen = monotonic(), 0
        while len(taken) < most and monotonic() - heard < patience:
            if any(map(is_last, taken[seen:])):
                break
            if len(taken) > seen:
                heard, seen = monotonic(), len(taken)
            self.beat()
        self._in.basic_cancel(tag)
        return taken

    def settle(self, taken: Sequence[RawMessage]) -> None:
        """Acknowledge what was taken; return when the broker has done so."""
        if taken:
            self._in.basic_ack(taken[-1].delivery_info["delivery_tag"], multiple=True)
            self._in.basic_qos(0, 1, a_global=False)

    # Wait

    def beat(self, seconds: float = _BEAT) -> None:
        """Read what comes within so many seconds, and keep the connection alive.

        Raises:
            Stopped: the recorder stops.
        """
        if self._stopping.is_set():
            raise Stopped
        with suppress(TimeoutError):
            self.raw.blocking_read(seconds)
        self.raw.heartbeat_tick()
