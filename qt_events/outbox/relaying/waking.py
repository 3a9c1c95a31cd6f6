"""Waking: relays that look at once when an event is added in their process.

An event is added before its commit, so a relay looks again and again, ever more seldom. PostgreSQL
wakes relays itself, at the commit.
"""

import asyncio
from collections.abc import Hashable
from contextlib import suppress
from threading import Lock
from weakref import WeakSet

#: Seconds until the first look after an event was added; each further one takes twice as long.
FIRST_LOOK = 0.001

_lock = Lock()
_sleepers: dict[Hashable, WeakSet["Sleeper"]] = {}


def wake(place: Hashable) -> None:
    """Wake all relays of a database in this process."""
    for sleeper in tuple(_sleepers.get(place, ())):
        sleeper.expect()


class Sleeper:
    """Sleep of one relay, on whose event loop it is made."""

    def __init__(self, place: Hashable) -> None:
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        # Whether the loop is about to hear that an event was added.
        self._told = False
        # Seconds until the next look; None if nothing is expected.
        self._look: float | None = None
        #: True while PostgreSQL wakes this relay: nothing is expected then.
        self.is_listening = False
        with _lock:
            _sleepers.setdefault(place, WeakSet()).add(self)

    def expect(self) -> None:
        """Look soon, and again: an event is about to be committed. Safe from any thread."""
        if not self.is_listening and not self._told:
            self._told = True
            # Its loop may be closed.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._expect)

    def _expect(self) -> None:
        self._told, self._look = False, FIRST_LOOK
        self._woken.set()

    def wake(self) -> None:
        """Look now. Call it on the loop."""
        self._woken.set()

    def begin(self) -> None:
        """Begin to look: what wakes the relay from here on is not missed."""
        self._woken.clear()

    async def sleep(self, longest: float) -> None:
        """Return when woken, and after `longest` seconds."""
        look, self._look = self._look, None
        if look is not None and look < longest:
            longest, self._look = look, 2 * look
        with suppress(TimeoutError):
            async with asyncio.timeout(longest):
                await self._woken.wait()
