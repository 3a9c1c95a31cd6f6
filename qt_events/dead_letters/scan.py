"""What is done to dead letters one by one: looked through, checked, sent back at a pace, and removed after that."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Generic, Protocol, TypeVar

from qt_events.dead_letters.record import DeadLetterRecord, OnProgress, OnSkipped, Progress
from qt_events.errors import (
    BusStateError,
    IncompleteDeadLetterError,
    PublishRefusedError,
    UsageError,
)
from qt_events.limits import positive_rate

BATCH = 500  #: dead letters in hand at once
_TURN = 0.1  # seconds' worth that a limited rate sends at once
_IN_HAND = 60.0  # seconds that a batch is in hand at a limited rate, at most: brokers have limits


class Held(Protocol):
    """A dead letter in the hands of one Look."""

    @property
    def record(self) -> DeadLetterRecord:
        """What it tells."""


H = TypeVar("H", bound=Held)


class Scan(ABC, Generic[H]):
    """One pass through the dead letters there are, oldest first. What it does not remove stays, in order."""

    total: int  #: how many there were at its start

    @abstractmethod
    def batches(self, most: int) -> AsyncIterator[Sequence[H]]:
        """Some at a time, at most `most`. They stay in hand until the look ends."""

    @abstractmethod
    async def check(self, held: H) -> None:
        """Raise the UsageError that says why it cannot be sent back, if it cannot."""

    @abstractmethod
    async def send_back(self, held: H) -> None:
        """To its subscription only, as a first attempt. Return when it is safe there."""

    @abstractmethod
    async def remove(self, held: Sequence[H]) -> None:
        """They are no dead letters any more."""


async def check(scan: Scan[H], held: H) -> None:
    record = held.record
    if not record.whole:
        message = (
            f"dead letter {record.id!r} of {record.subscription!r} cannot be sent back: only the beginning of its body "
            "was kept, for it was too large. Have its producer publish it again, smaller, and discard this one"
        )
        raise IncompleteDeadLetterError(message)
    await scan.check(held)


async def send_back(scan: Scan[H], held: H) -> None:
    await check(scan, held)
    await scan.send_back(held)


class Pace:
    """How fast dead letters are sent back: evenly, `rate` a second."""

    def __init__(self, rate: float | None) -> None:
        self._rate = None if rate is None else positive_rate("rate", rate)
        self._begun: float | None = None
        self._sent = 0

    @property
    def at_once(self) -> int:
        """How many may go together."""
        return BATCH if self._rate is None else max(1, min(BATCH, int(self._rate * _TURN)))

    @property
    def batch(self) -> int:
        """How many may be in hand together."""
        return BATCH if self._rate is None else max(1, min(BATCH, int(self._rate * _IN_HAND)))

    async def turn(self, count: int) -> None:
        """Return when so many more may go."""
        time = asyncio.get_running_loop().time
        if self._rate is None:
            return
        if self._begun is None:
            self._begun = time()
        await asyncio.sleep(max(0.0, self._begun + self._sent / self._rate - time()))
        self._sent += count


Act = Callable[[Scan[H], H], Awaitable[None]]


class Work(Generic[H]):
    """Doing something to each of many, some at a time; what it was done to is removed."""

    def __init__(
        self,
        scan: Scan[H],
        act: Act[H] | None,
        progress: Progress,
        on_progress: OnProgress | None,
        on_skipped: OnSkipped,
    ) -> None:
        self._look, self._act = scan, act
        self.progress, self._on_progress, self._on_skipped = progress, on_progress, on_skipped

    async def on(self, batch: Sequence[H], pace: Pace, *, keep: bool) -> None:
        """Do it to these, and remove them unless `keep`. An error that is not about one of them ends it."""
        for start in range(0, len(batch), pace.at_once):
            turn = batch[start : start + pace.at_once]
            await pace.turn(len(turn))
            await _to_its_end(self._take_turn(turn, keep=keep))

    async def _take_turn(self, turn: Sequence[H], *, keep: bool) -> None:
        errors = await self._act_on(turn)
        done = [held for held, error in zip(turn, errors, strict=True) if error is None]
        if not keep:
            await self._look.remove(
                done
            )  # before an error is raised: these are safe where they went
        self.progress = replace(self.progress, done=self.progress.done + len(done))
        try:
            for held, error in zip(turn, errors, strict=True):
                if error is not None:
                    self._skip(held, error)
        finally:
            if self._on_progress is not None:
                self._on_progress(self.progress)

    async def _act_on(self, turn: Sequence[H]) -> Sequence[BaseException | None]:
        if self._act is None:
            return [None] * len(turn)
        return await asyncio.gather(
            *(self._act(self._look, held) for held in turn), return_exceptions=True
        )

    def _skip(self, held: H, error: BaseException) -> None:
        if not isinstance(error, UsageError | PublishRefusedError) or isinstance(
            error, BusStateError
        ):
            raise error  # it is not about this one: the next would fail as well
        self._on_skipped(held.record, error)
        self.progress = replace(self.progress, skipped=self.progress.skipped + 1)


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Await it; cancelled, only after its end: what is confirmed meanwhile is removed."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error from None
        raise
