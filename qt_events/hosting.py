"""Hosted: `async with bus:`, the same for every bus."""

import asyncio
import logging
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from qt_events.errors import BusStateError

logger = logging.getLogger("qt_events")


class Hosted(ABC):
    """A bus that `async with` runs in the background: started at its head, drained and stopped at its end."""

    grace: float  #: seconds that the end gives to what has no outcome yet
    _runner: asyncio.Task[None] | None = None

    @abstractmethod
    async def run_forever(self) -> None:
        """See EventBus."""

    @abstractmethod
    async def join(self, timeout: float | None = None) -> None:
        """See EventBus."""

    @abstractmethod
    def stop(self) -> None:
        """See EventBus."""

    @abstractmethod
    def _forget_stop(self) -> None:
        """A stop() from before is not meant for what begins now."""

    async def _started(self) -> None:
        """Return when it delivers. Begins after run_forever's first step, and is cancelled if that ends first."""
        await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        """Start delivering in the background; return once it does. Raises what run_forever raises before that."""
        self._forget_stop()
        runner = self._runner = asyncio.create_task(self.run_forever())
        started = asyncio.create_task(self._started())
        try:
            await asyncio.wait({runner, started}, return_when=asyncio.FIRST_COMPLETED)
            await (runner if runner.done() else started)
        except BaseException:  # nobody will call __aexit__
            runner.cancel()
            raise
        finally:
            started.cancel()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Wait for all outcomes, retries included, at most `grace` seconds; then stop."""
        runner = self._runner
        assert runner is not None  # noqa: S101
        try:
            if error is None and not runner.done():
                await self.join(self.grace)
        except (TimeoutError, BusStateError) as late:
            logger.warning("left the bus with work unfinished: %s", late)
        finally:
            if not runner.done():
                self.stop()
            await runner
