"""ExclusiveGate: any number of handlers beside each other, or one alone."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


class ExclusiveGate:
    """Gate that handlers pass on one event loop.

    Callers check `closed` before `enter`, so that an open gate costs next to nothing.
    """

    def __init__(self) -> None:
        #: A handler is alone inside, or is to be.
        self.closed = False
        #: Name for which the gate was closed by `reserve`.
        self.reserved_for: object = None
        self._inside = 0
        self._late: asyncio.TimerHandle | None = None
        self._empty = self._open = asyncio.Event()

    def enter(self) -> None:
        """Count one more inside."""
        self._inside += 1

    def leave(self) -> None:
        """Count one less inside."""
        self._inside -= 1
        if self.closed and not self._inside:
            self._empty.set()

    async def inside(self, handler: Coroutine[Any, Any, T]) -> T:
        """Await a handler, inside until it ends: to store its outcome is company to nobody."""
        self.enter()
        try:
            return await handler
        finally:
            self.leave()

    async def opened(self) -> None:
        """Return when the gate is open."""
        while self.closed:
            await self._open.wait()

    async def begin(self, patience: float) -> bool:
        """Close the gate and return True once all have left.

        After `patience` seconds the gate is opened again, and the answer is False. Callers take
        turns: this one waits first until the gate is open.
        """
        await self.opened()
        self.closed, self._empty, self._open = True, asyncio.Event(), asyncio.Event()
        if not self._inside:
            return True
        try:
            async with asyncio.timeout(patience):
                await self._empty.wait()
        except BaseException as error:
            self.end()
            if isinstance(error, TimeoutError):
                return False
            raise
        return True

    @contextmanager
    def at_most(self, seconds: float) -> Iterator[None]:
        """Keep the gate closed during the block, for at most `seconds`; then others may enter.

        The block is not inside by itself: what it handles is.
        """
        late = self._end_after(seconds)
        try:
            yield
        finally:
            # Otherwise the seconds were over, and it may be another one's turn.
            if self._late is late:
                self.end()

    def reserve(self, name: object, seconds: float) -> None:
        """Keep the gate closed until `name` enters, for at most `seconds`.

        Call it right after `at_most`. If others have entered by then, it stays open: `name` would
        not be alone.
        """
        if not (self.closed or self._inside):
            self.closed, self._open, self.reserved_for = True, asyncio.Event(), name
            self._end_after(seconds)

    def _end_after(self, seconds: float) -> asyncio.TimerHandle:
        if self._late is not None:
            self._late.cancel()
        self._late = asyncio.get_running_loop().call_later(seconds, self.end)
        return self._late

    def end(self) -> None:
        """Open the gate. Doing so twice changes nothing."""
        if self._late is not None:
            self._late.cancel()
        self.closed, self.reserved_for, self._late = False, None, None
        self._open.set()
