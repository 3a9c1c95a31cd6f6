"""Readers of frames: as many as the socket gives at a time, or one by one, as py-amqp does.

py-amqp 5.4 reads a frame by two or three calls to the kernel, and sets the socket's timeout before
and after. A message has three frames. If it has half a frame, it asks for the rest again and again.
In a network that fell silent this never ends, and no heartbeat is looked at meanwhile.
"""

import select
from contextlib import suppress
from socket import SHUT_RDWR
from ssl import SSLWantReadError, SSLWantWriteError
from struct import Struct
from time import monotonic
from typing import Any

from amqp import Connection as RawConnection
from amqp.exceptions import RecoverableConnectionError, UnexpectedFrame

from qt_events.rabbitmq.compat.names import READING, are_there
from qt_events.rabbitmq.compat.one_thread import assert_one_thread

_READS_AHEAD = are_there(READING)
_HEAD = Struct(">BHI")  # kind, channel, size of the payload (AMQP 0-9-1, 4.2.3)
_END = 0xCE
_LEAST = _HEAD.size + 1  # bytes of a frame without a payload
_CHUNK = 65_536  # bytes

# The other side has closed. Elsewhere than on Linux poll() tells it unasked.
_HANGUP = getattr(select, "POLLRDHUP", 0)

_TURN = 0.005  # seconds of reading in a row, about, before the rest of the event loop has its turn
_GLANCE = 24  # frames between two looks at the clock: eight messages

Frame = tuple[int, int, bytes]


def attach(raw: RawConnection, transport: Any) -> None:
    """Give a connection its `frames`: the fastest reader that this version of py-amqp allows.

    `transport` is kombu's: it has the functions that kombu's event loop calls to read. The
    connection's `opened_at` is the time.monotonic() at which it was opened.
    """
    raw.opened_at = monotonic()
    if _READS_AHEAD:
        raw.frames = Frames(raw)
        raw.blocking_read = raw.frames.handle_one
        transport.on_readable, transport.register_with_event_loop = read_what_came, watch
    else:
        raw.frames = PyAmqpFrames(raw)
    assert_one_thread(raw)


def read_what_came(raw: RawConnection, loop: Any) -> None:
    """Handle what the socket has, without waiting. kombu calls it when the socket is readable.

    kombu's own function handles one method in each cycle of its event loop, and asks for more until
    there is none.
    """
    raw.frames.is_scheduled = False
    if raw.frames.is_given_up:
        return
    if not raw.connected:
        raise RecoverableConnectionError("the socket was disconnected")
    if not raw.frames.handle_what_came(monotonic() + _TURN):
        loop.call_soon(read_what_came, raw, loop)


def watch(raw: RawConnection, loop: Any) -> None:
    """Have kombu's event loop watch the socket. kombu calls it when the loop takes over."""
    raw.frames.loop = loop
    loop.add_reader(raw.sock, read_what_came, raw, loop)


class PyAmqpFrames:
    """Reads in py-amqp's own way, where the names for another are missing."""

    #: Thread that alone may use the connection; 0 for one that goes from hand to hand.
    owner = 0
    is_given_up = False  #: what it still has to read concerns nobody

    def __init__(self, raw: RawConnection) -> None:
        self._raw, self._transport = raw, raw.transport
        # Else py-amqp, asked for what has come, waits until something comes.
        self._transport.raise_on_initial_eintr = True

    def write(self, data: bytes) -> None:
        """Write whole frames. OSError, AmqpConnectionError: the connection is lost."""
        self._open_socket()
        try:
            self._transport.write(data)
        except TimeoutError:
            # Half a frame may be written: nothing must follow it.
            with suppress(OSError):
                self._transport.sock.shutdown(SHUT_RDWR)
            raise
        # py-amqp counts frames, to see whether a heartbeat is due.
        self._raw.bytes_sent += 1

    def leave(self, loop: Any) -> None:
        """Have kombu's event loop, if there is one, forget the connection before it is closed.

        Else the loop would read it beside the next one, and take its end for that one's.
        """
        self.is_given_up = True
        if loop is not None and self._transport.sock is not None:
            loop.remove_reader(self._transport.sock)

    def handle_what_came(self, until: float) -> bool:
        """Have the connection handle all that the socket has. Return False at `until`, unfinished.

        Half a frame is kept until its rest comes.
        """
        with suppress(TimeoutError):
            while monotonic() < until:
                self._raw.blocking_read(0)
            return False
        return True

    def has_whole(self) -> bool:
        """Return True if a frame can be read without the socket."""
        return False

    def is_hung_up(self) -> bool:
        """Return True if the broker has closed the connection: it hears nothing that is written.

        Asks the kernel: frames that came before may wait to be read.
        """
        sock = self._transport.sock
        if sock is None:
            return True
        poll = select.poll()
        poll.register(sock, _HANGUP)
        return bool(poll.poll(0))

    def _open_socket(self) -> Any:
        sock = self._transport.sock
        if sock is None:
            raise RecoverableConnectionError("the connection is closed")
        return sock


class Frames(PyAmqpFrames):
    """Reads frames in whatever pieces they come. Not safe for two threads at once."""

    def __init__(self, raw: RawConnection) -> None:
        self._raw, self._transport = raw, raw.transport
        # Nothing is left over from the handshake.
        self._buffer, self._at = raw.transport._read_buffer, 0  # noqa: SLF001
        self.loop: Any = None  #: of kombu; watches the socket
        self.is_scheduled = False  #: the loop will read, though the socket may be empty

    def handle_one(self, timeout: float | None = None) -> bool:
        """Read a frame and have the connection handle it. Return True if a method is complete.

        Raises:
            TimeoutError: no whole frame within `timeout` seconds; 0 asks for what has come already.
            OSError: the connection is lost.
        """
        frame = self._next()
        if frame is None:
            self._open_socket()
            with self._transport.having_timeout(timeout):
                while frame is None:
                    self._receive()
                    frame = self._next()
        completed = bool(self._raw.on_inbound_frame(frame))
        self._schedule_rest()
        return completed

    def _schedule_rest(self) -> None:
        """Have the loop read frames behind an awaited answer: the socket shows none."""
        if self.loop is not None and not self.is_scheduled and self.has_whole():
            self.is_scheduled = True
            self.loop.call_soon(read_what_came, self._raw, self.loop)

    def handle_what_came(self, until: float) -> bool:
        """Have the connection handle all that the socket had. Return False at `until`, unfinished.

        What the socket gets meanwhile is for the next time: its watcher is told.
        """
        more, handled = True, 0
        while True:
            while (frame := self._next()) is not None:
                self._raw.on_inbound_frame(frame)
                handled += 1
                if not handled % _GLANCE and monotonic() > until:
                    return False
            if not more:
                return True
            more = self._receive_now()

    def _receive_now(self) -> bool:
        """Read once, without waiting. Return True if there may be more."""
        sock = self._open_socket()
        patience = sock.gettimeout()
        sock.settimeout(0)
        try:
            return self._receive()
        except TimeoutError:
            return False
        finally:
            sock.settimeout(patience)

    def has_whole(self) -> bool:
        """Return True if a frame can be read without the socket."""
        buffer, at = self._buffer, self._at
        return (
            len(buffer) - at >= _LEAST
            and len(buffer) - at >= _LEAST + _HEAD.unpack_from(buffer, at)[2]
        )

    def _next(self) -> Frame | None:
        buffer, at = self._buffer, self._at
        if len(buffer) - at < _LEAST:
            return None
        kind, channel, size = _HEAD.unpack_from(buffer, at)
        begin = at + _HEAD.size
        end = begin + size
        if len(buffer) <= end:
            return None
        if buffer[end] != _END:
            raise UnexpectedFrame(f"a frame ends in {buffer[end]:#04x} instead of 0xce")
        self._at = end + 1
        return kind, channel, buffer[begin:end]

    def _receive(self) -> bool:
        """Read once. Return True if there may be more: a full chunk, or TLS has decrypted more."""
        sock = self._transport.sock
        try:
            chunk = sock.recv(_CHUNK)
        except (BlockingIOError, SSLWantReadError, SSLWantWriteError):
            raise TimeoutError from None
        except TimeoutError:
            raise
        except OSError:
            self._transport.connected = False
            raise
        if not chunk:
            self._transport.connected = False
            raise OSError("Server unexpectedly closed connection")
        self._buffer = self._buffer[self._at :] + chunk
        self._at = 0
        return len(chunk) == _CHUNK or (hasattr(sock, "pending") and sock.pending() > 0)
