"""5. One program in memory and over RabbitMQ: only the URL changes.

Run it in memory, then over a broker (or give the URL by QT_EVENTS_URL):

python examples/05_over_rabbitmq.py
python examples/05_over_rabbitmq.py amqp://guest:guest@localhost:5672//

The queues are durable. They stay on the broker after the program; their names begin with `qt.sub.`.
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
    """Publish an alarm when a price is low. On the bus, the price is the cause of the alarm."""

    def __init__(self, bus: EventBus) -> None:
        self.bus = bus
        self.is_warm = False
        # A script is called __main__, as every script is, so what it subscribes needs names.
        bus.subscribe(PriceEvent, self.on_price, name="example.alarm")

    async def on_price(self, event: PriceEvent) -> None:
        if not self.is_warm:
            self.is_warm = True
            raise RetryLater(0.2, "warming up")
        if event.payload.price < LOW:
            text = f"{event.payload.symbol} is low"
            await self.bus.publish(Event("example.alarm", payload={"text": text}))


async def report(event: Event) -> None:
    print(f"{event.payload['text']}, because of {event.causation_id}")


async def main(url: str) -> None:
    bus = create_event_bus(url)
    Alarm(bus)  # its subscription is `example.alarm`, and its queue `qt.sub.example.alarm`
    bus.subscribe("example.alarm", report, name="example.report")

    async with bus:
        price = PriceEvent.create(symbol="BTCUSDT", price=49_000)
        await bus.publish(price)  # over RabbitMQ: returns when the broker has it
        print(f"published {price.id}")
        await bus.join()
    stats = bus.get_stats()
    published, delivered, retried = stats["published"], stats["delivered"], stats["retries"]
    print(f"{published} published, {delivered} delivered, {retried} retried")


URL = os.environ.get("QT_EVENTS_URL", "memory://")
asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else URL))
