"""1. Hello: subscribe, publish, and see the event handled, in one process without a broker.

Run it: python examples/01_hello_in_memory.py
"""

import asyncio

from qt_events import Event, InMemoryEventBus


async def greet(event: Event) -> None:
    """Greet a visitor. An async handler runs on the event loop."""
    print(f"hello, {event.payload['name']}")


def count_letters(event: Event) -> None:
    """Count the letters of a name. A sync handler runs in a thread, so it may block."""
    print(f"{event.payload['name']} has {len(event.payload['name'])} letters")


async def main() -> None:
    bus = InMemoryEventBus()
    bus.subscribe("visitor.arrived", greet)
    bus.subscribe("visitor.*", count_letters)

    # The bus delivers in the background. At the end of the block it finishes what is under way.
    async with bus:
        await bus.publish(Event("visitor.arrived", payload={"name": "Ada"}))
        await bus.join()  # returns when every event has been handled
        await bus.publish(Event("visitor.left", payload={"name": "Grace"}))

    stats = bus.get_stats()
    print(
        f"{stats['published']} published, {stats['delivered']} delivered, {stats['errors']} errors"
    )


asyncio.run(main())
