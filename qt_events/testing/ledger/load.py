"""Load: numbered events, so many in flight, while something else breaks."""

import asyncio
from collections.abc import Callable
from itertools import count
from time import monotonic
from types import TracebackType
from typing import Any, Self

from qt_events.bus import EventBus
from qt_events.events.event import Event
from qt_events.testing.ledger.ledger import Ledger


def numbered(number: int) -> Event[Any]:
    """Return an event `load.numbered`, with its number as payload."""
    return Event("load.numbered", payload={"n": number})


class Load:
    """Publishes through a bus and keeps the ledger, in an `async with`, until the block ends.

    Args:
        in_flight: publishes that wait for their answer at a time.
        rate: events a second at most; None: as fast as the bus takes them.
        make: the event of a number, from 0.
    """

    def __init__(
        self,
        bus: EventBus,
        ledger: Ledger,
        *,
        in_flight: int = 50,
        rate: float | None = None,
        make: Callable[[int], Event[Any]] = numbered,
    ) -> None:
        self.bus, self.ledger = bus, ledger
        self.in_flight, self._rate, self._make = in_flight, rate, make
        self._numbers = count()
        self._began = 0.0
        self._stopping = False
        self._going = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.published = 0  #: confirmed
        self.failed = 0
        self.longest = 0.0  #: seconds until the slowest publish was answered

    async def __aenter__(self) -> Self:
        self._began = monotonic()
        self._going.set()
        self._tasks = [asyncio.create_task(self._publish()) for _ in range(self.in_flight)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Begin nothing more, and wait for the answers of what is in flight."""
        self._stopping = True
        self._going.set()
        await asyncio.gather(*self._tasks)

    def hold(self) -> None:
        """Publish nothing more until `go_on`; publishes in flight are answered."""
        self._going.clear()

    def go_on(self) -> None:
        """Publish again, and make up for the time at once if there is a rate."""
        self._going.set()

    async def reaches(self, number: int, timeout: float = 120.0) -> None:
        """Return when so many were confirmed.

        Raises:
            TimeoutError: not within `timeout` seconds.
        """
        async with asyncio.timeout(timeout):
            while self.published < number:
                for task in self._tasks:
                    if task.done():
                        # It ended early: raise its error
                        task.result()
                await asyncio.sleep(0.005)

    async def more(self, number: int, timeout: float = 120.0) -> None:
        """Return when so many more than now were confirmed. TimeoutError as above."""
        await self.reaches(self.published + number, timeout)

    async def _publish(self) -> None:
        while not self._stopping:
            number = next(self._numbers)
            await self._turn_of(number)
            await self._going.wait()
            if self._stopping:
                return
            began = monotonic()
            confirmed = await self.ledger.publish(self.bus, self._make(number))
            self.longest = max(self.longest, monotonic() - began)
            self.published += confirmed
            self.failed += not confirmed

    async def _turn_of(self, number: int) -> None:
        due = self._began + number / self._rate if self._rate is not None else 0.0
        # At least once round the loop: a bus in memory never waits.
        await asyncio.sleep(max(0.0, due - monotonic()))
