"""1. Hello: subscribe, publish, see it handled. Everything happens in this process, without a broker.

python examples/01_hello_in_memory.py
"""

import asyncio

from qt_events import Event, InMemoryEventBus


async def greet(event: Event) -> None:
    """An async handler runs on the event loop."""
    print(f"hello, {event.payload['name']}")


def count_letters(event: Event) -> None:
    """A sync handler runs in a thread, so it may block."""
    print(f"{event.payload['name']} has {len(event.payload['name'])} letters")


async def main() -> None:
    bus = InMemoryEventBus()
    bus.subscribe("visitor.arrived", greet)
    bus.subscribe("visitor.*", count_letters)

    async with (
        bus
    ):  # starts to deliver; at the end of the block it finishes what is under way, then stops
        await bus.publish(Event("visitor.arrived", payload={"name": "Ada"}))
        await bus.join()  # until every handler is through
        await bus.publish(Event("visitor.left", payload={"name": "Grace"}))

    stats = bus.get_stats()
    print(
        f"{stats['published']} published, {stats['delivered']} delivered, {stats['errors']} errors"
    )


asyncio.run(main())
