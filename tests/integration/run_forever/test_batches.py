"""Batch handlers over a broker: lost connections, what cannot be read, and how much is held."""

import asyncio
from collections import Counter
from typing import Any

import amqp
import pytest
from celery.worker import state

from qt_events import BatchFailed
from qt_events.delivery.retry import NO_RETRY
from qt_events.events.cloudevents import CONTENT_TYPE
from qt_events.events.event import Event
from qt_events.testing.broker.management import Management
from tests.integration.run_forever.hosting import QUICK, buried, publish, running
from tests.integration.run_forever.unstored import delete, said
from tests.support.buses import MakeBus
from tests.support.channels import channel_to, depth
from tests.support.waiting import until, until_told

LONG = 60.0  # seconds: nothing in here waits for it


class Batches:
    """Records the lists that it gets, may wait before it is done, and fails what it is told to."""

    def __init__(self, *failing: int, wait: bool = False) -> None:
        self.lists: list[list[int]] = []
        self.open = asyncio.Event()
        self._failing = failing
        if not wait:
            self.open.set()

    async def __call__(self, events: list[Event[Any]]) -> None:
        self.lists.append([event.payload["n"] for event in events])
        await self.open.wait()
        if self._failing:
            failed = (event for event in events if event.payload["n"] in self._failing)
            raise BatchFailed({event.id: OSError("no") for event in failed})

    @property
    def numbers(self) -> Counter[int]:
        return Counter(n for each in self.lists for n in each)


def refuse_dead_letters(url: str, subscription: str) -> None:
    """Have somebody else's queue in the place of its own."""
    name = f"qt.dead.{subscription}"
    delete(url, name)
    with channel_to(url) as channel:
        channel.queue_declare(name, durable=True, auto_delete=False)


def publish_broken(url: str) -> None:
    with channel_to(url) as channel:
        channel.confirm_select()
        message = amqp.Message(b"{", content_type=CONTENT_TYPE, message_id="broken")
        channel.basic_publish_confirm(message, "qt.events", "happened")


async def test_a_batch_outlives_its_connection(
    make_bus: MakeBus, management: Management, vhost: str, amqp_url: str
) -> None:
    """Its events come again and are not handled again; one that failed has its one retry."""
    bus, handler = make_bus(), Batches(1, wait=True)
    bus.subscribe("happened", handler, name="handler", batch=4, within=0.1, retry=QUICK)
    async with running(bus):
        for n in range(6):
            await publish(bus, n=n)
        await until(lambda: handler.lists == [[0, 1, 2, 3]] and bus.serving.held == 6)
        await until_told(lambda: len(management.connections(vhost)) == 2)
        await asyncio.to_thread(management.close_connections, vhost)
        consumer: Any = bus.serving.consumer
        await until(lambda: consumer.restart_count == 1 and consumer.pool.serving)
        await until(lambda: bus.serving.held == 6)
        handler.open.set()
        await bus.join(20)
        await until_told(lambda: depth(amqp_url, "qt.sub.handler") == 0 and not bus.serving.held)
    assert handler.numbers == {0: 1, 1: 2, 2: 1, 3: 1, 4: 1, 5: 1}
    assert [each.attempts for each in await bus.dead_letters.list("handler")] == [2]


async def test_what_cannot_be_read_is_in_no_batch(make_bus: MakeBus, amqp_url: str) -> None:
    """It is a dead letter, and the events around it are handled together."""
    bus, handler = make_bus(), Batches()
    bus.subscribe("happened", handler, name="handler", batch=2, within=LONG)
    async with running(bus):
        await publish(bus, n=0)
        publish_broken(amqp_url)
        await publish(bus, n=1)
        [letter] = await buried(bus, 1)
        await until(lambda: handler.lists == [[0, 1]])
    assert letter.reason == "undecodable"


async def test_what_cannot_be_stored_holds_up_no_batch(
    make_bus: MakeBus, amqp_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be read waits for its dead letters beside the list that is gathered."""
    bus, handler = make_bus(grace=1), Batches()
    bus.subscribe("happened", handler, name="handler", batch=2, within=LONG)
    async with running(bus):
        refuse_dead_letters(amqp_url, "handler")
        await publish(bus, n=0)
        publish_broken(amqp_url)
        await until(lambda: said(caplog))
        await publish(bus, n=1)
        await until(lambda: handler.lists == [[0, 1]])
        delete(amqp_url, "qt.dead.handler")
        await buried(bus, 1)


async def test_what_cannot_be_stored_holds_up_no_other_subscription(
    make_bus: MakeBus, amqp_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """However many events of a list have failed."""
    number, stuck, handler = 150, Batches(*range(150)), Batches(0)
    bus = make_bus(grace=1, retry=NO_RETRY)
    bus.subscribe("sticks", stuck, name="stuck", batch=number, within=LONG)
    bus.subscribe("happened", handler, name="handler", batch=1)
    async with running(bus):
        refuse_dead_letters(amqp_url, "stuck")
        await asyncio.gather(*(publish(bus, "sticks", n=n) for n in range(number)))
        await until(lambda: said(caplog))
        await publish(bus, n=0)
        await buried(bus, 1)
    assert len(stuck.lists) == 1


async def test_unsubscribing_gives_back_what_was_gathered(make_bus: MakeBus, amqp_url: str) -> None:
    """The next one who serves it has the events."""
    bus, handler = make_bus(), Batches()
    bus.subscribe("happened", handler, name="handler", batch=10, within=LONG)
    async with running(bus):
        for n in range(3):
            await publish(bus, n=n)
        await until(lambda: bus.serving.held == 3)
        bus.unsubscribe("happened", handler)
        await until(lambda: bus.serving.held == 0)
        await until_told(lambda: depth(amqp_url, "qt.sub.handler") == 3)
    assert handler.lists == []


async def test_a_process_takes_the_batch_and_the_next_one(make_bus: MakeBus, amqp_url: str) -> None:
    """The others are left to other processes. A stop finishes what is held."""
    bus, handler = make_bus(), Batches(wait=True)
    bus.subscribe("happened", handler, name="handler", batch=5, within=LONG)
    async with running(bus):
        for n in range(30):
            await publish(bus, n=n)
        await until(lambda: bus.serving.held == 10 and len(handler.lists) == 1)
        assert await asyncio.to_thread(depth, amqp_url, "qt.sub.handler") == 20
        handler.open.set()
        await until(lambda: len(handler.lists) == 6 and not bus.serving.held)
        await publish(bus, n=30)
        await until(lambda: bus.serving.held == 1)
    assert handler.lists == [list(range(n, n + 5)) for n in range(0, 30, 5)] + [[30]]


async def test_large_events_end_a_batch(make_bus: MakeBus) -> None:
    """One of 500 could have gigabytes otherwise."""
    bus, handler = make_bus(), Batches()
    bus.subscribe("happened", handler, name="handler", batch=500, within=LONG)
    async with running(bus):
        for n in range(40):
            await publish(bus, n=n, text="x" * 1024 * 1024)
        # Sixteen MiB.
        await until(lambda: len(handler.lists) == 2)
        assert {len(each) for each in handler.lists} == {16}


async def test_what_is_not_wanted_any_more_leaves_the_batch(make_bus: MakeBus) -> None:
    """An event that was revoked, or whose pattern was removed, after it was gathered."""
    bus, handler, gathered = make_bus(), Batches(), []

    def gather(event: Event[Any]) -> bool:
        gathered.append(event.payload["n"])
        return True

    bus.subscribe("happened", handler, name="handler", when=gather, batch=4, within=LONG)
    bus.subscribe("other", handler)
    async with running(bus):
        await publish(bus, n=0)
        revoked = await publish(bus, n=1)
        await publish(bus, "other", n=2)
        await until(lambda: gathered == [0, 1, 2])
        state.revoked.add(f"{revoked.id}:handler")
        bus.unsubscribe("other", handler)
        await publish(bus, n=3)
        [letter] = await buried(bus, 1)
        await until(lambda: handler.lists == [[0, 3]] and not bus.serving.held)
    assert (letter.event_id, letter.reason) == (revoked.id, "revoked")
    assert bus.get_stats()["filtered"] == 1


async def test_who_leaves_the_bus_waits_for_no_batch(
    make_bus: MakeBus, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether its events have come by then or not: no work is left for the stop."""
    bus, handler = make_bus(grace=20), Batches()
    bus.subscribe("happened", handler, name="handler", batch=4, within=LONG)
    async with bus:
        for n in range(6):
            await publish(bus, n=n)
    assert handler.numbers == Counter(range(6))
    assert "left the bus" not in caplog.text
