"""Replay: events of a history, sent to one subscription again, with a bookmark after each batch."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from qt_events.bus import EventBus
from qt_events.dead_letters.scan import OnProgress, Pace, Progress, to_its_end
from qt_events.delivery.redelivering import Redelivers
from qt_events.errors import DecodeError, NotSupportedError, QtEventsError
from qt_events.event_loop import running_loop
from qt_events.events.attributes import checked_text
from qt_events.events.raw import RawEvent
from qt_events.events.topics import RoutingIndex, overlap
from qt_events.history.errors import UnheardPatternError
from qt_events.history.replaying.replay_request import ReplayRequest, ReplayState
from qt_events.history.store import Store, every_page
from qt_events.history.where import Where

logger = logging.getLogger("qt_events")

#: Most events that are sent again after a kill. Half of them are sent at once, while the bookmark
#: behind the other half is kept.
BATCH = 100


class Replayed(NamedTuple):
    """Result of a replay, in all its runs."""

    replay_id: str
    subscription: str
    #: Events that its queue has; in a dry run: that it would have.
    sent: int
    #: Of these, by earlier runs.
    sent_before: int
    #: Left out, for the subscription does not hear them.
    unheard: int
    #: Left out, for they cannot be decoded; only on a bus in memory.
    unreadable: int


class _Batch(NamedTuple):
    sequence: int
    heard: list[RawEvent]
    unheard: int


def new_replay_id() -> str:
    """Return an id that no other replay has."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


async def replay(
    store: Store,
    bus: EventBus,
    request: ReplayRequest,
    *,
    rate: float | None = None,
    replay_id: str | None = None,
    on_progress: OnProgress | None = None,
    dry_run: bool = False,
) -> Replayed:
    """See History.replay."""
    pace = Pace(rate)
    if dry_run:
        # Nobody is to be spared.
        pace = Pace(None)
    replay_id = new_replay_id() if replay_id is None else checked_text("replay_id", replay_id)
    if not isinstance(bus, Redelivers):
        raise NotSupportedError(f"{type(bus).__name__} sends no event to one subscription")
    state = await asyncio.to_thread(_state, store, replay_id, request)
    is_heard = _hears(state.request, await bus.patterns_of(state.request.subscription))
    if not state.is_finished:
        run = _Run(store, bus, state, pace, on_progress, dry_run=dry_run)
        try:
            await run.to_the_end(is_heard)
        except QtEventsError as error:
            if not dry_run:
                error.add_note(
                    f"{state.sent:,} events were sent; begun again with replay_id={replay_id!r} "
                    "(--resume) it goes on"
                )
            raise
    return Replayed(
        replay_id,
        state.request.subscription,
        state.sent,
        state.sent_before,
        state.unheard,
        state.unreadable,
    )


def _state(store: Store, replay_id: str, asked: ReplayRequest) -> ReplayState:
    bookmark = store.bookmark(replay_id)
    if bookmark is None:
        # What is recorded from now on the subscription gets by itself.
        newest = store.page(limit=1, newest_first=True)
        return ReplayState(replay_id, asked, last=newest[0].sequence if newest else 0)
    state = ReplayState.of(bookmark)
    state.must_be(asked)
    return state


def _hears(request: ReplayRequest, patterns: frozenset[str]) -> Callable[[str], object]:
    """Return what tells whether the subscription hears a type."""
    if request.even_unheard:
        return lambda _: True
    wanted, name = request.which.pattern, request.subscription
    if not patterns:
        raise UnheardPatternError(
            f"it is not known here what {name!r} hears: name its app, or send it even what it does "
            "not hear (--even-unheard, even_unheard=True)"
        )
    if not any(overlap(wanted, each) for each in patterns):
        raise UnheardPatternError(
            f"{name!r} does not hear {wanted!r}, but {', '.join(map(repr, sorted(patterns)))}: ask "
            "for these, or send it even what it does not hear (--even-unheard, even_unheard=True)"
        )
    index: RoutingIndex[str] = RoutingIndex()
    for each in patterns:
        index.add(each, each)
    return index.match


class _Run:
    """One run of a replay, from its bookmark on."""

    def __init__(
        self,
        store: Store,
        bus: Redelivers,
        state: ReplayState,
        pace: Pace,
        on_progress: OnProgress | None,
        *,
        dry_run: bool,
    ) -> None:
        self._store, self._bus, self._state, self._pace = store, bus, state, pace
        self._on_progress, self._dry_run = on_progress, dry_run
        self._total = 0

    async def to_the_end(self, is_heard: Callable[[str], object]) -> None:
        request = self._state.request
        # Conditions on the payload are not counted: that would read everything twice.
        if not request.where:
            self._total = await asyncio.to_thread(self._store.count, request.which)
        # Known from now on, even if it is killed in its first batch.
        await self._keep_bookmark()
        try:
            await self._take_all(self._pages(is_heard))
        except BaseException:
            # What was sent so far is not sent again.
            await to_its_end(self._keep_bookmark())
            raise
        self._state.is_finished = True
        await self._keep_bookmark()

    async def _take_all(self, pages: Iterator[list[_Batch]]) -> None:
        """Take a page's batches one after the other, while the next page is read."""
        reading = running_loop().create_task(asyncio.to_thread(next, pages, None))
        try:
            while (batches := await reading) is not None:
                reading = running_loop().create_task(asyncio.to_thread(next, pages, None))
                for batch in batches:
                    await self._pace.turn(len(batch.heard))
                    await to_its_end(self._take(batch))
        finally:
            reading.cancel()

    def _pages(self, is_heard: Callable[[str], object]) -> Iterator[list[_Batch]]:
        """Yield what is left. A batch without events says how far the search has come."""
        request, size = self._state.request, max(1, min(BATCH, self._pace.at_once) // 2)
        where, last = Where.parse(*request.where), self._state.last
        for page in every_page(self._store, request.which, after=self._state.sequence):
            found = [each for each in page if each.sequence <= last and where.fits(each.event)]
            parts = [found[begin : begin + size] for begin in range(0, len(found), size)]
            heard = [[each.event for each in part if is_heard(each.event.type)] for part in parts]
            yield [
                _Batch(part[-1].sequence, events, len(part) - len(events))
                for part, events in zip(parts, heard, strict=True)
            ] or [_Batch(min(page[-1].sequence, last), [], 0)]
            if page[-1].sequence >= last:
                return

    async def _take(self, batch: _Batch) -> None:
        """Send a batch, while the bookmark behind the one before it is kept."""
        keeping = running_loop().create_task(self._keep_bookmark())
        try:
            unreadable = await self._send(batch.heard)
        finally:
            await keeping
        state = self._state
        state.sequence, state.unheard = batch.sequence, state.unheard + batch.unheard
        state.unreadable += unreadable
        state.sent += len(batch.heard) - unreadable
        if self._on_progress is not None:
            done, left_out = state.sent, state.unheard + state.unreadable
            total = max(self._total, state.gone_through) if self._total else 0
            self._on_progress(Progress(total, done, left_out))

    async def _send(self, events: Sequence[RawEvent]) -> int:
        """Send events; return the number of those that cannot be decoded."""
        if self._dry_run:
            return 0
        to, replay_id = self._state.request.subscription, self._state.replay_id
        sending = (self._bus.redeliver(each, to, replay_id=replay_id) for each in events)
        results = await asyncio.gather(*sending, return_exceptions=True)
        errors = [each for each in results if each is not None]
        for each in errors:
            if not isinstance(each, DecodeError):
                raise each
            logger.warning("the replay %r leaves an event out: %s", replay_id, each)
        return len(errors)

    async def _keep_bookmark(self) -> None:
        if not self._dry_run:
            await asyncio.to_thread(self._store.keep_bookmark, self._state.bookmark())
