"""Capacity: the number of events that a bus may hold, and the line of those who wait."""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from itertools import repeat
from time import monotonic

from qt_events.event_loop import running_loop

logger = logging.getLogger("qt_events")

#: Seconds from which a publish counts as waiting.
LATE = 1.0
# Seconds between two reports of waiting.
_REPORT_EVERY = 10.0


class _Place(Future[bool]):
    """Place in the line, and when it was taken."""

    def __init__(self) -> None:
        super().__init__()
        self.since = monotonic()


class Capacity:
    """Counter of the places that are taken. For any thread and any event loop.

    Taking a free place, or giving one back that nobody waits for, takes no lock: a deque's own
    appends and pops are safe between threads, and cost a fifth. The lock guards the making of new
    places, the line, and the waiters for an empty bus.

    Somebody who has waited for LATE seconds is logged, at most every ten seconds.
    """

    def __init__(self, size: int) -> None:
        self.size, self._silent_until = size, 0.0
        #: Describes the subscription that holds others up.
        self.slowest: Callable[[], str] = str
        #: Called whenever somebody begins to wait.
        self.on_full: Callable[[], None] = lambda: None
        # Places made so far; more than `size` only while so many are taken.
        self._made = 0
        # Places that nobody has.
        self._free: deque[None] = deque()
        #: Takes one of them; IndexError if there is none: call `enter` then.
        self.take_free = self._free.pop
        self._lock = threading.Lock()
        # Not empty only while all places are taken.
        self._line: deque[_Place] = deque()
        self._until_empty: list[Future[bool]] = []

    @property
    def taken(self) -> int:
        """Number of places that are taken."""
        return self._made - len(self._free)

    @property
    def late(self) -> int:
        """Number of those who have waited for LATE seconds."""
        with self._lock:
            before = monotonic() - LATE
            return sum(place.since <= before for place in self._line)

    def describe(self) -> str:
        """Describe a full bus, and the subscription that holds others up, for errors and log."""
        held = f"{self.taken} events are held (max_queue_size={self.size})"
        return f"{held}; {self.slowest() or 'all wait for a retry'}"

    def has_line(self) -> bool:
        """Tell whether anybody waits for a place."""
        return bool(self._line)

    async def enter(self, timeout: float, *, anyway: bool = False) -> None:
        """Take a place; wait for one at most `timeout` seconds, then raise TimeoutError.

        With `anyway`, take one even if there is none.
        """
        if self.enter_at_once(anyway=anyway):
            return
        place = self._stand_in_line()
        report = running_loop().call_later(LATE, self._report_late)
        try:
            async with asyncio.timeout(timeout):
                await asyncio.wrap_future(place)
        except BaseException:
            self._give_up(place)
            raise
        finally:
            report.cancel()

    def enter_blocking(self, timeout: float, *, anyway: bool = False) -> None:
        """Do what `enter` does, for plain threads."""
        if self.enter_at_once(anyway=anyway):
            return
        place = self._stand_in_line()
        try:
            if timeout > LATE:
                with suppress(TimeoutError):
                    place.result(LATE)
                    return
                self._report_late()
                timeout -= LATE
            place.result(timeout)
        except BaseException:
            self._give_up(place)
            raise

    def enter_at_once(self, *, anyway: bool = False) -> bool:
        """Take a place, `anyway` even if there is none; return False if none was taken."""
        try:
            self.take_free()
        except IndexError:
            return self._take_new(anyway=anyway)
        return True

    def _take_new(self, *, anyway: bool) -> bool:
        with self._lock:
            is_one = anyway or self._made < self.size
            self._made += is_one
            return is_one

    def leave(self) -> None:
        """Give a place back, to the first in line if anybody waits."""
        if self._made > self.size:
            self._leave_one_too_many()
        else:
            self._free.append(None)
        # In this order: whoever comes to wait meanwhile looks at the places once more.
        if self._line or (self._until_empty and not self.taken):
            with self._lock:
                self._look_again()

    def leave_together(self, number: int) -> None:
        """Give places back, as `leave` does with one."""
        too_many = min(number, max(0, self._made - self.size))
        for _ in range(too_many):
            self._leave_one_too_many()
        self._free.extend(repeat(None, number - too_many))
        # In this order, as there.
        if self._line or (self._until_empty and not self.taken):
            with self._lock:
                self._look_again()

    def _leave_one_too_many(self) -> None:
        with self._lock:
            if self._made > self.size:
                self._made -= 1
            else:
                self._free.append(None)

    async def emptied(self, timeout: float | None) -> bool:
        """Return True once no place is taken, or False if `stop_waiting` came first.

        Raises:
            TimeoutError: neither happened within `timeout` seconds.
        """
        if not self.taken:
            return True
        waiter: Future[bool] = Future()
        with self._lock:
            self._until_empty.append(waiter)
            self._look_again()
        async with asyncio.timeout(timeout):
            return await asyncio.wrap_future(waiter)

    def stop_waiting(self) -> None:
        """Have `emptied` return False to everybody who waits for it."""
        with self._lock:
            self._wake_joiners(emptied=False)

    def _report_late(self) -> None:
        now = monotonic()
        if now >= self._silent_until:
            self._silent_until = now + _REPORT_EVERY
            message = "publishes have waited for more than %g s: %s"
            logger.warning(message, LATE, self.describe())

    def _stand_in_line(self) -> _Place:
        """Return a future that is done once its place is taken."""
        with self._lock:
            place = _Place()
            self._line.append(place)
            self._look_again()
        self.on_full()
        return place

    def _look_again(self) -> None:
        self._let_in()
        if not self.taken:
            self._wake_joiners(emptied=True)

    def _let_in(self) -> None:
        while self._line:
            try:
                self._free.pop()
            except IndexError:
                if self._made >= self.size:
                    return
                self._made += 1
            if not _resolve(self._line.popleft(), value=True):
                self._free.append(None)

    def _give_up(self, place: _Place) -> None:
        """Leave the line, or give the place back if it came at the last moment."""
        if not place.cancel():
            self.leave()
            return
        with self._lock:
            if place in self._line:
                self._line.remove(place)

    def _wake_joiners(self, *, emptied: bool) -> None:
        while self._until_empty:
            _resolve(self._until_empty.pop(), value=emptied)


def _resolve(waiter: Future[bool], *, value: bool) -> bool:
    """Set the waiter's result; return False if the waiter has gone."""
    if not waiter.set_running_or_notify_cancel():
        return False
    waiter.set_result(value)
    return True
