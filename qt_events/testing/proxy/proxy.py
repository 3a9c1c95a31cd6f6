"""Proxy: a TCP proxy in front of a broker, for tests of a bad network."""

import asyncio
import random
import socket
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from qt_events.errors import BusStateError
from qt_events.testing.ports import free_ports
from qt_events.testing.proxy.wire import Way, Wire, abort

T = TypeVar("T")
Direction = Literal["both", "to_target", "from_target"]

# Seconds for a call on the proxy's thread, which takes milliseconds.
_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """Counters of a proxy since it started."""

    accepted: int  #: connections
    open: int  #: connections now, forgotten ones included
    to_target: int  #: bytes forwarded
    from_target: int  #: bytes forwarded
    cuts: int  #: pieces that were cut, and their connections reset


class Proxy:
    """A real proxy on 127.0.0.1, in a thread of its own, that does harm until told to `heal`.

        with Proxy("127.0.0.1", 5672) as proxy:
            bus = CeleryEventBus(proxy.url_for("amqp://guest:guest@127.0.0.1:5672//"))
            proxy.black_hole()
            ...
            proxy.heal()

    Every call may come from any thread; it blocks for milliseconds and has taken effect when it
    returns. Faults can be combined. A client whose target cannot be reached is reset.
    """

    def __init__(self, target_host: str, target_port: int) -> None:
        """Forward to this host and port; nobody need listen there yet."""
        (self.port,) = free_ports(1)
        self._target = (target_host, target_port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="qt_events-proxy", daemon=True)
        # The rest belongs to the proxy's thread.
        self._ways: dict[str, Way] = {"to_target": Way(), "from_target": Way()}
        self._wires: set[Wire] = set()
        self._clients: set[asyncio.Task[None]] = set()
        self._listener: socket.socket | None = None
        self._accepted = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def url_for(self, url: str) -> str:
        """Return the same URL through this proxy: user, password, path and query stay."""
        place = urlsplit(url).netloc
        login, at, _ = place.rpartition("@")
        return url.replace(f"//{place}", f"//{login}{at}127.0.0.1:{self.port}", 1)

    def close(self) -> None:
        """Reset open connections and listen no more. Safe to repeat."""
        if self._thread.is_alive():
            self._call(self._leave)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_PATIENCE)

    @property
    def traffic(self) -> Traffic:
        """Counters now."""
        return self._call(self._count)

    # Faults of connections that are open now

    def reset(self, count: int | None = None) -> int:
        """Send RST to both ends of `count` random connections, or of all; return how many."""
        return self._call(self._reset, count)

    def forget(self, count: int | None = None) -> int:
        """Drop `count` connections, or all, in silence, as a router that has forgotten them.

        Their ends hear nothing any more, and what they send is dropped. `heal` does not bring them
        back. New connections work.
        """
        return self._call(self._forget, count)

    # Faults that last until `heal`, for new connections too

    def refuse(self) -> None:
        """Close the port: new connections are refused, open ones stay."""
        self._call(self._shut)

    def black_hole(self, direction: Direction = "both") -> None:
        """Forward nothing: connections stay open, new ones are accepted, and nobody answers.

        `heal` lets go what was sent meanwhile, as TCP does when a network comes back.
        """
        self._set(direction, lambda way: way.open.clear())

    def delay(self, seconds: float, direction: Direction = "both") -> None:
        """Deliver everything `seconds` later in each direction, at the same throughput."""
        self._set(direction, lambda way: setattr(way, "delay", seconds))

    def throttle(self, bytes_per_second: float, direction: Direction = "both") -> None:
        """Forward no more than that on each connection."""
        self._set(direction, lambda way: setattr(way, "rate", bytes_per_second))

    def cut(self, direction: Direction = "both", *, keep: int = 3) -> None:
        """Deliver the next piece without its last `keep` bytes, once, and reset its connection.

        AMQP is sent in whole frames of at least 8 bytes: with `keep` from 1 to 7 a frame arrives in
        part. `traffic.cuts` tells whether it has happened.
        """
        self._set(direction, lambda way: way.keep_back(keep, cut=True))

    def stutter(self, pause: float, direction: Direction = "both", *, keep: int = 3) -> None:
        """Deliver the last `keep` bytes of each piece `pause` seconds after the others."""
        self._set(direction, lambda way: way.keep_back(keep, stutter=pause))

    def heal(self) -> None:
        """End all faults; connections that were reset or forgotten stay so."""
        self._set("both", Way.heal)
        self._call(self._listen)

    def _set(self, direction: Direction, change: Callable[[Way], Any]) -> None:
        self._call(self._change, direction, change)

    def _call(self, work: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        """Run the work on the proxy's thread, and return its result."""
        if not self._thread.is_alive():
            raise BusStateError("this proxy does not run: use it in a `with`")
        running = asyncio.run_coroutine_threadsafe(work(*arguments), self._loop)
        return running.result(_PATIENCE)

    # On the proxy's thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
            self._listener.settimeout(0)
            self._loop.add_reader(self._listener, self._accept, self._listener)

    async def _shut(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    async def _leave(self) -> None:
        await self._shut()
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _count(self) -> Traffic:
        there, back = self._ways.values()
        cuts = there.cuts + back.cuts
        return Traffic(self._accepted, len(self._wires), there.forwarded, back.forwarded, cuts)

    async def _change(self, direction: Direction, change: Callable[[Way], Any]) -> None:
        for name, way in self._ways.items():
            if direction in {"both", name}:
                change(way)

    async def _reset(self, count: int | None) -> int:
        chosen = self._choose(count)
        for wire in chosen:
            wire.reset()
        await asyncio.gather(*(wire.closed.wait() for wire in chosen))
        return len(chosen)

    async def _forget(self, count: int | None) -> int:
        chosen = self._choose(count)
        for wire in chosen:
            wire.forget()
        return len(chosen)

    def _choose(self, count: int | None) -> list[Wire]:
        wires = list(self._wires)
        return wires if count is None else random.sample(wires, min(count, len(wires)))

    def _accept(self, listener: socket.socket) -> None:
        # The client may have gone again.
        with suppress(OSError):
            client, _ = listener.accept()
            client.settimeout(0)
            self._accepted += 1
            task = asyncio.create_task(self._serve(client))
            self._clients.add(task)
            task.add_done_callback(self._clients.discard)
            # Not in _serve, which never begins if it is cancelled soon enough.
            task.add_done_callback(lambda _: abort(client))

    async def _serve(self, client: socket.socket) -> None:
        target = socket.socket()
        target.settimeout(0)
        try:
            # A client in a black hole hears nothing of its target.
            await self._ways["to_target"].open.wait()
            with suppress(OSError):
                await self._loop.sock_connect(target, self._target)
                wire = Wire(client, target, *self._ways.values())
                self._wires.add(wire)
                try:
                    await wire.run()
                finally:
                    self._wires.discard(wire)
        finally:
            abort(target)
