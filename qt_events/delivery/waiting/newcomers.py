"""Newcomers: new subscriptions of a bus in memory that get the events of the past first."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import islice

from qt_events.delivery.bursts import Delivery
from qt_events.delivery.outcome import FIRST
from qt_events.delivery.subscribing.starting import PastEvents, since_of
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.delivery.waiting.capacity import Capacity
from qt_events.delivery.waiting.lanes import Lane, Lanes
from qt_events.errors import DecodeError
from qt_events.events.raw import RawEvent, as_event

logger = logging.getLogger("qt_events")

Key = tuple[str, str]

_PAUSE = 1.0  # seconds before what failed is tried again


class _Newcomer:
    """One of them, and how far it has come."""

    def __init__(self, subscription: Subscription, past: PastEvents, lane: Lane[Delivery]) -> None:
        self.subscription, self.past = subscription, past
        #: Of old events; live ones wait in the subscription's own lane, which is held back.
        self.lane = lane
        self.place = 0
        self.task: asyncio.Task[None] | None = None
        self._live: set[Key] = set()
        self._looked_at = 0

    def old(self, page: Sequence[tuple[int, RawEvent]], live: Lane[Delivery]) -> list[RawEvent]:
        """Return the events of a page that do not wait among the live ones, and remember it."""
        self._live.update(
            (event.source, event.id) for event, *_ in islice(live, self._looked_at, None)
        )
        self._looked_at = len(live)
        self.place = page[-1][0]
        return [event for _, event in page if (event.source, event.id) not in self._live]


class Newcomers:
    """Starts of subscriptions on one bus. Any thread may begin one; the rest is the loop's.

    Each has a place, for join to wait. A bus that stops goes on with them when it runs again.
    `is_heard(subscription, type)` tells whether one hears events of a type.
    """

    def __init__(
        self,
        lanes: Lanes[Delivery],
        capacity: Capacity,
        is_heard: Callable[[Subscription, str], bool],
    ) -> None:
        self._lanes, self._capacity, self._is_heard = lanes, capacity, is_heard
        self._waiting: dict[Subscription, _Newcomer] = {}

    def begin(self, subscription: Subscription, past: PastEvents | None) -> None:
        """Have a new subscription get what was published before; None: it gets nothing of it."""
        if past is None or not subscription.is_held_back or subscription in self._waiting:
            return
        self._capacity.enter_at_once(anyway=True)
        newcomer = _Newcomer(subscription, past, self._lanes.beside(subscription))
        self._waiting[subscription] = newcomer
        self._lanes.call(lambda: self._bring_up(newcomer))

    @asynccontextmanager
    async def handing_out(self) -> AsyncIterator[None]:
        """Hand out old events, on this loop. What is in lanes at the end stays there."""
        for each in tuple(self._waiting.values()):
            self._bring_up(each)
        try:
            yield
        finally:
            tasks = [each.task for each in self._waiting.values() if each.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _bring_up(self, newcomer: _Newcomer) -> None:
        if newcomer.task is None or newcomer.task.done():
            newcomer.task = asyncio.get_running_loop().create_task(self._run_safely(newcomer))

    async def _run_safely(self, newcomer: _Newcomer) -> None:
        while True:
            try:
                await self._run(newcomer)
                return
            except Exception:
                name = newcomer.subscription.name
                logger.exception("%s waits for its old events, next try in %g s", name, _PAUSE)
            await asyncio.sleep(_PAUSE)

    async def _run(self, newcomer: _Newcomer) -> None:
        # Another thread may have been in the middle of a publish when it subscribed.
        for _ in range(2):
            await newcomer.past.catch_up()
            await self._hand_out(newcomer)
        del self._waiting[newcomer.subscription]
        self._lanes.release(newcomer.subscription)
        self._capacity.leave()

    async def _hand_out(self, newcomer: _Newcomer) -> None:
        """Hand out all old events there are, a page at a time."""
        subscription, lane = newcomer.subscription, newcomer.lane
        while True:
            while lane.to_do:
                await lane.settled()
                await asyncio.sleep(0)
            page = await newcomer.past.page(newcomer.place, since_of(subscription.start))
            if not (page and subscription.patterns):
                return
            for each in newcomer.old(page, self._lanes.lane_of(subscription)):
                if self._is_heard(subscription, each.type):
                    self._push(newcomer, each)

    def _push(self, newcomer: _Newcomer, raw: RawEvent) -> None:
        try:
            event = as_event(raw)
        except DecodeError as error:
            name = newcomer.subscription.name
            logger.warning("%s starts without an event of the past: %s", name, error)
            return
        self._capacity.enter_at_once(anyway=True)
        newcomer.lane.push((event, newcomer.subscription, None, FIRST))
