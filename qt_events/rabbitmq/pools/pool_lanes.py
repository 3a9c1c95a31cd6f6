"""PoolLanes: the lanes of the asyncio pool, one for a subscription and one for its quarantine."""

from collections import Counter
from collections.abc import Callable, Coroutine
from operator import itemgetter
from typing import Any

from celery.worker import state

from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.delivery.waiting.lanes import Lane
from qt_events.rabbitmq.pools.asyncio_delivery import Delivery
from qt_events.rabbitmq.runtime import Runtime


class PoolLanes(dict[tuple[str, bool, bool], Lane[Delivery]]):
    """Lanes by subscription, by whether they are its quarantine's, and whether they make batches.

    `batch_lane` makes those of batch subscriptions. In quarantine events are handled one by one.
    """

    def __init__(self, batch_lane: Callable[[Subscription], Lane[Delivery]]) -> None:
        super().__init__()
        self._batch_lane = batch_lane

    def of(
        self,
        delivery: Delivery,
        process: Callable[[Delivery], Coroutine[Any, Any, None] | None],
        on_new: Callable[[Lane[Delivery]], None],
    ) -> Lane[Delivery]:
        """Return the lane that a delivery goes into; `on_new` is called with one just made."""
        subscription, quarantined = delivery.task.subscription, delivery.envelope.quarantined
        concurrency = 1 if quarantined else subscription.concurrency
        in_batches = subscription.batch is not None and not quarantined
        # One of the other kind may still handle what came before it was subscribed again.
        key = (*delivery.lane_key, in_batches)
        lane = self.get(key)
        if lane is None:
            lane = self._batch_lane(subscription) if in_batches else Lane(concurrency, process)
            self[key] = lane
            on_new(lane)
        # It may have been unsubscribed and subscribed again meanwhile.
        lane.concurrency = concurrency
        return lane

    def _of_both_kinds(self, name: str, *, quarantined: bool) -> list[Lane[Delivery]]:
        keys = ((name, quarantined, in_batches) for in_batches in (False, True))
        return [self[key] for key in keys if key in self]

    def give_back(self, subscription: str) -> None:
        """Give back what waits for a subscription; what is being handled is finished."""
        for key in [each for each in self if each[0] == subscription]:
            lane = self[key]
            for delivery in lane.clear():
                delivery.give_back()
            if not lane.busy:
                del self[key]

    def cut_off(
        self, runtime: Runtime, key: tuple[str, bool]
    ) -> tuple[list[Delivery], list[Delivery]]:
        """Make the tags of a lane void. Return what waited, and what is being handled.

        It waited in the lane, or has left that and waits until it may be handled beside others.
        """
        name, quarantined = key
        lanes = self._of_both_kinds(name, quarantined=quarantined)
        cleared = [each for lane in lanes for each in lane.clear()]
        held = (each for each in tuple(state.reserved_requests) if isinstance(each, Delivery))
        own = [each for each in held if each.lane_key == key and each.task.runtime is runtime]
        running = [each for each in own if each in state.active_requests]
        waiting = [each for each in {*own, *cleared} if each not in state.active_requests]
        for each in (*waiting, *running):
            each.cut_off()
        return waiting, running

    @property
    def held(self) -> int:
        """Number of events that wait or are being handled."""
        return sum(lane.to_do for lane in tuple(self.values()))

    @property
    def running(self) -> list[str]:
        """Subscriptions whose handlers run, in order."""
        return sorted({name for (name, *_), lane in self.items() if lane.busy})

    def held_of(self, subscription: str) -> tuple[int, int, int]:
        """Return how many of its events are held, how many bytes wait, how many were begun."""
        lanes = self._of_both_kinds(subscription, quarantined=False)
        held = sum(lane.to_do for lane in lanes)
        size = sum(each.envelope.size for lane in lanes for each in lane)
        return held, size, state.total_count[subscription]

    def slowest(self) -> tuple[str, int]:
        """Return the subscription with most events, and their number."""
        waiting = Counter[str]()
        for (name, *_), lane in tuple(self.items()):
            waiting[name] += lane.to_do
        return max(waiting.items(), key=itemgetter(1), default=("", 0))

    def describe(self) -> dict[str, dict[str, int]]:
        """Return the facts that `inspect stats` tells of each lane."""
        facts: dict[str, dict[str, int]] = {}
        for name, quarantined, _ in tuple(self):
            lanes = self._of_both_kinds(name, quarantined=quarantined)
            facts[f"{name} (quarantine)" if quarantined else name] = {
                "waiting": sum(map(len, lanes)),
                "handling": sum(lane.busy for lane in lanes),
                "concurrency": max((lane.concurrency for lane in lanes), default=0),
            }
        return facts
