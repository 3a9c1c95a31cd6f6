"""Components with what they publish and subscribe to.

`qt-events topology permissions` makes the broker's permissions of them: docs/security.md. A test
compares them with a replay.
"""

from typing import Any

from qt_events import Component, InMemoryEventBus, Subscription
from workers.replay.feed import MarketFeed
from workers.store import Prices, Store
from workers.system.assembly import COMPONENTS


class _SubscriptionCollector(InMemoryEventBus):
    """A bus that collects the subscriptions made on it."""

    def __init__(self) -> None:
        super().__init__()
        self.collected: dict[str, Subscription] = {}

    def subscribe(self, *args: Any, **options: Any) -> Subscription:
        subscription = super().subscribe(*args, **options)
        self.collected[subscription.name] = subscription
        return subscription


def components() -> list[Component]:
    """Return the feed and each component, with event types and subscriptions."""
    # Neither opened nor read.
    store = Store()
    return [
        _component(MarketFeed, store.prices),
        *(_component(each, store) for each in COMPONENTS),
    ]


def lasting_subscriptions() -> list[str]:
    """Return the names of the components' subscriptions, apart from broadcasts and the feed's.

    The feed declares its own. A broadcast's queue is of one process; what it tells is in the
    database too.
    """
    store = Store()
    return [
        subscription.name
        for made in COMPONENTS
        for subscription in _component(made, store).subscriptions
        if not subscription.broadcast
    ]


def _component(made: Any, store: Store | Prices) -> Component:
    bus = _SubscriptionCollector()
    made(bus, store)
    types = tuple(each.event_type for each in made.publishes)
    return Component(made.__module__.rpartition(".")[2], types, tuple(bus.collected.values()))
