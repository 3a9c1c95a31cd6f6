"""Member: a bus or a process that delivers a scenario's events."""

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress

from qt_events.bus import EventBus


class Member(ABC):
    """A bus's own run_forever(), or a process, that delivers. Safe to start and stop twice."""

    @abstractmethod
    async def start(self) -> None:
        """Return when it is about to deliver: nothing that is published from now on is missed."""

    @abstractmethod
    async def stop(self) -> None:
        """Let it finish what it holds, and return when it has ended."""

    async def give_back(self) -> None:
        """Return when it has ended without waiting for handlers, as after a second signal."""
        await self.stop()

    @abstractmethod
    def must_be_well(self) -> None:
        """Raise an AssertionError that says why, if it has ended by itself."""


class HostedMember(Member):
    """A bus whose run_forever() is a task of the test's own loop."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._bus.run_forever())
            # Let it begin
            await asyncio.sleep(0)

    async def stop(self) -> None:
        if self._task is not None:
            self._bus.stop()
            task, self._task = self._task, None
            await task

    async def give_back(self) -> None:
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def must_be_well(self) -> None:
        if self._task is not None and self._task.done():
            error = None if self._task.cancelled() else self._task.exception()
            raise AssertionError("run_forever() ended by itself") from error
