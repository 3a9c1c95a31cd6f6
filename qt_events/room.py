"""Room: how many events a bus may hold, and who waits in line for a place, first come, first served."""

import asyncio
import threading
from collections import deque
from concurrent.futures import Future


class Room:
    """Counts the places that are taken. For any thread and any event loop."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.taken = 0
        self._lock = threading.Lock()
        self._line: deque[Future[bool]] = deque()  # if anybody stands here, the room is full
        self._until_empty: list[Future[bool]] = []

    async def enter(self, timeout: float, *, anyway: bool = False) -> None:
        """Take a place; wait for one at most `timeout` seconds, then TimeoutError. `anyway`: even if there is none."""
        place = self._stand_in_line(anyway=anyway)
        if place is None:
            return
        try:
            async with asyncio.timeout(timeout):
                await asyncio.wrap_future(place)
        except BaseException:
            self._give_up(place)
            raise

    def enter_blocking(self, timeout: float, *, anyway: bool = False) -> None:
        """`enter`, for plain threads."""
        place = self._stand_in_line(anyway=anyway)
        if place is None:
            return
        try:
            place.result(timeout)
        except BaseException:
            self._give_up(place)
            raise

    def enter_anyway(self) -> None:
        """Take a place at once, even if there is none."""
        self._stand_in_line(anyway=True)

    def leave(self) -> None:
        """Give a place back: to the first in line, if anybody waits."""
        with self._lock:
            self.taken -= 1
            self._let_in()
            if not self.taken:
                self._wake_joiners(emptied=True)

    async def emptied(self, timeout: float | None) -> bool:
        """Whether nobody is left; False if `stop_waiting` came first. TimeoutError after `timeout` seconds."""
        with self._lock:
            if not self.taken:
                return True
            waiter: Future[bool] = Future()
            self._until_empty.append(waiter)
        async with asyncio.timeout(timeout):
            return await asyncio.wrap_future(waiter)

    def stop_waiting(self) -> None:
        """Whoever waits for the room to be empty waits in vain."""
        with self._lock:
            self._wake_joiners(emptied=False)

    def _stand_in_line(self, *, anyway: bool) -> Future[bool] | None:
        """What to wait for; None for who is let in at once."""
        with self._lock:
            if anyway or self.taken < self.size:
                self.taken += 1
                return None
            place: Future[bool] = Future()
            self._line.append(place)
            return place

    def _let_in(self) -> None:
        while self._line and self.taken < self.size:
            if _resolve(self._line.popleft(), value=True):
                self.taken += 1

    def _give_up(self, place: Future[bool]) -> None:
        """Leave the line; or the room, if the place came at the last moment."""
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
    """Whether the waiter was still there to hear it."""
    if not waiter.set_running_or_notify_cancel():
        return False
    waiter.set_result(value)
    return True
