"""Rerun: the root events of a history, once more through an app's subscriptions, in memory."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, ExitStack
from datetime import datetime, timedelta
from inspect import isawaitable, iscoroutine, isgenerator
from sys import maxsize
from typing import Any, NamedTuple

from qt_events.bus import EventBus, create_event_bus
from qt_events.dead_letters.record import DeadLetterRecord
from qt_events.delivery.middleware import CallHandler
from qt_events.delivery.subscribing.starting import RemembersEvents
from qt_events.delivery.waiting.manual_clock import ManualClock
from qt_events.errors import QtEventsError, UsageError
from qt_events.events.raw import RawEvent, as_event
from qt_events.history.filters import EventFilter
from qt_events.history.history import History
from qt_events.history.replaying.comparison import Causes, Difference, differences

#: Subscribes all of an app to a bus. What it returns may be a context manager, which ends then.
Subscribe = Callable[[EventBus], object]

#: Name of the subscription that notes what is published.
SUBSCRIPTION = "qt-rerun"
#: Seconds that what follows is given after the last root event, by the rerun's clock.
AFTERWARDS = 86_400.0


class Rerun(NamedTuple):
    """Result of a rerun."""

    #: Numbers of events: fed, in the history, and published again with those that were fed.
    fed: int
    before: int
    after: int
    #: Causes before what they cause.
    differences: list[Difference]
    #: Oldest first.
    dead_letters: Sequence[DeadLetterRecord]
    #: Deliveries that still waited for a retry, a day after the last root event.
    unfinished: int


async def rerun(
    history: History,
    subscribe: Subscribe,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Rerun:
    """Feed an app with the root events of a time, and compare what it publishes.

    Root events are those that none of the others caused. Each is published when all that followed
    from the one before is done, or waits for a later time than its own. The events of that time
    are held in memory.

    Args:
        subscribe: is called with an InMemoryEventBus, and subscribes the app's handlers to it. They
            must publish on that bus, and not on another.
        since, until: times of root events: from `since` on, and before `until`. What followed from
            them is compared up to a day later.

    Raises:
        InvalidOptionError: `until` is before `since`.
        UsageError: `subscribe` is async, or a generator.
        DecodeError: a root event does not fit its class (any more).
    """
    before = Causes(await _kept(history, EventFilter(since=since, until=until)))
    played = _Player()
    with ExitStack() as stack:
        made = subscribe(played.bus)
        _must_have_run(made)
        if isinstance(made, AbstractContextManager):
            stack.enter_context(made)
        dead_letters, unfinished = await played.play(before.roots)
    after = Causes(played.published)
    return Rerun(
        len(before.roots),
        len(before.events),
        len(after.events),
        list(differences(before, after)),
        dead_letters,
        unfinished,
    )


def _must_have_run(made: object) -> None:
    """Raise UsageError for what only an await or an iteration would run."""
    if isawaitable(made) or isgenerator(made) or isinstance(made, AbstractAsyncContextManager):
        if iscoroutine(made):
            made.close()
        raise UsageError(
            f"subscribe() returned a {type(made).__name__}, and nothing is subscribed: make it a "
            "plain function, or a @contextmanager"
        )


async def _kept(history: History, which: EventFilter) -> list[RawEvent]:
    """Return the events of a time, and what followed from them within a day after it."""
    until = which.until
    later = None if until is None else until + timedelta(seconds=AFTERWARDS)
    kept: list[RawEvent] = []
    ids: set[str | None] = set()
    async for _, _, event in history.events(EventFilter(since=which.since, until=later)):
        if until is None or event.time < until or event.causation_id in ids:
            kept.append(event)
            ids.add(event.id)
    return kept


class _NoPast:
    """Past of a bus on which everything begins: what is fed is all there is."""

    async def catch_up(self) -> None:
        """See PastEvents."""

    async def page(self, _after: int, _since: datetime | None) -> Sequence[tuple[int, RawEvent]]:
        """See PastEvents."""
        return ()


class _Player:
    """Plays root events at their own times, by a clock that does not wait."""

    def __init__(self) -> None:
        self._clock, self._calls = ManualClock(), _Calls()
        # Whoever waited for a place would wait for the clock, which waits for him. A rerun is
        # compared, not timed: slow handlers are named while the app serves.
        self.bus = create_event_bus(
            "memory://", clock=self._clock, max_queue_size=maxsize, slow_after=3600
        )
        self.bus.use(self._calls)
        assert isinstance(self.bus, RemembersEvents)  # noqa: S101
        self.bus.remember(_NoPast())
        self.published: list[RawEvent] = []
        self.bus.subscribe("#", self._note, name=SUBSCRIPTION, raw=True)

    async def _note(self, event: RawEvent) -> None:
        self.published.append(event)

    async def play(self, roots: Sequence[RawEvent]) -> tuple[Sequence[DeadLetterRecord], int]:
        """Play events; return dead letters, and the number of deliveries that are left."""
        now = 0.0
        async with self.bus:
            for root in roots:
                now = max(now, (root.time - roots[0].time).total_seconds())
                await self._rest(now)
                await self._publish(root)
            await self._rest(now + AFTERWARDS)
            left = self._held
            # What is left is not waited for.
            self.bus.stop()
        return [each async for each in self.bus.dead_letters.stream()], left

    async def _publish(self, root: RawEvent) -> None:
        try:
            await self.bus.publish(as_event(root))
        except QtEventsError as error:
            error.add_note(f"the rerun was to publish {root.type} {root.id} from {root.source}")
            raise

    async def _rest(self, until: float) -> None:
        """Return when nothing is left to do before a time, and let the time come."""
        while self._held:
            # Its turns of the loop begin what is queued.
            await self._clock.advance(0)
            if not self._calls.idle.is_set():
                await self._calls.idle.wait()
            elif (soonest := self._clock.soonest) is not None:
                if soonest > until:
                    break
                await self._clock.advance_to_next()
        await self._clock.advance(max(0.0, until - self._clock.time()))

    @property
    def _held(self) -> int:
        return int(self.bus.get_stats()["queue_size"])


class _Calls:
    """Middleware that knows whether a handler runs."""

    def __init__(self) -> None:
        self._running = 0
        self.idle = asyncio.Event()
        self.idle.set()

    async def around_handle(
        self, _event: Any, subscription: Any, _attempt: int, call_next: CallHandler
    ) -> None:
        await self.around_batch((), subscription, call_next)

    async def around_batch(self, _events: Any, _subscription: Any, call_next: CallHandler) -> None:
        self._running += 1
        self.idle.clear()
        try:
            await call_next()
        finally:
            self._running -= 1
            if not self._running:
                self.idle.set()
