"""An operator's tools: remote control, Celery's events, dead letters."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qt_events.dead_letters.record import DeadLetterRecord
from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus


async def one_dead_letter(
    client: CeleryEventBus, subscription: str, timeout: float = 90
) -> DeadLetterRecord:
    async with asyncio.timeout(timeout):
        while not (found := await client.dead_letters.list(subscription)):  # noqa: ASYNC110  # only asking tells
            await asyncio.sleep(0.05)
    (record,) = found
    return record


async def publish(client: CeleryEventBus, event_type: str, **payload: Any) -> Event[Any]:
    event = Event(event_type, None, payload)
    await client.publish(event)
    return event


class RemoteControl:
    """Celery's remote control of the one worker there is."""

    def __init__(self, client: CeleryEventBus) -> None:
        self._control = client.app.control

    async def inspect(self, command: str) -> Any:
        answer = await asyncio.to_thread(
            getattr(self._control.inspect(timeout=3, limit=1), command)
        )
        (value,) = (answer or {"nobody": None}).values()
        return value

    async def until_inspected(self, command: str, condition: Any) -> Any:
        async with asyncio.timeout(30):
            while not condition(value := await self.inspect(command)):  # noqa: ASYNC110  # only asking tells
                await asyncio.sleep(0.05)
        return value

    async def order(self, command: str, **arguments: Any) -> Any:
        return await asyncio.to_thread(
            self._control.broadcast, command, arguments, reply=True, timeout=3, limit=1
        )

    async def answer(self, command: str, **arguments: Any) -> Any:
        """Send a command until the worker answers it; a solo worker may be busy."""
        async with asyncio.timeout(60):
            while not (answers := await self.order(command, **arguments)):  # solo is busy
                pass
        ((answer,),) = (each.values() for each in answers)
        return answer


class Monitor:
    """Task events, as Celery's event receiver, and so Flower, gets them."""

    def __init__(self) -> None:
        self.by_id: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def hear(self, event: dict[str, Any]) -> None:
        if event["type"].startswith("task-"):
            self.by_id[event["uuid"]].append(event)

    def types(self, task_id: str) -> list[str]:
        return [event["type"] for event in self.by_id[task_id]]


@contextmanager
def monitor(client: CeleryEventBus) -> Iterator[Monitor]:
    heard, listening, enough = Monitor(), threading.Event(), threading.Event()

    def capture() -> None:
        with client.app.connection_for_read() as connection:
            receiver = client.app.events.Receiver(connection, handlers={"*": heard.hear})
            with receiver.consumer_context() as (_, channel, _consumers):
                listening.set()
                while not enough.is_set():
                    try:
                        channel.connection.client.drain_events(timeout=0.1)
                    except TimeoutError:
                        continue

    thread = threading.Thread(target=capture)
    thread.start()
    assert listening.wait(20)
    try:
        yield heard
    finally:
        enough.set()
        thread.join(10)
