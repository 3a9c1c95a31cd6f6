"""Wire: one connection through a Proxy, both ways, and the trouble of each way."""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from time import monotonic

_CHUNK = 65_536  # bytes read at once
# Chunks that wait for their delay before the sender has to
_CHUNKS = 256
# Pieces a second on a throttled way
_SLICES = 20
# Seconds for a receiver to read before the reset
_READ = 0.05
# SO_LINGER: on, for 0 seconds
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass
class Way:
    """One direction of all connections: the trouble it has now, and the bytes it has forwarded."""

    delay: float = 0.0  #: seconds by which everything is late
    rate: float = inf  #: bytes a second, of each connection
    stutter: float = 0.0  #: seconds before the last bytes of what came in one piece
    cut: bool = False  #: the next piece loses its last bytes, and then its connection is reset
    keep: int = 3  #: number of these bytes
    forwarded: int = 0  #: bytes
    cuts: int = 0
    #: Nothing is forwarded while this is not set.
    open: asyncio.Event = field(default_factory=asyncio.Event)
    # A new one after each heal
    _healed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.open.set()

    def keep_back(self, keep: int, *, cut: bool = False, stutter: float = 0.0) -> None:
        """Set `cut` or `stutter`."""
        self.keep, self.cut, self.stutter = keep, cut, stutter

    def heal(self) -> None:
        """End all trouble; what was held back goes on its way."""
        self.delay, self.rate, self.stutter, self.cut = 0.0, inf, 0.0, False
        self.open.set()
        self._healed.set()
        self._healed = asyncio.Event()

    async def pause(self, seconds: float) -> None:
        """Wait so many seconds, or until it is healed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._healed.wait()


class Wire:
    """Sockets of a client and its target, pumped into each other until either side ends."""

    def __init__(self, client: socket.socket, target: socket.socket, there: Way, back: Way) -> None:
        self._sockets = (client, target)
        for each in self._sockets:
            # A piece cut in two is sent in two.
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pumps = (
            _Pump(client, target, there, self.reset),
            _Pump(target, client, back, self.reset),
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._forgotten = False
        self._reset = asyncio.Event()
        self.closed = asyncio.Event()  #: set when both sockets are closed

    async def run(self) -> None:
        """Forward until both ways have ended, one has failed, or the wire was reset.

        `forget` is no end.
        """
        try:
            async with asyncio.TaskGroup() as group:
                self._tasks = [group.create_task(pump.run()) for pump in self._pumps]
            if self._forgotten:
                await self._reset.wait()
        except* OSError:
            # One side is gone, so the other ends too.
            pass
        finally:
            for each in self._sockets:
                abort(each)
            self.closed.set()

    def forget(self) -> None:
        """Forward nothing any more, and leave both sockets open."""
        self._forgotten = True
        for task in self._tasks:
            task.cancel()

    def reset(self) -> None:
        """Send RST to both sides, but not to one that has seen the end already; see `closed`."""
        self._reset.set()
        self.forget()


class _Pump:
    """Forwards from one socket to another."""

    def __init__(
        self, source: socket.socket, sink: socket.socket, way: Way, reset: Callable[[], None]
    ) -> None:
        self._source, self._sink, self._way, self._reset = source, sink, way, reset
        self._waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS)

    async def run(self) -> None:
        """Read on while earlier pieces wait for their delay, which costs time and no throughput."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read())
                group.create_task(self._write())
        except* OSError as error:
            raise OSError(*error.exceptions[0].args) from None

    async def _read(self) -> None:
        data = b"."
        while data:
            await self._way.open.wait()
            data = await self._receive()
            await self._waiting.put((monotonic(), data))

    async def _receive(self) -> bytes:
        try:
            return await asyncio.get_running_loop().sock_recv(self._source, _CHUNK)
        except OSError:
            # A black hole does not tell of a reset either.
            await self._way.open.wait()
            raise

    async def _write(self) -> None:
        while True:
            came, data = await self._waiting.get()
            if (wait := came + self._way.delay - monotonic()) > 0:
                await self._way.pause(wait)
            await self._way.open.wait()
            if not data:
                break
            await self._forward(data)
        with suppress(OSError):
            self._sink.shutdown(socket.SHUT_WR)

    async def _forward(self, data: bytes) -> None:
        way, keep = self._way, self._way.keep
        if len(data) > keep and way.cut:
            way.cut = False
            await self._send(data[:-keep])
            await asyncio.sleep(_READ)
            way.cuts += 1
            self._reset()
        elif len(data) > keep and way.stutter:
            await self._send(data[:-keep])
            await way.pause(way.stutter)
            await way.open.wait()
            await self._send(data[-keep:])
        else:
            await self._send(data)

    async def _send(self, data: bytes) -> None:
        way, loop = self._way, asyncio.get_running_loop()
        while data:
            rate = way.rate
            size = len(data) if rate == inf else max(1, int(rate / _SLICES))
            piece, data = data[:size], data[size:]
            if rate != inf:
                await way.pause(len(piece) / rate)
            await loop.sock_sendall(self._sink, piece)
            way.forwarded += len(piece)


def abort(sock: socket.socket) -> None:
    """Close a socket with an RST. Safe to repeat."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    sock.close()
