"""DeadLetterOperations: the calls for an operator, on top of a backend's own Scan."""

import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from datetime import datetime
from functools import wraps
from heapq import nsmallest
from typing import Generic, ParamSpec, Protocol, TypeVar
from warnings import warn

from qt_events.dead_letters.filters import Where
from qt_events.dead_letters.groups import DeadLetterGroup, DeadLetterGroups
from qt_events.dead_letters.record import DeadLetterRecord
from qt_events.dead_letters.scan import (
    BATCH,
    Act,
    HeldDeadLetter,
    OnProgress,
    OnScan,
    OnSkipped,
    Pace,
    Progress,
    R,
    Scan,
    Work,
    batches_of,
    check,
    fitting,
    send_back,
)
from qt_events.errors import InvalidOptionError, QtEventsError, UnknownDeadLetterError
from qt_events.limits import positive_int

logger = logging.getLogger("qt_events")

# Ids in an error's text.
_NAMED = 10

P = ParamSpec("P")
T = TypeVar("T")


def takes_on_look(function: Callable[P, T]) -> Callable[P, T]:
    """Let a call take `on_look=`, the old name of `on_scan=`, with a DeprecationWarning."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        if "on_look" in kwargs:
            warn("on_look= is deprecated: write on_scan=", DeprecationWarning, stacklevel=2)
            if "on_scan" in kwargs:
                raise InvalidOptionError("on_look= is the old name of on_scan=: give one of them")
            kwargs["on_scan"] = kwargs.pop("on_look")
        return function(*args, **kwargs)

    return call


class DeadLetters(Protocol):
    """List, show, send back and discard dead letters, on any backend; see DeadLetterOperations.

    Dead letters that `retry...` or `discard...` do not reach, because the call fails or is
    cancelled, stay dead letters. A cancelled call first finishes what is on its way. At worst an
    event was sent back and is still a dead letter too.

    Args:
        subscription: scan this one's; without it, those of all subscriptions that the bus knows.
        where: only those for which it returns True, such as a DeadLetterFilter.
        limit: at most so many.
        rate: send back at most so many a second, evenly; without it as fast as possible.
        dry_run: send and remove nothing; return the number that it would be.
        on_progress: is called now and then, and at the end, on the caller's event loop.
        on_scan: the same, while dead letters with certain ids are looked for.

    Raises:
        UnknownDeadLetterError: there is no dead letter with this id (any more).
        UnknownSubscriptionError: there is no such subscription (any more).
        IncompleteDeadLetterError: only the beginning of its body was kept, so it cannot be sent
            back.
        BrokerError: the broker did not answer, or refused.
        InvalidOptionError: `rate` or `limit` is no number over 0.
    """

    async def list(
        self, subscription: str | None = None, limit: int = 1000, *, where: Where | None = None
    ) -> Sequence[DeadLetterRecord]: ...

    def stream(
        self,
        subscription: str | None = None,
        *,
        where: Where | None = None,
        on_scan: OnScan | None = None,
    ) -> AsyncGenerator[DeadLetterRecord, None]: ...

    async def groups(
        self, subscription: str | None = None, *, where: Where | None = None
    ) -> Sequence[DeadLetterGroup]: ...

    async def show(
        self, id: str, *, subscription: str | None = None, on_scan: OnScan | None = None
    ) -> DeadLetterRecord: ...

    async def retry(self, id: str) -> None: ...

    async def retry_many(
        self,
        ids: Iterable[str],
        *,
        subscription: str | None = None,
        rate: float | None = None,
        dry_run: bool = False,
        on_progress: OnProgress | None = None,
        on_scan: OnScan | None = None,
    ) -> int: ...

    async def retry_all(
        self,
        subscription: str,
        *,
        where: Where | None = None,
        rate: float | None = None,
        dry_run: bool = False,
        on_progress: OnProgress | None = None,
        on_skipped: OnSkipped | None = None,
    ) -> int: ...

    async def discard(self, id: str) -> None: ...

    async def discard_many(
        self,
        ids: Iterable[str],
        *,
        subscription: str | None = None,
        dry_run: bool = False,
        on_progress: OnProgress | None = None,
        on_scan: OnScan | None = None,
    ) -> int: ...

    async def discard_all(
        self,
        subscription: str,
        *,
        where: Where | None = None,
        limit: int | None = None,
        dry_run: bool = False,
        on_progress: OnProgress | None = None,
    ) -> int: ...


class DeadLetterOperations(ABC, Generic[R]):
    """DeadLetters of a backend that implements `scan`."""

    @abstractmethod
    def scan(self, subscription: str | None) -> AbstractAsyncContextManager[Scan[R]]:
        """Begin a pass through a subscription's dead letters, or through all.

        Raises:
            UnknownSubscriptionError: there is no such subscription.
        """

    async def list(
        self, subscription: str | None = None, limit: int = 1000, *, where: Where | None = None
    ) -> Sequence[DeadLetterRecord]:
        """Return the oldest ones. Nothing changes by it."""
        positive_int("limit", limit)
        oldest: list[DeadLetterRecord] = []
        async with aclosing(self.stream(subscription, where=where)) as records:
            async for record in records:
                oldest.append(record)
                if len(oldest) >= limit + BATCH:
                    oldest = nsmallest(limit, oldest, key=_age)
        return nsmallest(limit, oldest, key=_age)

    @takes_on_look
    async def stream(
        self,
        subscription: str | None = None,
        *,
        where: Where | None = None,
        on_scan: OnScan | None = None,
    ) -> AsyncGenerator[DeadLetterRecord, None]:
        """Yield each one there is now, roughly in the order of arrival, few at a time in memory.

        Until its end, other readers do not see those that were read; then they are back, in order.
        Use `contextlib.aclosing` to leave it early: those that were read are back then, perhaps
        behind the others.
        """
        async with self.scan(subscription) as scan:
            async for batch in batches_of(scan, on_scan):
                for held in fitting(batch, where):
                    yield held.record

    async def groups(
        self, subscription: str | None = None, *, where: Where | None = None
    ) -> Sequence[DeadLetterGroup]:
        """Count them by their error; see DeadLetterGroups."""
        groups = DeadLetterGroups()
        async with aclosing(self.stream(subscription, where=where)) as records:
            async for record in records:
                groups.add(record)
        return groups.sorted()

    @takes_on_look
    async def show(
        self, id: str, *, subscription: str | None = None, on_scan: OnScan | None = None
    ) -> DeadLetterRecord:
        """Return the one with this id."""
        async with self.scan(subscription) as scan:
            (found,) = await _found(scan, [id], on_scan)
        return found.record

    async def retry(self, id: str) -> None:
        """Send one back to its subscription only, as a first attempt, and remove it after that."""
        await self.retry_many([id])

    @takes_on_look
    async def retry_many(
        self,
        ids: Iterable[str],
        *,
        subscription: str | None = None,
        rate: float | None = None,
        dry_run: bool = False,
        on_progress: OnProgress | None = None,
        on_scan: OnScan | None = None,
    ) -> int:
        """`retry` these, in one scan; return their number.

        If one of them is not there or cannot be sent back, none is.
        """
        pace = Pace(rate)
        async with self.scan(subscription) as scan:
            found = await _found(scan, ids, on_scan)
            for held in found:
                await check(scan, held)
            work = Work(
                scan, None if dry_run else send_back, Progress(len(found)), on_progress, _refuse
            )
            await work.on(found, pace, keep=dry_run)
        return work.progress.done

    async def retry_all(
        self,
        subscription: str,
        *,
        where: Where | None = None,
        rate: float | None = None,
        dry_run: bool = False,
        on_progress: OnProgress | None = None,
        on_skipped: OnSkipped | None = None,
    ) -> int:
        """Send back all that a subscription has now, oldest first; return their number.

        One that cannot be sent back stays, and `on_skipped` is called with the reason; without it a
        warning is logged.
        """
        act, pace = (check, Pace(None)) if dry_run else (send_back, Pace(rate))
        return await self._on_all(
            subscription, act, pace, on_progress, on_skipped or _warn, keep=dry_run, where=where
        )

    async def discard(self, id: str) -> None:
        """Remove one for good."""
        await self.discard_many([id])

    @takes_on_look
    async def discard_many(
        self,
        ids: Iterable[str],
        *,
        subscription: str | None = None,
        dry_run: bool = False,
        on_progress: OnProgress | None = None,
        on_scan: OnScan | None = None,
    ) -> int:
        """`discard` these, in one scan; return their number. If one is missing, none is removed."""
        async with self.scan(subscription) as scan:
            found = await _found(scan, ids, on_scan)
            work = Work(scan, None, Progress(len(found)), on_progress, _refuse)
            await work.on(found, Pace(None), keep=dry_run)
        return work.progress.done

    async def discard_all(
        self,
        subscription: str,
        *,
        where: Where | None = None,
        limit: int | None = None,
        dry_run: bool = False,
        on_progress: OnProgress | None = None,
    ) -> int:
        """Remove all that a subscription has now, or the first `limit`; return their number."""
        most = None if limit is None else positive_int("limit", limit)
        return await self._on_all(
            subscription,
            None,
            Pace(None),
            on_progress,
            _refuse,
            keep=dry_run,
            most=most,
            where=where,
        )

    async def _on_all(
        self,
        subscription: str,
        act: Act[R] | None,
        pace: Pace,
        on_progress: OnProgress | None,
        on_skipped: OnSkipped,
        *,
        keep: bool,
        most: int | None = None,
        where: Where | None = None,
    ) -> int:
        async with self.scan(subscription) as scan:
            left = scan.total if most is None else min(most, scan.total)
            work = Work(scan, act, Progress(left), on_progress, on_skipped)
            # Through all of them, for a queue may change the order of the rest.
            async for batch in scan.batches(pace.batch):
                about = fitting(batch, where)
                if most is None:
                    work.expect_fewer(len(batch) - len(about))
                await work.on(about[:left], pace, keep=keep)
                left = max(0, left - len(about))
        return work.progress.done


async def _found(
    scan: Scan[R], ids: Iterable[str], on_scan: OnScan | None
) -> Sequence[HeldDeadLetter[R]]:
    """Return those with these ids, in their order.

    Goes through all dead letters, for a queue may change the order of the rest.
    """
    wanted = dict.fromkeys(ids)
    found: dict[str, HeldDeadLetter[R]] = {}
    async for batch in batches_of(scan, on_scan):
        for held in batch:
            if held.record.id in wanted:
                found.setdefault(held.record.id, held)
    if missing := [each for each in wanted if each not in found]:
        raise _unknown(missing, scan.total)
    return [found[each] for each in wanted]


def _unknown(missing: Sequence[str], total: int) -> UnknownDeadLetterError:
    named = ", ".join(f"{each!r:.80}" for each in missing[:_NAMED])
    more = ", ..." if missing[_NAMED:] else ""
    return UnknownDeadLetterError(
        f"there is no dead letter {named}{more} among {total}; list() shows those there are. "
        "Nothing was done"
    )


def _refuse(_: DeadLetterRecord, error: QtEventsError) -> None:
    raise error


def _warn(record: DeadLetterRecord, error: QtEventsError) -> None:
    logger.warning("%s: dead letter %s stays: %s", record.subscription, record.id, error)


def _age(record: DeadLetterRecord) -> datetime:
    return record.last_failed
