"""Lasting: what a first dead letter and a first event in quarantine would have declared."""

from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.publishing.requests import Request


async def lasting(bus: CeleryEventBus) -> None:
    """Declare all queues of a bus's subscriptions, as `qt-events topology declare` does."""
    await bus.declarations.made()
    ways = bus.declarations.ways
    for each in bus.subscriptions:
        has_quarantine = bus.topology.has_quarantine(each)
        first = (ways.quarantine if has_quarantine else ways.dead_letters)(each.name)
        await bus.publisher.ask(Request(first=first))
