"""Many subscriptions: ours beside a program that declares a queue and its bindings, one by one."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import amqp

from benchmarks.pace import counted
from qt_events import CeleryEventBus, Event
from qt_events.testing.proxy import Proxy


def declare_bare(subscriptions: int) -> dict[str, float]:
    """Declare one quorum queue and two bindings for each, serially; return the seconds it took."""
    parts = urlsplit(os.environ["QT_BENCH_URL"])
    with amqp.Connection(
        f"{parts.hostname}:{parts.port}",
        userid=parts.username,
        password=parts.password,
        virtual_host=unquote(parts.path[1:]),
    ) as connection:
        channel = connection.channel()
        for exchange in ("bare.events", "bare.redeliver"):
            channel.exchange_declare(exchange, "topic", durable=True, auto_delete=False)
        began = time.monotonic()
        for number in range(subscriptions):
            queue = f"bare.{number}"
            channel.queue_declare(
                queue, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"}
            )
            channel.queue_bind(queue, "bare.redeliver", queue)
            channel.queue_bind(queue, "bare.events", _type(number))
        return {"seconds": time.monotonic() - began}


async def start(subscriptions: int) -> dict[str, float]:
    """Return the seconds until all are declared and consumed from, and an event is handled."""
    served = _Served(os.environ["QT_BENCH_URL"], subscriptions)
    began = time.monotonic()
    async with served.bus:
        await served.last_is_handled()
        return {"seconds": time.monotonic() - began}


async def come_back(subscriptions: int) -> dict[str, float]:
    """Lose all connections; return the seconds until an event is handled again."""
    url = os.environ["QT_BENCH_URL"]
    parts = urlsplit(url)
    with Proxy(str(parts.hostname), int(parts.port or 5672)) as proxy:
        served = _Served(proxy.url_for(url), subscriptions)
        async with served.bus:
            await served.last_is_handled()
            await asyncio.to_thread(proxy.reset)
            began = time.monotonic()
            await served.last_is_handled()
            return {"seconds": time.monotonic() - began}


async def publish_counted(count: int, subscriptions: int) -> dict[str, float]:
    """Count bytecodes of a publish that one of many subscriptions hears."""
    bus = _Served(os.environ["QT_BENCH_URL"], subscriptions).bus
    return await counted(lambda _: bus.publish(Event(_type(0), None, {})), count)


class _Served:
    """Bus with many subscriptions, each to a type of its own."""

    def __init__(self, url: str, subscriptions: int) -> None:
        self.bus = CeleryEventBus(url, publish_timeout=300.0)
        self._last = subscriptions - 1
        self._handled = asyncio.Queue[str]()
        for number in range(subscriptions):
            self.bus.subscribe(_type(number), self._handler(), name=f"many.{number}")

    def _handler(self) -> Callable[[Event[Any]], Awaitable[None]]:
        async def handle(event: Event[Any]) -> None:
            self._handled.put_nowait(event.id)

        return handle

    async def last_is_handled(self) -> None:
        event = Event(_type(self._last), None, {})
        await self.bus.publish(event)
        while await self._handled.get() != event.id:
            pass


def _type(number: int) -> str:
    return f"type{number}.happened"
