"""Scan: one pass through dead letters; Work: an action on many of them, at a pace.

A backend implements Scan; Work and Pace are the same for all.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from qt_events.dead_letters.filters import Where
from qt_events.dead_letters.record import DeadLetterRecord
from qt_events.delivery.telling.fates import FateOutcome
from qt_events.errors import (
    BusStateError,
    IncompleteDeadLetterError,
    PublishRefusedError,
    QtEventsError,
    UsageError,
)
from qt_events.event_loop import running_loop
from qt_events.limits import positive_rate

BATCH = 500  #: dead letters in hand at once
# Seconds' worth that a limited rate sends at once.
_TURN = 0.1
# Longest time to hold a batch at a limited rate, in seconds: brokers time out consumers.
_IN_HAND = 60.0

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a long call."""

    total: int  #: dead letters to go through, as many as there were at its start
    done: int = 0  #: sent back or removed; in a dry run: that would have been
    skipped: int = 0  #: cannot be sent back, and stay

    @property
    def left(self) -> int:
        """Number of those still to be gone through."""
        return self.total - self.done - self.skipped


OnProgress = Callable[[Progress], object]
OnScan = Callable[[int, int], object]  #: number scanned so far, total number
OnSkipped = Callable[[DeadLetterRecord, QtEventsError], object]


# Not frozen: CPython 3.11 cannot make a frozen generic class with slots by HeldDeadLetter[R](...).
@dataclass(slots=True)
class HeldDeadLetter(Generic[R]):
    """A dead letter in the hands of one Scan. Nothing changes it."""

    record: DeadLetterRecord
    receipt: R  #: the backend's own: sends it back and removes it


class Scan(ABC, Generic[R]):
    """One pass through the dead letters there are, oldest first. The others stay, in order."""

    total: int  #: how many there were at its start

    @abstractmethod
    def batches(self, most: int) -> AsyncIterator[Sequence[HeldDeadLetter[R]]]:
        """Yield some at a time, at most `most`. They stay in hand until the scan ends."""

    @abstractmethod
    async def check(self, held: HeldDeadLetter[R]) -> None:
        """Raise the UsageError that says why it cannot be sent back, if it cannot."""

    @abstractmethod
    async def send_back(self, held: HeldDeadLetter[R]) -> None:
        """Send it to its subscription only, as a first attempt. Return when it is safe there."""

    @abstractmethod
    async def remove(self, held: Sequence[HeldDeadLetter[R]]) -> None:
        """Remove these for good."""

    # Most backends tell nobody.
    async def tell(
        self, held: Sequence[HeldDeadLetter[R]], outcome: FateOutcome, at: datetime
    ) -> None:
        """Tell those who listen to fates that an operator sent these back, or discarded them."""


async def batches_of(
    scan: Scan[R], on_scan: OnScan | None
) -> AsyncGenerator[Sequence[HeldDeadLetter[R]], None]:
    """Yield all of them, and report the progress."""
    seen = 0
    async for batch in scan.batches(BATCH):
        seen += len(batch)
        if on_scan is not None:
            on_scan(seen, scan.total)
        yield batch


def fitting(batch: Sequence[HeldDeadLetter[R]], where: Where | None) -> Sequence[HeldDeadLetter[R]]:
    """Return those that a call with this filter is about."""
    return batch if where is None else [held for held in batch if where(held.record)]


async def check(scan: Scan[R], held: HeldDeadLetter[R]) -> None:
    """Raise the UsageError that says why it cannot be sent back, if it cannot."""
    record = held.record
    if not record.whole:
        raise IncompleteDeadLetterError(
            f"dead letter {record.id!r} of {record.subscription!r} cannot be sent back: only the "
            "beginning of its body was kept, for it was too large. Have its producer publish it "
            "again, smaller, and discard this one"
        )
    await scan.check(held)


async def send_back(scan: Scan[R], held: HeldDeadLetter[R]) -> None:
    """Check it, then send it back."""
    await check(scan, held)
    await scan.send_back(held)


class Pace:
    """Sends dead letters back evenly, `rate` a second."""

    def __init__(self, rate: float | None) -> None:
        self._rate = None if rate is None else positive_rate("rate", rate)
        self._begun: float | None = None
        self._sent = 0

    @property
    def at_once(self) -> int:
        """Number of dead letters that may be sent together."""
        return BATCH if self._rate is None else max(1, min(BATCH, int(self._rate * _TURN)))

    @property
    def batch(self) -> int:
        """Number of dead letters that may be in hand together."""
        return BATCH if self._rate is None else max(1, min(BATCH, int(self._rate * _IN_HAND)))

    async def turn(self, count: int) -> None:
        """Return when `count` more may be sent."""
        time = asyncio.get_running_loop().time
        if self._rate is None:
            return
        now = time()
        if self._begun is None:
            self._begun = now
        wait = self._begun + self._sent / self._rate - now
        # Made up for, a pause would become a burst.
        self._begun += max(0.0, -wait - _TURN)
        await asyncio.sleep(max(0.0, wait))
        self._sent += count


Act = Callable[[Scan[R], HeldDeadLetter[R]], Awaitable[None]]


class Work(Generic[R]):
    """Applies `act` to dead letters, some at a time, and removes each one that succeeded."""

    def __init__(
        self,
        scan: Scan[R],
        act: Act[R] | None,
        progress: Progress,
        on_progress: OnProgress | None,
        on_skipped: OnSkipped,
    ) -> None:
        self._scan, self._act = scan, act
        self._fate = FateOutcome.DISCARDED if act is None else FateOutcome.SENT_BACK
        self.progress, self._on_progress, self._on_skipped = progress, on_progress, on_skipped

    def expect_fewer(self, count: int) -> None:
        """Leave out of the total so many that the work is not about."""
        self.progress = replace(self.progress, total=self.progress.total - count)

    async def on(self, batch: Sequence[HeldDeadLetter[R]], pace: Pace, *, keep: bool) -> None:
        """Do it to these, and remove them unless `keep`. An error not about one of them ends it."""
        for start in range(0, len(batch), pace.at_once):
            turn = batch[start : start + pace.at_once]
            await pace.turn(len(turn))
            await to_its_end(self._take_turn(turn, keep=keep))

    async def _take_turn(self, turn: Sequence[HeldDeadLetter[R]], *, keep: bool) -> None:
        # Their next attempts may end before they are told of.
        began = datetime.now(UTC)
        errors = await self._act_on(turn)
        done = [held for held, error in zip(turn, errors, strict=True) if error is None]
        if not keep:
            # Before an error is raised: these are safe where they were sent.
            await self._scan.remove(done)
            await self._scan.tell(done, self._fate, began)
        self.progress = replace(self.progress, done=self.progress.done + len(done))
        try:
            for held, error in zip(turn, errors, strict=True):
                if error is not None:
                    self._skip(held, error)
        finally:
            if self._on_progress is not None:
                self._on_progress(self.progress)

    async def _act_on(self, turn: Sequence[HeldDeadLetter[R]]) -> Sequence[BaseException | None]:
        if self._act is None:
            return [None] * len(turn)
        acting = (self._act(self._scan, held) for held in turn)
        return await asyncio.gather(*acting, return_exceptions=True)

    def _skip(self, held: HeldDeadLetter[R], error: BaseException) -> None:
        about_this_one = (UsageError, PublishRefusedError)
        if isinstance(error, BusStateError) or not isinstance(error, about_this_one):
            # The next one would fail as well.
            raise error
        self._on_skipped(held.record, error)
        self.progress = replace(self.progress, skipped=self.progress.skipped + 1)


async def to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Await the work, to its end even if cancelled: what is confirmed meanwhile is removed."""
    task = running_loop().create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error from None
        raise
