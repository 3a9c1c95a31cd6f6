"""Session: one connection of a publisher, from connecting to its loss. Runs in its thread."""

import logging
import os
import select
from collections.abc import Iterable
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import Any, Self

import kombu
from amqp import Channel
from amqp.basic_message import Message as RawMessage
from amqp.exceptions import ChannelError, NotFound

from qt_events.errors import (
    PublishNackedError,
    PublishRefusedError,
    QtEventsError,
    TopologyError,
)
from qt_events.rabbitmq.compat.basic_publish import UNSENDABLE, Writer, writer_to
from qt_events.rabbitmq.connection.connections import ANSWER_TIMEOUT, LOST, connect, leave, own
from qt_events.rabbitmq.connection.refusals import is_about_a_publish, topology_error
from qt_events.rabbitmq.publishing.confirms import PAUSE, NackedPublishes, UnconfirmedPublishes
from qt_events.rabbitmq.publishing.request_queue import RequestQueue
from qt_events.rabbitmq.publishing.requests import Preparation, PublishRequest, Request
from qt_events.rabbitmq.publishing.state import PublisherState
from qt_events.rabbitmq.publishing.waiting import FULL

logger = logging.getLogger("qt_events")

_BATCH = 64  # requests written before confirms are read
_TURN = 0.005  # seconds of reading, about, before the next requests are written
_WRITE_TIMEOUT = 5.0  # seconds for the kernel to take a frame, 128 KiB at most
_FRAME_TIMEOUT = 0.02  # seconds for the rest of a frame on a connection that is being left
_LEAVE_TIMEOUT = 0.5  # seconds to read what a lost connection still has
_TICK = 1.0  # seconds between two looks at the heartbeat, at most
_DRAIN = 1.0  # seconds to confirm what is in flight before its channel is left, at most


class Session:
    """Connection in confirm mode, for the requests in the queue.

    On exit, those that are unconfirmed go back there, in order. `connection` is not connected yet.
    """

    def __init__(
        self, queue: RequestQueue, state: PublisherState, connection: kombu.Connection
    ) -> None:
        self._queue, self._state, self._connection = queue, state, connection
        self._unconfirmed: UnconfirmedPublishes[PublishRequest] = UnconfirmedPublishes()
        self._nacked = NackedPublishes()
        self._ended: list[Request] = []
        # Taken from the queue; a write that fails half way is unconfirmed, not unsent.
        self._current: Request | None = None
        self._writer: Writer
        # Publishes to confirm one by one, because the broker closed the channel over one of them.
        self._careful = 0
        self._next_tick = monotonic()
        self._raw: Any = None
        # Opened when something is declared first. A refusal closes it, and py-amqp opens it again.
        self._preparing: Channel | None = None

    def __enter__(self) -> Self:
        self._raw = connect(self._connection)
        own([self._raw.frames])
        try:
            self._raw.sock.settimeout(_WRITE_TIMEOUT)
            self._tick_every = min(_TICK, self._raw.heartbeat / 4 or _TICK)
            # select() refuses descriptors from 1024 on.
            self._poll = select.poll()
            for readable in (self._raw.sock, self._queue.reader):
                self._poll.register(readable, select.POLLIN)
            self._open_channel()
            self._state.connection_made()
        except BaseException:
            self._raw.collect()
            raise
        return self

    def _open_channel(self) -> None:
        self._channel = self._raw.channel()
        self._channel.events["basic_ack"].add(self._on_ack)
        self._channel.events["basic_nack"].add(self._on_nack)
        self._channel.events["basic_return"].add(self._on_return)
        self._count_from_one()

    def _count_from_one(self) -> None:
        """Begin a new series of delivery tags: the channel is new."""
        self._unconfirmed, self._writer = UnconfirmedPublishes(), writer_to(self._channel)
        self._channel.confirm_select()
        self._state.channels += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        try:
            leave(self._raw) if error is None else self._collect()
        finally:
            self._flush()
            self._give_back(self._nacked.take())

    def _collect(self) -> None:
        """Read confirms and the reason for the end, if they came, and close without a goodbye."""
        if self._raw.connected:
            with suppress(*LOST, ChannelError):
                self._raw.sock.settimeout(_LEAVE_TIMEOUT)
                while self._has_frames():
                    self._raw.blocking_read(_FRAME_TIMEOUT)
        self._raw.collect()

    def _give_back(self, nacked: Iterable[PublishRequest] = ()) -> None:
        current = [] if self._current is None else [self._current]
        self._queue.give_back([*nacked, *self._unconfirmed, *current])
        self._current = None

    def disown(self) -> None:
        """Close the copy of the socket in a forked child, without a word to the broker."""
        sock = self._raw.sock if self._raw is not None and self._raw.connected else None
        if sock is not None:
            # It may be closed just then.
            with suppress(OSError):
                os.close(sock.detach())

    def serve(self) -> None:
        """Write requests and read confirms until the queue is finished.

        Raises:
            OSError, amqp.exceptions.ConnectionError: the connection is lost.
        """
        while not self._queue.finished:
            try:
                self._turn()
            except ChannelError as error:
                self._refused(error)

    def _turn(self) -> None:
        more = self._write()
        self._flush()
        if self._wait(0 if more else self._patience):
            self._read()
        self._flush()
        self._try_again()
        self._tick()

    @property
    def _patience(self) -> float:
        """Seconds to wait for requests or frames."""
        if not self._nacked:
            return self._tick_every
        # A try that is overdue waits for confirms of the old channel.
        return min(self._tick_every, max(0.0, self._nacked.next - monotonic()) or PAUSE)

    # Write

    def _write(self) -> bool:
        """Write a batch. Return True if there is more to write at once."""
        try:
            return self._write_batch()
        finally:
            self._writer.flush()

    def _write_batch(self) -> bool:
        for _ in range(_BATCH):
            if self._state.blocked or (self._careful and self._unconfirmed) or self._is_try_due():
                return False
            self._current = self._queue.take()
            if self._current is None:
                return False
            self._careful -= bool(self._careful)
            self._carry_out(self._current)
            self._current = None
        return True

    def _carry_out(self, request: Request) -> None:
        try:
            if request.first is not None and request.first.needed(self._state.epoch):
                self._writer.flush()
                self._prepare(request.first)
        except QtEventsError as error:
            request.error = error
        if isinstance(request, PublishRequest) and request.error is None:
            self._publish(request)
        else:
            self._ended.append(request)

    def _prepare(self, preparation: Preparation) -> None:
        self._state.preparation = preparation
        try:
            self._raw.sock.settimeout(ANSWER_TIMEOUT)
            if self._preparing is None:
                self._preparing = self._raw.channel()
            refusal = self._refusal(self._preparing, preparation)
            self._raw.sock.settimeout(_WRITE_TIMEOUT)
        finally:
            self._state.preparation = None
        if refusal is not None:
            raise refusal

    def _refusal(self, channel: Channel, preparation: Preparation) -> QtEventsError | None:
        try:
            preparation.make(channel, self._state.epoch)
        except (ChannelError, QtEventsError) as error:
            cause = error if isinstance(error, ChannelError) else error.__cause__
            # Our own channel may end while the other one's answer is waited for.
            if is_about_a_publish(cause):
                raise cause from None  # type: ignore[misc]
            if isinstance(error, ChannelError):
                return topology_error(error, preparation.about)
            return error
        return None

    def _publish(self, request: PublishRequest) -> None:
        try:
            self._writer.write(request.exchange, request.routing_key, request.content)
        except UNSENDABLE as error:
            request.error = PublishRefusedError(
                f"{request.routing_key!r:.300} cannot be written as an AMQP message: {error}"
            )
            self._ended.append(request)
        else:
            self._unconfirmed.add(request)

    def _refused(self, error: ChannelError) -> None:
        """Handle a channel that the broker closed over one publish.

        If only one was in flight, it ends with an error. Else all go again, one by one.
        """
        logger.warning("publisher: the broker closed the channel: %s", error)
        unconfirmed = list(self._unconfirmed)
        if len(unconfirmed) == 1:
            (request,) = unconfirmed
            request.error = PublishRefusedError(
                f"the broker refused {request.routing_key!r}: {error.reply_text}"
            )
            self._ended.append(request)
            self._flush()
        self._give_back()
        self._state.epoch += isinstance(error, NotFound)
        self._careful = len(unconfirmed)
        # py-amqp has opened the channel again.
        self._count_from_one()

    # Again

    def _is_try_due(self) -> bool:
        return bool(self._nacked) and self._nacked.next <= monotonic()

    def _try_again(self) -> None:
        """Publish what was nacked over a new channel, once the rest of the old one is confirmed.

        RabbitMQ 3.10.8 has a channel ask who leads a quorum queue when it first publishes to it. If
        nobody did then, it nacks all that follows, long after another leader was elected.
        """
        if self._state.blocked or not self._is_try_due():
            return
        if self._unconfirmed and monotonic() - self._nacked.next < _DRAIN:
            return
        self._raw.sock.settimeout(ANSWER_TIMEOUT)
        self._channel.close()
        # Together: a new channel for each would hold up the others.
        nacked = self._nacked.take(monotonic() + PAUSE)
        self._give_back(nacked)
        self._open_channel()
        self._raw.sock.settimeout(_WRITE_TIMEOUT)
        logger.info(
            "publisher: %d publishes that the broker could not store go over a new channel",
            len(nacked),
        )

    # Read

    def _wait(self, timeout: float) -> bool:
        """Wait for requests or frames. Return True if there are frames."""
        ready = {
            descriptor
            for descriptor, _ in self._poll.poll(0 if self._pending() else timeout * 1000)
        }
        if self._queue.reader.fileno() in ready:
            self._queue.woken()
        return self._raw.sock.fileno() in ready or self._pending()

    def _pending(self) -> bool:
        """Return True if a frame was read ahead, or TLS has decrypted more than was read."""
        sock = self._raw.sock
        return self._raw.frames.has_whole() or bool(hasattr(sock, "pending") and sock.pending())

    def _has_frames(self) -> bool:
        return self._pending() or any(
            descriptor == self._raw.sock.fileno() for descriptor, _ in self._poll.poll(0)
        )

    def _read(self) -> None:
        """Read what has come. Half a frame is kept until its rest comes."""
        self._raw.frames.handle_what_came(monotonic() + _TURN)

    def _on_ack(self, tag: int, multiple: Any) -> None:
        self._state.confirmed()
        for request in self._unconfirmed.settle(tag, multiple=bool(multiple)):
            if request.must_route and not request.routed:
                request.error = TopologyError(
                    f"no queue {request.routing_key!r} behind exchange {request.exchange!r}"
                )
            self._ended.append(request)

    def _on_nack(self, tag: int, multiple: Any) -> None:
        for request in self._unconfirmed.settle(tag, multiple=bool(multiple)):
            if not self._nacked.add(request, monotonic()):
                request.error = PublishNackedError(
                    f"the broker could not store {request.routing_key!r} "
                    f"({request.nacks} nacks: {FULL}); try again"
                )
                self._ended.append(request)

    def _on_return(
        self, _error: Exception, exchange: str, routing_key: str, raw: RawMessage
    ) -> None:
        """Mark a publish as not routed. Its ack comes next.

        AMQP keeps the order, so it is the oldest unconfirmed publish that fits.
        """
        message_id = raw.properties.get("message_id")
        for request in self._unconfirmed:
            same = (
                request.exchange == exchange
                and request.routing_key == routing_key
                and request.routed
            )
            if same and request.content.properties.get("message_id") == message_id:
                request.routed = False
                return

    def _flush(self) -> None:
        if self._ended:
            ended, self._ended = self._ended, []
            self._queue.end(ended)

    def _tick(self) -> None:
        if monotonic() >= self._next_tick:
            self._raw.heartbeat_tick()
            self._next_tick = monotonic() + self._tick_every
