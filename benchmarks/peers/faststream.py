"""FastStream on RabbitMQ (aio-pika)."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from faststream import AckPolicy, FastStream
from faststream.rabbit import (
    Channel,
    ExchangeType,
    QueueType,
    RabbitBroker,
    RabbitExchange,
    RabbitQueue,
)

from benchmarks.pace import Pace, singly, warm_up, windowed
from benchmarks.tally import hit
from benchmarks.trade import IN_FLIGHT, PREFETCH, WAIT, TradeExecuted, number_of

EXCHANGE = RabbitExchange("faststream.events", type=ExchangeType.TOPIC, durable=True)


def queue(number: int = 0) -> RabbitQueue:
    """Make a durable quorum queue that is bound to the event."""
    return RabbitQueue(
        f"faststream.{number}",
        queue_type=QueueType.QUORUM,
        durable=True,
        routing_key="trade.executed",
    )


def new_broker(prefetch: int = PREFETCH) -> RabbitBroker:
    """Make a broker. Confirms are on by default; the prefetch is each consumer's own."""
    return RabbitBroker(
        os.environ["QT_BENCH_URL"], default_channel=Channel(prefetch_count=prefetch), logger=None
    )


def counting() -> Callable[[TradeExecuted], Awaitable[None]]:
    """Make a handler that only counts."""

    async def handle(_trade: TradeExecuted) -> None:
        hit()

    return handle


async def waiting(_trade: TradeExecuted) -> None:
    """Wait, like a handler that asks another system."""
    await asyncio.sleep(WAIT)
    hit()


def serve(
    broker: RabbitBroker, handler: Callable[[TradeExecuted], Awaitable[None]], number: int = 0
) -> None:
    """Subscribe; messages are acknowledged after the handler."""
    broker.subscriber(queue(number), EXCHANGE, ack_policy=AckPolicy.REJECT_ON_ERROR)(handler)


def worker() -> None:
    """Serve until SIGTERM."""
    broker = new_broker()
    match os.environ["QT_BENCH_SERVE"].partition(":")[::2]:
        case ("waits", concurrency):
            # qt_events takes twice its concurrency by default.
            broker = new_broker(2 * int(concurrency))
            serve(broker, waiting)
        case ("fanout", times):
            for number in range(int(times)):
                serve(broker, counting(), number)
        case _:
            serve(broker, counting())
    asyncio.run(FastStream(broker, logger=None).run())


@asynccontextmanager
async def _connected(times: int = 1) -> AsyncIterator[Callable[[int], Awaitable[object]]]:
    async with new_broker() as broker:
        exchange = await broker.declare_exchange(EXCHANGE)
        for number in range(times):
            declared = await broker.declare_queue(queue(number))
            await declared.bind(exchange, "trade.executed")
        publisher = broker.publisher(exchange=EXCHANGE, routing_key="trade.executed", persist=True)
        await broker.start()
        yield lambda number: publisher.publish(TradeExecuted.new(number))


async def publish(count: int) -> dict[str, float]:
    """Publish with confirms, 100 in flight."""
    async with _connected() as one:
        await windowed(one, warm_up(count), IN_FLIGHT)
        return await windowed(one, count, IN_FLIGHT)


async def publish_singly(count: int) -> dict[str, float]:
    """Publish with confirms, one at a time."""
    async with _connected() as one:
        await singly(one, warm_up(count))
        return await singly(one, count)


async def preload(count: int, subscriptions: int = 1) -> None:
    """Publish events that wait for a worker."""
    async with _connected(subscriptions) as one:
        await windowed(one, count, 500)


async def end_to_end(rate: int, seconds: float) -> dict[str, float]:
    """Run publisher and worker in this process."""
    broker, pace = new_broker(), Pace(rate, seconds)
    publisher = broker.publisher(exchange=EXCHANGE, routing_key="trade.executed", persist=True)

    async def arrived(trade: TradeExecuted) -> None:
        pace.arrived(number_of(trade.order_id))

    serve(broker, arrived)
    async with broker:
        await broker.start()
        return await pace.run(lambda number: publisher.publish(TradeExecuted.new(number)))


if __name__ == "__main__":
    worker()
