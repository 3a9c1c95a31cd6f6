"""Recorder: the handlers of the subscriptions that keep events and fates."""

import asyncio
import logging
from asyncio import sleep
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

from qt_events.delivery.batching.batches import BatchFailed
from qt_events.delivery.telling.fates import Fate
from qt_events.events.event import Event
from qt_events.events.raw import RawEvent
from qt_events.history.errors import HistoryError, RefusedRowError
from qt_events.history.store import Bookmark, Store

T = TypeVar("T")

logger = logging.getLogger("qt_events")

#: Seconds before a store that cannot be used is tried again: at first, and at most.
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
#: Seconds between two looks whether another recorder got a mark.
LOOK = 0.2
#: Type of events that are sent to the recorder alone, and not kept.
MARK = "qt_events.history.mark"


class Recorder:
    """Keeps events in a store, each batch in one transaction.

    While the store cannot be used, a batch waits for it and is tried again: no attempt is counted,
    and the broker keeps the events. They are given back when the bus stops.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        #: Events that came, and those of them that were new.
        self.seen = self.new = 0
        #: Tells the recorders of one store apart.
        self.id = uuid4().hex
        # Those that this process waits for, each with the loop on which it does.
        self._marks = dict[str, tuple[asyncio.AbstractEventLoop, asyncio.Event]]()

    async def record(self, events: Sequence[RawEvent]) -> None:
        """Keep events.

        Raises:
            BatchFailed: names those that the store does not take; the others are kept.
        """
        marks = [each for each in events if each.replayed and each.type == MARK]
        try:
            await self._record([each for each in events if each not in marks] if marks else events)
        except BatchFailed:
            await self._passed(marks)
            raise
        await self._passed(marks)

    async def _passed(self, marks: Sequence[RawEvent]) -> None:
        for each in marks:
            if (waiting := self._marks.get(each.id)) is not None:
                loop, passed = waiting
                loop.call_soon_threadsafe(passed.set)
            else:
                # Another recorder waits for it, and has the same store.
                note = Bookmark(each.id, MARK, self.id, 0, datetime.now(UTC))
                await self.kept(partial(self._store.keep_bookmark, note), "a mark")

    async def _record(self, events: Sequence[RawEvent]) -> None:
        try:
            new = await self.kept(partial(self._store.append, events), f"{len(events)} events")
        except RefusedRowError:
            new = await self._record_one_by_one(events)
        self.seen += len(events)
        self.new += new

    async def pass_mark(self, send: Callable[[Event[Any]], Awaitable[None]]) -> str:
        """Send a mark; return once it has come, and all that came before it to where it came.

        Return the id of the recorder that got it, here or in another process.
        """
        mark: Event[Any] = Event(MARK)
        passed = asyncio.Event()
        self._marks[mark.id] = asyncio.get_running_loop(), passed
        try:
            await send(mark)
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK):
                        await passed.wait()
                    return self.id
                note = await self.kept(partial(self._store.bookmark, mark.id), "a mark")
                if note is not None:
                    return note.request
        finally:
            del self._marks[mark.id]

    async def record_fates(self, fates: Sequence[Fate]) -> None:
        """Keep fates. One that the store does not take is left out, and named in the log."""
        try:
            await self.kept(partial(self._store.append_fates, fates), f"{len(fates)} fates")
        except RefusedRowError as error:
            if len(fates) == 1:
                logger.warning("a fate is left out, %.500r: %s", fates[0], error)
                return
            for each in fates:
                await self.record_fates([each])

    async def _record_one_by_one(self, events: Sequence[RawEvent]) -> int:
        new, refused = 0, dict[tuple[str, str], Exception]()
        for each in events:
            try:
                new += await self.kept(partial(self._store.append, [each]), "1 event")
            except RefusedRowError as error:
                refused[each.source, each.id] = error
        if refused:
            self.seen += len(events) - len(refused)
            self.new += new
            raise BatchFailed(refused)
        return new

    async def kept(self, keep: Callable[[], T], what: str) -> T:
        """Call a method of the store in a thread until it can be used."""
        wait = FIRST_WAIT
        while True:
            try:
                return await asyncio.to_thread(keep)
            except RefusedRowError:
                raise
            except HistoryError as error:
                message = "%s wait for the history, next try in %g s: %s"
                logger.warning(message, what, wait, error)
            await sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)
