"""Stats of the bus in memory: each thing counted, and counted once."""

import asyncio
from unittest.mock import AsyncMock

from qt_events.memory import InMemoryEventBus
from tests.unit.memory.gate import event


def test_event_types_and_handlers_are_counted() -> None:
    """`handler_types` counts distinct patterns, `total_handlers` subscriptions."""
    bus = InMemoryEventBus()
    bus.subscribe("a", AsyncMock(), name="x")
    bus.subscribe("a", AsyncMock(), name="y")
    handler = AsyncMock()
    bus.subscribe("b", handler, name="z")
    bus.subscribe("a", handler, name="z")
    stats = bus.get_stats()
    assert (stats["handler_types"], stats["total_handlers"]) == (2, 3)


async def test_what_each_thread_counts_is_in_the_statistics() -> None:
    """An event counts once, from whichever thread, heard by one, by several or by nobody."""
    async with InMemoryEventBus() as bus:
        for n in range(2):
            bus.subscribe("unit.several", AsyncMock(), name=f"s{n}")
        bus.subscribe("unit.one", AsyncMock(), name="one")
        for event_type in ("unit.one", "unit.several", "unit.none"):
            await bus.publish(event(0, event_type))
            await asyncio.to_thread(bus.publish_sync, event(1, event_type))
        await bus.join(40)
        stats = bus.get_stats()
    assert [stats[key] for key in ("published", "dispatched", "delivered", "unroutable")] == [
        6,
        4,
        6,
        2,
    ]
    assert (
        stats["by_type"]["unit.one"]["published"]
        == stats["by_subscription"]["one"]["delivered"]
        == 2
    )
