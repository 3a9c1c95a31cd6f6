"""RequestQueue: requests from many threads to the one that owns the connection."""

import socket
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from time import monotonic

from qt_events.errors import BusStateError
from qt_events.rabbitmq.publishing.requests import Request, resolve

#: Takes a request, and whether it waits for room.
Divert = Callable[[Request, bool], None]
_BYTES = 64  # read at once from the line that wakes the thread; there is mostly one


class RequestQueue:
    """Queue of requests, with a window for those in flight. Safe from any thread.

    Args:
        window: number of requests in flight from which further ones wait in line.
        late: seconds before its deadline from which a request in line is not begun any more.
    """

    def __init__(self, window: int, late: float) -> None:
        self.window, self._late = window, late
        self.closed = threading.Event()
        self._lock = threading.Lock()  # held for a few steps at a time, never while waiting
        self._in_flight: dict[Request, None] = {}
        self._unsent: OrderedDict[Request, None] = OrderedDict()  # those of them to be written
        self._in_line: OrderedDict[Request, None] = OrderedDict()  # no room for them yet
        self._woken = False  # a byte for the thread is on its way
        # Takes what may be spooled, while the broker is away.
        self._divert: Divert | None = None

    # The line that wakes the thread

    def open(self) -> None:
        """Open the line. OSError if there are no file descriptors left."""
        self.reader, self._writer = socket.socketpair()

    def hang_up(self) -> None:
        self.reader.close()
        self._writer.close()

    def wake(self) -> None:
        """Have the thread look at the queue. It sees everything that was put before."""
        if not self._woken:
            self._woken = True
            # If the line is closed, the thread has ended after a last look.
            with suppress(OSError):
                self._writer.send(b"\0")

    def woken(self) -> None:
        """Take the byte off the line.

        First the byte, then the flag, so that a request in between is seen all the same.
        """
        self.reader.recv(_BYTES)
        self._woken = False

    # For callers

    def put(self, request: Request, *, wait_for_room: bool) -> None:
        """Add a request: in flight, or in line while the window is full.

        Raises:
            BusStateError: the queue is closed.
        """
        with self._lock:
            if self.closed.is_set():
                self.must_be_open()
            if self._divert is not None and request.spools:
                self._divert(request, wait_for_room)
                # It is no more the publisher's.
                return
            if wait_for_room and len(self._in_flight) >= self.window:
                self._in_line[request] = None
            else:
                self._admit(request)
        self.wake()

    def put_all(self, requests: Iterable[Request]) -> None:
        """Add requests together, in flight, whatever the window. Raises what `put` does."""
        with self._lock:
            self.must_be_open()
            for request in requests:
                self._admit(request)
        self.wake()

    def must_be_open(self) -> None:
        if self.closed.is_set():
            raise BusStateError("this bus is closed: nothing more can be published on it")

    def close(self) -> None:
        with self._lock:
            self.closed.set()

    @property
    def in_flight(self) -> int:
        """Number of requests that were admitted and have not ended."""
        return len(self._in_flight)

    @property
    def in_line(self) -> int:
        """Number of requests that wait for room."""
        return len(self._in_line)

    def heads(self) -> list[Request]:
        """Return the first request in flight, and the first in line, if there are any."""
        with self._lock:
            return [*islice(self._in_flight, 1), *islice(self._in_line, 1)]

    def asked_before(self, time: float) -> list[Request]:
        """Return the unfinished requests that were made before this time.monotonic()."""
        with self._lock:
            requests = [*self._in_flight, *self._in_line]
        return [request for request in requests if request.asked < time]

    # For a spool

    def divert(self, divert: Divert) -> int:
        """Hand over all publishes that may be spooled, in their order, and those to come.

        Return the number of those that were here. Nothing that was put later can overtake them.
        """
        with self._lock:
            self._divert = divert
            moved = [each for each in (*self._in_flight, *self._in_line) if each.spools]
            for request in moved:
                # For the publisher's thread, which may hold it, it has ended.
                request.ended = True
                self._drop(request)
                divert(request, not request.admitted)
        return len(moved)

    def take_back(self, requests: deque[tuple[Request, bool]]) -> bool:
        """Take these that were handed over, and those to come, as before. False: it is closed."""
        with self._lock:
            if self.closed.is_set():
                return False
            self._divert = None
            while requests:
                request, wait_for_room = requests.popleft()
                if request.future.done():
                    continue
                request.ended = request.diverted = False
                if wait_for_room and len(self._in_flight) >= self.window:
                    self._in_line[request] = None
                else:
                    self._admit(request)
        self.wake()
        return True

    # For the thread

    @property
    def finished(self) -> bool:
        return self.closed.is_set() and not self._in_flight

    def take(self) -> Request | None:
        """Remove and return the next request to be written, None if there is none."""
        with self._lock:
            return self._unsent.popitem(last=False)[0] if self._unsent else None

    def give_back(self, requests: Iterable[Request]) -> None:
        """Put requests that have not ended back to the head, in this order."""
        with self._lock:
            for request in reversed(tuple(requests)):
                if not request.ended:
                    self._unsent[request] = None
                    self._unsent.move_to_end(request, last=False)

    def end(self, requests: Iterable[Request]) -> None:
        """Tell the waiters, and admit others. Ending a request twice has no further effect."""
        ending = [request for request in requests if not request.ended]
        if not ending:
            return
        with self._lock:
            for request in ending:
                request.ended = True
                self._drop(request)
            admitted = self._admit_from_line()
        resolve(ending)
        if admitted:
            self.wake()

    def refuse_all(self, reason: str) -> None:
        """End whatever is left with a BusStateError."""
        with self._lock:
            rest = [*self._in_flight, *self._in_line]
        for request in rest:
            request.error = BusStateError(reason)
        self.end(rest)

    def _drop(self, request: Request) -> None:
        self._in_flight.pop(request, None)
        self._unsent.pop(request, None)
        self._in_line.pop(request, None)

    def _admit(self, request: Request) -> None:
        request.admitted = True
        self._in_flight[request] = self._unsent[request] = None

    def _admit_from_line(self) -> bool:
        """Fill the window; True if anything was admitted.

        A request that is too late for a try is dropped: its waiter hears that there was no room.
        """
        if not self._in_line:
            return False
        admitted, late = False, monotonic() + self._late
        while self._in_line and len(self._in_flight) < self.window:
            request, _ = self._in_line.popitem(last=False)
            if request.deadline > late:
                self._admit(request)
                admitted = True
        return admitted
