"""Solitude: any number of handlers beside each other, or one alone. On one event loop."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class ExclusiveGate:
    """Who is inside. `closed` is asked before each `enter`, so that the usual way in costs next to nothing."""

    def __init__(self) -> None:
        self.closed = False  #: somebody is alone inside, or is to be
        self.reserved_for: object = None  #: who may go on to be alone, closed as it is
        self._inside = 0
        self._late: asyncio.TimerHandle | None = None
        self._empty = self._open = asyncio.Event()

    def enter(self) -> None:
        """One more is inside."""
        self._inside += 1

    def leave(self) -> None:
        """One less."""
        self._inside -= 1
        if self.closed and not self._inside:
            self._empty.set()

    async def opened(self) -> None:
        """Return when nobody is to be alone."""
        while self.closed:
            await self._open.wait()

    async def begin(self, patience: float) -> bool:
        """Let nobody else in, and return when all have left; False, and all may enter again, after `patience` seconds.

        Whoever else wants to be alone waits for its turn first.
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
        """Alone until the block ends, or so many seconds are over: then one among others."""
        self.enter()
        late = self._end_after(seconds)
        try:
            yield
        finally:
            self.leave()
            if self._late is late:  # else they were over, and it may be somebody else's turn
                self.end()

    def reserve(self, name: object, seconds: float) -> None:
        """Nobody enters until `name` has come, or so many seconds are over; right after an `at_most`."""
        if not self.closed:
            self.closed, self._open, self.reserved_for = True, asyncio.Event(), name
            self._end_after(seconds)

    def _end_after(self, seconds: float) -> asyncio.TimerHandle:
        if self._late is not None:
            self._late.cancel()
        self._late = asyncio.get_running_loop().call_later(seconds, self.end)
        return self._late

    def end(self) -> None:
        """All may enter. Ending twice changes nothing."""
        if self._late is not None:
            self._late.cancel()
        self.closed, self.reserved_for, self._late = False, None, None
        self._open.set()
