"""PoolLanes: the lanes of the asyncio pool, one for a subscription and one for its quarantine."""

from collections.abc import Callable, Coroutine
from typing import Any

from celery.worker import state

from qt_events.delivery.lanes import Lane
from qt_events.delivery.subscription import Subscription
from qt_events.rabbitmq.pools.asyncio_delivery import Delivery
from qt_events.rabbitmq.runtime import Runtime


class PoolLanes(dict[tuple[str, bool], Lane[Delivery]]):
    """Lanes by subscription, and by whether they are its quarantine's.

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
        key = delivery.lane_key
        concurrency = 1 if delivery.envelope.quarantined else delivery.task.subscription.concurrency
        lane = self.get(key)
        if lane is None:
            subscription = delivery.task.subscription
            if subscription.batch is None or delivery.envelope.quarantined:
                lane = self[key] = Lane(concurrency, process)
            else:
                lane = self[key] = self._batch_lane(subscription)
            on_new(lane)
        # It may have been unsubscribed and subscribed again meanwhile.
        lane.concurrency = concurrency
        return lane

    def give_back(self, subscription: str) -> None:
        """Give back what waits for a subscription; what is being handled is finished."""
        for key in ((subscription, False), (subscription, True)):
            if (lane := self.get(key)) is None:
                continue
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
        cleared = self[key].clear() if key in self else ()
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
        return sorted({name for (name, _), lane in self.items() if lane.busy})

    def held_of(self, subscription: str) -> tuple[int, int, int]:
        """Return how many of its events are held, how many bytes wait, how many were begun."""
        lane = self.get((subscription, False), ())
        held = lane.to_do if isinstance(lane, Lane) else 0
        size = sum(each.envelope.size for each in lane)
        return held, size, state.total_count[subscription]

    def slowest(self) -> tuple[str, int]:
        """Return the subscription with most events, and their number."""
        waiting = {name: lane.to_do for (name, _), lane in tuple(self.items())}
        name = max(waiting, key=lambda key: waiting[key], default="")
        return name, waiting.get(name, 0)

    def describe(self) -> dict[str, dict[str, int]]:
        """Return the facts that `inspect stats` tells of each lane."""
        return {
            f"{name} (quarantine)" if quarantined else name: {
                "waiting": len(lane),
                "handling": lane.busy,
                "concurrency": lane.concurrency,
            }
            for (name, quarantined), lane in tuple(self.items())
        }
