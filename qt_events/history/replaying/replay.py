"""Replay: events of a history, sent to one subscription again, with a bookmark after each batch."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from qt_events.bus import EventBus
from qt_events.dead_letters.scan import OnProgress, Pace, Progress, to_its_end
from qt_events.delivery.redelivering import Redelivers
from qt_events.errors import NotSupportedError, QtEventsError
from qt_events.event_loop import running_loop
from qt_events.events.attributes import checked_text
from qt_events.events.raw import RawEvent
from qt_events.events.topics import RoutingIndex, overlap
from qt_events.history.errors import ReplayTakenOverError, UnheardPatternError
from qt_events.history.replaying.replay_request import ReplayRequest, ReplayState
from qt_events.history.store import Store, every_page
from qt_events.history.where import Where

logger = logging.getLogger("qt_events")

#: Most events that are sent again after a kill. Half of them are sent while the other half is
#: confirmed and the bookmark behind it is kept.
BATCH = 500


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


class _Half(NamedTuple):
    """Half of a batch; one without events says how far the search has come."""

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
            if not (dry_run or isinstance(error, ReplayTakenOverError)):
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
        self._in_flight = list[tuple[_Half, asyncio.Task[int]]]()

    async def to_the_end(self, is_heard: Callable[[str], object]) -> None:
        request = self._state.request
        # Conditions on the payload are not counted: that would read everything twice.
        if not request.where:
            self._total = await asyncio.to_thread(self._store.count, request.which)
        # Known from now on, even if it is killed in its first batch; an earlier run ends.
        if not self._dry_run:
            await asyncio.to_thread(self._store.keep_bookmark, self._state.bookmark())
        try:
            await self._take_all(self._pages(is_heard))
        finally:
            # What was sent so far is not sent again.
            await to_its_end(self._settle_all())
        self._state.is_finished = True
        await self._keep_bookmark()

    async def _take_all(self, pages: Iterator[list[_Half]]) -> None:
        """Send each half of a batch while the one before it is confirmed, and a page is read."""
        loop = running_loop()
        reading = loop.run_in_executor(None, next, pages, None)
        try:
            while (halves := await asyncio.shield(reading)) is not None:
                reading = loop.run_in_executor(None, next, pages, None)
                for half in halves:
                    await self._pace.turn(len(half.heard))
                    self._in_flight.append((half, loop.create_task(self._send(half.heard))))
                    if len(self._in_flight) > 1:
                        await to_its_end(self._settle())
        except BaseException as error:
            await self._leave(reading, error)
            raise

    async def _leave(self, reading: "asyncio.Future[Any]", why: BaseException) -> None:
        """Await the page that is being read. Nobody else asks for its error after another one."""
        await asyncio.wait([reading])
        if (error := reading.exception()) not in {None, why}:
            message = "the replay %r ends, and its next page could not be read either: %s"
            logger.warning(message, self._state.replay_id, error)

    def _pages(self, is_heard: Callable[[str], object]) -> Iterator[list[_Half]]:
        """Yield what is left."""
        request, size = self._state.request, max(1, min(BATCH, self._pace.at_once) // 2)
        where, last = Where.parse(*request.where), self._state.last
        for page in every_page(self._store, request.which, after=self._state.sequence):
            found = [each for each in page if each.sequence <= last and where.fits(each.event)]
            parts = [found[begin : begin + size] for begin in range(0, len(found), size)]
            heard = [[each.event for each in part if is_heard(each.event.type)] for part in parts]
            yield [
                _Half(part[-1].sequence, events, len(part) - len(events))
                for part, events in zip(parts, heard, strict=True)
            ] or [_Half(min(page[-1].sequence, last), [], 0)]
            if page[-1].sequence >= last:
                return

    async def _settle(self) -> None:
        """Await the confirms of the oldest that is in flight, and keep the bookmark behind it."""
        half, sending = self._in_flight[0]
        unreadable = await sending
        del self._in_flight[0]
        state = self._state
        state.sequence, state.unheard = half.sequence, state.unheard + half.unheard
        state.unreadable += unreadable
        state.sent += len(half.heard) - unreadable
        await self._keep_bookmark()
        if self._on_progress is not None:
            done, left_out = state.sent, state.unheard + state.unreadable
            total = max(self._total, state.gone_through) if self._total else 0
            self._on_progress(Progress(total, done, left_out))

    async def _settle_all(self) -> None:
        """Settle all that is in flight. Nothing counts behind what was not confirmed."""
        try:
            while self._in_flight:
                await self._settle()
        finally:
            left = (sending for _, sending in self._in_flight)
            await asyncio.gather(*left, return_exceptions=True)

    async def _send(self, events: Sequence[RawEvent]) -> int:
        """Send events; return the number of those that cannot be decoded."""
        if self._dry_run:
            return 0
        to, replay_id = self._state.request.subscription, self._state.replay_id
        errors = await self._bus.redeliver_all(events, to, replay_id=replay_id) if events else []
        for each in errors:
            logger.warning("the replay %r leaves an event out: %s", replay_id, each)
        return len(errors)

    async def _keep_bookmark(self) -> None:
        if not self._dry_run:
            await asyncio.to_thread(self._keep)

    def _keep(self) -> None:
        store, state = self._store, self._state
        kept = store.bookmark(state.replay_id)
        if kept is not None and state.is_of_another_run(kept):
            raise ReplayTakenOverError(
                f"another process goes on with the replay {state.replay_id!r}: this one ends, and "
                "at most one batch was sent by both"
            )
        store.keep_bookmark(state.bookmark())
