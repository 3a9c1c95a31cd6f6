"""A bus under trio says that it needs asyncio, and the way that it names works."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
import trio

from qt_events import CeleryEventBus, Event, InMemoryEventBus, NotSupportedError

Act = Callable[[Any], Awaitable[object]]


async def enter(bus: Any) -> None:
    async with bus:
        pass


async def publish(bus: Any) -> None:
    await bus.publish(Event("happened"))


async def publish_mandatory(bus: Any) -> None:
    await bus.publish(Event("happened"), mandatory=True)


async def run_forever(bus: Any) -> None:
    await bus.run_forever()


async def join(bus: Any) -> None:
    await bus.join()


async def list_dead_letters(bus: Any) -> None:
    await bus.dead_letters.list()


def bus_of(kind: str) -> Any:
    if kind == "memory":
        return InMemoryEventBus()
    bus = CeleryEventBus("amqp://127.0.0.1:1//", publish_timeout=1)
    bus.app.conf.task_always_eager = kind == "eager"
    return bus


def by_trio(act: Act, bus: Any) -> None:
    trio.run(act, bus)


def by_anyio(act: Act, bus: Any) -> None:
    anyio.run(act, bus, backend="trio")


@pytest.mark.parametrize("run", [by_trio, by_anyio])
@pytest.mark.parametrize("act", [publish, publish_mandatory, run_forever, join, enter])
@pytest.mark.parametrize("kind", ["memory", "rabbitmq", "eager"])
def test_an_asyncio_loop_is_asked_for_by_name(
    run: Callable[[Act, Any], None], act: Act, kind: str
) -> None:
    """Every time, and nothing is published by halves."""
    bus = bus_of(kind)
    bus.subscribe("happened", lambda _: None, name="hears")
    for _ in range(2):
        with pytest.raises(NotSupportedError, match="asyncio"):
            run(act, bus)
    assert (bus.get_stats()["published"], bus.get_stats()["queue_size"]) == (0, 0)
    bus.close()


def test_dead_letters_on_a_broker_ask_for_it_too() -> None:
    bus = bus_of("rabbitmq")
    with pytest.raises(NotSupportedError, match="asyncio"):
        trio.run(list_dead_letters, bus)
    bus.close()


def test_what_the_error_advises_works() -> None:
    """publish_sync() in a thread of trio's."""
    bus, heard = InMemoryEventBus(), list[str]()
    bus.subscribe("happened", lambda event: heard.append(event.id), name="hears")
    event: Event[Any] = Event("happened")

    async def publish_in_thread() -> None:
        await trio.to_thread.run_sync(bus.publish_sync, event)

    trio.run(publish_in_thread)
    anyio.run(enter, bus, backend="asyncio")
    assert heard == [event.id]
