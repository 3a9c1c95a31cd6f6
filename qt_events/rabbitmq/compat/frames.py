"""Frames of a connection, read ahead: as many as the socket gives at a time, and a half one kept until its rest comes.

py-amqp 5.4 reads a frame by two or three calls to the kernel and sets the socket's timeout before and after; a
message has three frames. And of a half one it asks for the rest again and again, which in a network that went silent
never ends, and no heartbeat is looked at meanwhile.
"""

from contextlib import suppress
from socket import SHUT_RDWR
from ssl import SSLWantReadError, SSLWantWriteError
from struct import Struct
from time import monotonic
from typing import Any

from amqp import Connection as RawConnection
from amqp.exceptions import RecoverableConnectionError, UnexpectedFrame

_HEAD = Struct(">BHI")  # kind, channel, size of the payload (AMQP 0-9-1, 4.2.3)
_END = 0xCE
_LEAST = _HEAD.size + 1  # bytes of a frame without a payload
_CHUNK = 65_536  # bytes

_TURN = 0.005  # seconds of reading in a row, about, before the rest of the event loop has its turn
_GLANCE = 24  # frames between two looks at the clock: eight messages

Frame = tuple[int, int, bytes]


def read_what_came(raw: RawConnection, loop: Any) -> None:
    """Have the connection handle what the socket has, without waiting: what kombu calls when it is readable.

    kombu's own handles one method in each cycle of its event loop, and asks for more until there is none.
    """
    raw.frames.is_scheduled = False
    if not raw.connected:
        message = "the socket was disconnected"
        raise RecoverableConnectionError(message)
    if not raw.frames.handle_what_came(monotonic() + _TURN):
        loop.call_soon(read_what_came, raw, loop)


def watch(raw: RawConnection, loop: Any) -> None:
    """Have kombu's event loop tell when the socket is readable: what kombu calls when the loop takes over."""
    raw.frames.loop = loop
    loop.add_reader(raw.sock, read_what_came, raw, loop)


class Frames:
    """What goes over a connection, in whatever pieces it comes. Not safe for two threads at once, as py-amqp is not."""

    def __init__(self, raw: RawConnection) -> None:
        self._raw, self._transport = raw, raw.transport
        self._buffer, self._at = raw.transport._read_buffer, 0  # noqa: SLF001  # of the handshake nothing is left over
        self.loop: Any = None  #: kombu's, that watches the socket
        self.is_scheduled = False  #: to be read there, though the socket may be empty

    @classmethod
    def read_by(cls, raw: RawConnection) -> None:
        """Have the connection read by this from now on."""
        frames = cls(raw)
        raw.frames = frames
        raw.blocking_read = frames.handle_one

    def handle_one(self, timeout: float | None = None) -> bool:
        """Read a frame and have the connection handle it; whether that completed a method.

        Raises:
            TimeoutError: no whole frame within `timeout` seconds; 0 asks only for what has come already.
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
        self._see_to_the_rest()
        return completed

    def _see_to_the_rest(self) -> None:
        """Who waits for one answer leaves what was read with it; the socket does not tell of that any more."""
        if self.loop is not None and not self.is_scheduled and self.has_whole():
            self.is_scheduled = True
            self.loop.call_soon(read_what_came, self._raw, self.loop)

    def handle_what_came(self, until: float) -> bool:
        """Have the connection handle all that the socket had, until that time; False if there is more.

        What the socket gets meanwhile is for the next time: whoever watches it is told.
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
        """Read once, without waiting; whether there may be more."""
        sock = self._open_socket()
        patience = sock.gettimeout()
        sock.settimeout(0)
        try:
            return self._receive()
        except TimeoutError:
            return False
        finally:
            sock.settimeout(patience)

    def write(self, data: bytes) -> None:
        """Write whole frames. OSError, AmqpConnectionError: the connection is lost."""
        self._open_socket()
        try:
            self._transport.write(data)
        except TimeoutError:  # half a frame may be written: nothing must follow it
            with suppress(OSError):
                self._transport.sock.shutdown(SHUT_RDWR)
            raise
        self._raw.bytes_sent += 1  # py-amqp counts frames, to see whether a heartbeat is due

    def _open_socket(self) -> Any:
        sock = self._transport.sock
        if sock is None:
            message = "the connection is closed"
            raise RecoverableConnectionError(message)
        return sock

    def has_whole(self) -> bool:
        """Whether a frame can be read without the socket."""
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
        """Read once; whether there may be more: the socket's buffer was longer, or TLS holds what it has decrypted."""
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
            message = "Server unexpectedly closed connection"
            raise OSError(message)
        self._buffer = self._buffer[self._at :] + chunk
        self._at = 0
        return len(chunk) == _CHUNK or (hasattr(sock, "pending") and sock.pending() > 0)
