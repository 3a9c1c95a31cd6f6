"""Session: the life of one publisher connection, from connecting to its loss. Runs in the publisher's thread."""

import logging
import os
import select
import struct
from collections.abc import Iterable
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import kombu
from amqp import Channel
from amqp.basic_message import Message as RawMessage
from amqp.exceptions import ChannelError, FrameSyntaxError, NotFound

from qt_events.errors import PublishRefusedError, QtEventsError, TopologyError
from qt_events.rabbitmq.connection.connections import ANSWER_TIMEOUT, LOST, connect, leave
from qt_events.rabbitmq.connection.refusals import is_about_a_publish, topology_error
from qt_events.rabbitmq.publishing.confirms import UnconfirmedPublishes
from qt_events.rabbitmq.publishing.nacks import PAUSE, Nacks
from qt_events.rabbitmq.publishing.requests import Preparation, PublishRequest, Request

if TYPE_CHECKING:
    from qt_events.rabbitmq.publishing.publisher import Publisher

logger = logging.getLogger("qt_events")

_BATCH = 64  # orders written before confirms are read
_FRAMES = 1024  # frames read before the next orders are written
_WRITE_TIMEOUT = 5.0  # seconds for the kernel to take a frame, 128 KiB at most
_FRAME_TIMEOUT = 0.02  # seconds for the rest of a frame that is somebody's last words
_LEAVE_TIMEOUT = 0.5  # seconds for the last words of a lost connection
_TICK = 1.0  # seconds between two looks at the heartbeat, at most
_DRAIN = 1.0  # seconds for what is in flight to be confirmed before its channel is left, at most
_CHUNK = 131_072  # bytes written at a time, if no frame is longer
_UNSENDABLE = (struct.error, TypeError, ValueError, FrameSyntaxError)  # before a byte is written


class Session:
    """A connection in confirm mode. Leaving it hands what is unconfirmed back to the publisher, in order."""

    def __init__(self, publisher: "Publisher", connection: kombu.Connection) -> None:
        self._publisher, self._connection = publisher, connection
        self._unconfirmed: UnconfirmedPublishes[PublishRequest] = UnconfirmedPublishes()
        self._nacks = Nacks()
        self._ended: list[Request] = []
        self._current: Request | None = None  # taken from the outbox, not in the ledger yet
        self._careful = (
            0  # publishes to confirm one by one: the broker closed the channel over one of them
        )
        self._written: list[bytes] = []  # what the kernel has not been given yet
        self._size = 0  # bytes of that
        self._next_tick = monotonic()
        self._raw: Any = None
        self.blocked = False  #: the broker reads nothing from this connection

    def __enter__(self) -> Self:
        self._raw = connect(self._connection)
        try:
            self._raw.sock.settimeout(_WRITE_TIMEOUT)
            self._tick_every = min(_TICK, self._raw.heartbeat / 4 or _TICK)
            self._poll = select.poll()  # not select(): that refuses descriptors from 1024 on
            for readable in (self._raw.sock, self._publisher.reader):
                self._poll.register(readable, select.POLLIN)
            self._open_channel()
            self._publisher.epoch += 1
        except BaseException:
            self._raw.collect()
            raise
        return self

    def _open_channel(self) -> None:
        self._channel = self._raw.channel()
        self._channel.events["basic_ack"].add(self._on_ack)
        self._channel.events["basic_nack"].add(self._on_nack)
        self._channel.events["basic_return"].add(self._on_return)
        self._confirm_from_here()

    def _confirm_from_here(self) -> None:
        """Count delivery tags from 1: the channel is new."""
        self._unconfirmed, self._written, self._size = UnconfirmedPublishes(), [], 0
        self._channel.confirm_select()
        self._publisher.session += 1

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
            self._give_back(self._nacks.take())

    def _collect(self) -> None:
        """Hear its last words, which may be confirms or why it went, and close without an answer."""
        if self._raw.connected:
            with suppress(*LOST, ChannelError):
                self._raw.sock.settimeout(_LEAVE_TIMEOUT)
                while self._has_frames():
                    self._raw.blocking_read(_FRAME_TIMEOUT)
        self._raw.collect()

    def _give_back(self, nacked: Iterable[PublishRequest] = ()) -> None:
        current = [] if self._current is None else [self._current]
        self._publisher.give_back([*nacked, *self._unconfirmed, *current])
        self._current = None

    def disown(self) -> None:
        """In a forked child: close its copy of the socket, without a word to the broker: it talks to the parent."""
        sock = self._raw.sock if self._raw is not None and self._raw.connected else None
        if sock is not None:
            with suppress(OSError):  # it was being closed just then
                os.close(sock.detach())

    def serve(self) -> None:
        """Write orders and read confirms until the publisher closes. Raises what the connection raises."""
        while not self._publisher.finished:
            try:
                self._turn()
            except ChannelError as error:
                self._refused(error)

    def _turn(self) -> None:
        more = self._write()
        self._flush()
        if self._wait(0 if more else min(self._tick_every, self._until_next_try() or PAUSE)):
            self._read()
        self._flush()
        self._try_again()
        self._tick()

    # Write

    def _write(self) -> bool:
        """Write a batch; whether there is more to write at once."""
        try:
            return self._write_batch()
        finally:
            self._send()

    def _write_batch(self) -> bool:
        for _ in range(_BATCH):
            if self.blocked or (self._careful and self._unconfirmed) or not self._until_next_try():
                return False
            self._current = self._publisher.next_request()
            if self._current is None:
                return False
            self._careful -= bool(self._careful)
            self._carry_out(self._current)
            self._current = None
        return True

    def _send(self) -> None:
        """Give the kernel what was written: whole frames of several publishes, as many as it surely takes at a time."""
        written, self._written, self._size = self._written, [], 0
        if written:
            self._raw.frames.write(b"".join(written))

    def _carry_out(self, request: Request) -> None:
        try:
            if request.first is not None and request.first.needed(self._publisher.epoch):
                self._send()
                self._prepare(request.first)
        except QtEventsError as error:
            request.error = error
        if isinstance(request, PublishRequest) and request.error is None:
            self._publish(request)
        else:
            self._ended.append(request)

    def _prepare(self, preparation: Preparation) -> None:
        self._raw.sock.settimeout(ANSWER_TIMEOUT)
        channel = self._raw.channel()
        refusal = self._refusal(channel, preparation)
        channel.close()
        self._raw.sock.settimeout(_WRITE_TIMEOUT)
        if refusal is not None:
            raise refusal

    def _refusal(self, channel: Channel, preparation: Preparation) -> QtEventsError | None:
        try:
            preparation.make(channel, self._publisher.epoch)
        except (ChannelError, QtEventsError) as error:
            cause = error if isinstance(error, ChannelError) else error.__cause__
            if is_about_a_publish(
                cause
            ):  # our own channel ended, while the other one's answer was waited for
                raise cause from None  # type: ignore[misc]
            return (
                topology_error(error, preparation.about)
                if isinstance(error, ChannelError)
                else error
            )
        return None

    def _publish(self, request: PublishRequest) -> None:
        try:
            frames = request.frames(self._channel.channel_id, self._raw.frame_max)
        except _UNSENDABLE as error:
            message = f"{request.routing_key!r:.300} cannot be written as an AMQP message: {error}"
            request.error = PublishRefusedError(message)
            self._ended.append(request)
            return
        self._unconfirmed.add(
            request
        )  # before the write: a write that fails half way is unconfirmed, not unsent
        for frame in frames:
            if self._written and self._size + len(frame) > _CHUNK:
                self._send()
            self._written.append(frame)
            self._size += len(frame)

    def _refused(self, error: ChannelError) -> None:
        """The broker closed the channel over one publish: the only one in flight, or find it by going one by one."""
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
        self._publisher.epoch += isinstance(error, NotFound)
        self._careful = len(unconfirmed)
        self._confirm_from_here()  # py-amqp has opened the channel again

    # Again

    def _until_next_try(self) -> float:
        """Seconds."""
        return max(0.0, self._nacks.next - monotonic())

    def _try_again(self) -> None:
        """Publish what was nacked over a new channel, once the rest of the old one's is confirmed.

        RabbitMQ 3.10.8 has a channel ask who leads a quorum queue when it first publishes to it. If nobody did then, it
        nacks all that follows, long after another leader was elected.
        """
        overdue = monotonic() - self._nacks.next
        if self.blocked or overdue < 0 or (self._unconfirmed and overdue < _DRAIN):
            return
        self._raw.sock.settimeout(ANSWER_TIMEOUT)
        self._channel.close()
        nacked = self._nacks.take(
            monotonic() + PAUSE
        )  # together: a new channel for each would hold up the others
        self._give_back(nacked)
        self._open_channel()
        self._raw.sock.settimeout(_WRITE_TIMEOUT)
        logger.info(
            "publisher: %d publishes that the broker could not store go over a new channel",
            len(nacked),
        )

    # Read

    def _wait(self, timeout: float) -> bool:
        """Wait for orders or frames; whether there are frames."""
        ready = {
            descriptor
            for descriptor, _ in self._poll.poll(0 if self._pending() else timeout * 1000)
        }
        if self._publisher.reader.fileno() in ready:
            self._publisher.heard()
        return self._raw.sock.fileno() in ready or self._pending()

    def _pending(self) -> bool:
        """Whether a frame was read ahead, or TLS has decrypted more than was read."""
        sock = self._raw.sock
        return self._raw.frames.has_whole() or bool(hasattr(sock, "pending") and sock.pending())

    def _has_frames(self) -> bool:
        return self._pending() or any(
            descriptor == self._raw.sock.fileno() for descriptor, _ in self._poll.poll(0)
        )

    def _read(self) -> None:
        """Read what has come; a half frame is kept until its rest comes."""
        with suppress(TimeoutError):
            for _ in range(_FRAMES):
                self._raw.blocking_read(0)

    def _on_ack(self, tag: int, multiple: Any) -> None:
        self._publisher.confirmed_something()
        for request in self._unconfirmed.settle(tag, multiple=bool(multiple)):
            if request.must_route and not request.routed:
                request.error = TopologyError(
                    f"no queue {request.routing_key!r} behind exchange {request.exchange!r}"
                )
            self._ended.append(request)

    def _on_nack(self, tag: int, multiple: Any) -> None:
        for request in self._unconfirmed.settle(tag, multiple=bool(multiple)):
            if not self._nacks.add(request, monotonic()):
                request.error = PublishRefusedError(
                    f"the broker could not store {request.routing_key!r} ({request.nacks} nacks): "
                    "a queue is full or lost its majority; try again"
                )
                self._ended.append(request)

    def _on_return(
        self, _error: Exception, exchange: str, routing_key: str, raw: RawMessage
    ) -> None:
        """Nobody is bound for it. Its ack comes next; the oldest publish that fits is the one: AMQP keeps the order."""
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
            self._publisher.end(ended)

    def _tick(self) -> None:
        if monotonic() >= self._next_tick:
            self._raw.heartbeat_tick()
            self._next_tick = monotonic() + self._tick_every
