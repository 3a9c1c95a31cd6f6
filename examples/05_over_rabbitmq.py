"""5. The same program over RabbitMQ: the URL is all that changes.

In memory, then over a broker (the URL may also stand in QT_EVENTS_URL):

python examples/05_over_rabbitmq.py
python examples/05_over_rabbitmq.py amqp://guest:guest@localhost:5672//

The queues are durable: they stay on the broker after the program, named `qt.sub.…`.
"""

import asyncio
import os
import sys

from qt_events import Event, EventBus, Payload, RetryLater, create_event_bus

LOW = 50_000


class Price(Payload):
    symbol: str
    price: float


class PriceEvent(Event[Price], type="example.price"): ...


class Alarm:
    """Publishes what follows from a price: on the bus, the alarm is caused by that price."""

    def __init__(self, bus: EventBus) -> None:
        self.bus = bus
        self.is_warm = False
        bus.subscribe(PriceEvent, self.on_price)

    async def on_price(self, event: PriceEvent) -> None:
        if not self.is_warm:
            self.is_warm = True
            raise RetryLater(0.2, "warming up")
        if event.payload.price < LOW:
            await self.bus.publish(
                Event("example.alarm", payload={"text": f"{event.payload.symbol} is low"})
            )


async def report(event: Event) -> None:
    print(f"{event.payload['text']}, because of {event.causation_id}")


async def main(url: str) -> None:
    bus = create_event_bus(url)
    Alarm(
        bus
    )  # its subscription is named alarm.on_price, so on RabbitMQ its queue is qt.sub.alarm.on_price
    bus.subscribe(
        "example.alarm", report, name="example.report"
    )  # a script's function: give it a name that lasts

    async with bus:
        price = PriceEvent.create(symbol="BTCUSDT", price=49_000)
        await bus.publish(price)  # over RabbitMQ: returns when the broker has it
        print(f"published {price.id}")
        await bus.join()
    stats = bus.get_stats()
    print(
        f"{stats['published']} published, {stats['delivered']} delivered, {stats['retries']} retried"
    )


asyncio.run(
    main(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("QT_EVENTS_URL", "memory://"))
)
