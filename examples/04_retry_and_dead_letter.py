"""4. Your own event, and a handler that fails: retries, a dead letter, and the way back.

Run it: python examples/04_retry_and_dead_letter.py
"""

import asyncio

from qt_events import Event, InMemoryEventBus, Payload, Reject, RetryPolicy


class OrderPlaced(Payload):
    order_id: str
    quantity: int


class OrderPlacedEvent(Event[OrderPlaced], type="order.placed"): ...


class Broker:
    """Gateway of a stock broker, closed at first."""

    def __init__(self) -> None:
        self.is_open = False

    async def submit(self, event: OrderPlacedEvent) -> None:
        if event.payload.quantity <= 0:
            raise Reject("no attempt will make this quantity right")
        if not self.is_open:
            print(f"{event.payload.order_id}: the gateway is closed")
            raise ConnectionError("gateway closed")
        print(f"{event.payload.order_id}: submitted")


async def main() -> None:
    bus, broker = InMemoryEventBus(), Broker()
    # `initial` is in seconds. A ConnectionError is an OSError.
    policy = RetryPolicy(max_attempts=3, initial=0.05, retry_on=OSError)
    subscription = bus.subscribe(OrderPlacedEvent, broker.submit, retry=policy)

    async with bus:
        await bus.publish(OrderPlacedEvent.create(order_id="A-1", quantity=10))
        await bus.publish(OrderPlacedEvent.create(order_id="A-2", quantity=0))
        await bus.join()  # returns when each event is handled or a dead letter

        letters = await bus.dead_letters.list(subscription.name)
        for letter in sorted(letters, key=lambda each: each.attempts):
            print(f"{letter.reason} after {letter.attempts} attempt(s): {letter.message}")
            if letter.reason == "rejected":
                await bus.dead_letters.discard(letter.id)

        broker.is_open = True
        count = await bus.dead_letters.retry_all(subscription.name)
        await bus.join()
        print(f"sent back: {count}")
        print(f"dead letters left: {len(await bus.dead_letters.list())}")


asyncio.run(main())
