"""`run_forever()`: a worker inside the caller's process, on the caller's own event loop."""

import asyncio
import contextlib
import gc
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from qt_events.delivery.retry import RetryPolicy
from qt_events.errors import (
    BrokerUnreachableError,
    BusStateError,
    ForeignConsumersError,
    TopologyError,
)
from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.topology.names import Topology
from qt_events.testing.broker import PrivateBroker
from qt_events.testing.broker.management import Management
from qt_events.testing.ports import free_ports
from tests.support.buses import MakeBus
from tests.support.channels import depth
from tests.support.fleet.fleet import Fleet
from tests.support.waiting import until, until_told

QUICK = RetryPolicy(max_attempts=2, initial=0.1, jitter=0)


@contextlib.asynccontextmanager
async def running(*buses: CeleryEventBus) -> AsyncIterator[None]:
    """run_forever() on each, ready; stopped at the end."""
    tasks = [asyncio.create_task(bus.run_forever()) for bus in buses]
    try:
        for bus, task in zip(buses, tasks, strict=True):
            await until(lambda bus=bus, task=task: is_ready(bus) or task.done(), what="ready")  # type: ignore[misc]
        yield
    finally:
        for bus in buses:
            bus.stop()
        await asyncio.gather(*tasks)


def is_ready(bus: CeleryEventBus) -> bool:
    return bus.serving.worker is not None and bus.serving.worker.ready.is_set()


class Handler:
    """Records events; may wait for `open`."""

    def __init__(self, *, wait: bool = False) -> None:
        self.begun: list[Event[Any]] = []
        self.done: list[Event[Any]] = []
        self.most = 0  #: at a time
        self.open = asyncio.Event()
        if not wait:
            self.open.set()

    async def __call__(self, event: Event[Any]) -> None:
        self.begun.append(event)
        self.most = max(self.most, len(self.begun) - len(self.done))
        await self.open.wait()
        self.done.append(event)

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.done]


async def publish(bus: CeleryEventBus, event_type: str = "happened", **payload: Any) -> Event[Any]:
    event = Event(event_type, None, payload)
    await bus.publish(event)
    return event


# Where handlers run


async def test_async_handlers_run_on_the_callers_own_loop(make_bus: MakeBus) -> None:
    """Same loop, same thread: a handler may use whatever the program has on it."""
    bus, seen = make_bus(), []

    async def handler(event: Event[Any]) -> None:
        seen.append((asyncio.get_running_loop(), threading.get_ident()))

    bus.subscribe("happened", handler, name="handler")
    async with running(bus):
        await publish(bus)
        await until(lambda: seen)
    assert seen == [(asyncio.get_running_loop(), threading.get_ident())]


async def test_sync_handlers_run_in_threads(make_bus: MakeBus) -> None:
    """One that blocks holds up neither the loop nor an async one."""
    bus, seen, gate, handler = make_bus(max_workers=2), [], threading.Event(), Handler()

    def blocking(event: Event[Any]) -> None:
        seen.append(threading.get_ident())
        assert gate.wait(20)

    bus.subscribe("happened", blocking, name="blocking")
    bus.subscribe("happened", handler, name="handler")
    async with running(bus):
        await publish(bus)
        await until(lambda: seen and handler.done)
        gate.set()
    assert threading.get_ident() not in seen


# Starting and stopping


def footprint(management: Management, vhost: str) -> dict[str, Any]:
    gc.collect()
    return {
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "connections": len(management.connections(vhost)),
        "socket timeout": socket.getdefaulttimeout(),
        "tasks": len(asyncio.all_tasks()),
    }


async def test_starting_and_stopping_leaves_nothing_behind(
    make_bus: MakeBus, management: Management, vhost: str
) -> None:
    """Threads, file descriptors, connections and tasks after many runs are those after the first."""
    bus, handler = make_bus(), Handler()
    bus.subscribe("happened", handler, name="handler")
    bus.subscribe("happened", lambda event: None, name="sync")
    first: dict[str, Any] = {}
    for round_ in range(8):
        if round_ % 2:
            task = asyncio.create_task(bus.run_forever())
            await until(lambda: is_ready(bus))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            async with running(bus):
                event = await publish(bus)
                await until(lambda event=event: event.id in handler.ids)  # type: ignore[misc]
        await until_told(
            lambda: len(management.connections(vhost)) == 1,
            what="only the publisher's connection is left",
        )
        await until(
            lambda: not any(t.name.startswith("qt_events-handler") for t in threading.enumerate())
        )
        first = first or footprint(management, vhost)
    assert footprint(management, vhost) == first


async def test_stop_finishes_what_it_holds(make_bus: MakeBus, amqp_url: str) -> None:
    """All that is here is handled, once; the queue is empty after it."""
    bus, handler = make_bus(), Handler(wait=True)
    bus.subscribe("happened", handler, name="handler")
    async with running(bus):
        events = [await publish(bus, n=n) for n in range(30)]
        await until(lambda: bus.serving.held == 30)
        bus.stop()
        handler.open.set()
    assert handler.ids == [event.id for event in events]
    assert await asyncio.to_thread(depth, amqp_url, "qt.sub.handler") == 0


async def test_stop_gives_back_what_its_grace_is_too_short_for(make_bus: MakeBus) -> None:
    """After `grace` seconds the rest is delivered again to the next run."""
    bus, handler = make_bus(grace=0.3), Handler(wait=True)
    bus.subscribe("happened", handler, name="handler")
    async with running(bus):
        events = [await publish(bus, n=n) for n in range(5)]
        await until(lambda: handler.begun)
    handler.open.set()
    async with running(bus):
        await until(lambda: len(handler.done) >= 5)
    assert handler.ids == [event.id for event in events]


async def test_cancelling_gives_back_at_once(make_bus: MakeBus) -> None:
    """Cancelled, run_forever waits for no handler; what they held is delivered to the next run, in order."""
    bus, handler = make_bus(), Handler(wait=True)
    bus.subscribe("happened", handler, name="handler")
    task = asyncio.create_task(bus.run_forever())
    events = [await publish(bus, n=n) for n in range(5)]
    await until(lambda: handler.begun)
    started = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - started < 5
    handler.open.set()
    async with running(bus):
        await until(lambda: len(handler.done) >= 5)
    assert handler.ids == [event.id for event in events]


async def test_a_bus_runs_once_at_a_time(make_bus: MakeBus) -> None:
    """A second run_forever() is an error of the caller."""
    bus = make_bus()
    async with running(bus):
        with pytest.raises(BusStateError, match="runs already"):
            await bus.run_forever()


async def test_a_url_nobody_listens_on_is_a_named_error_in_time(make_bus: MakeBus) -> None:
    """run_forever and `async with` end with BrokerUnreachableError within publish_timeout, give or take a second."""
    (port,) = free_ports(1)
    bus = make_bus(f"amqp://guest:secret@127.0.0.1:{port}//", publish_timeout=1.0)
    for start in (bus.run_forever, bus.__aenter__):
        started = time.monotonic()
        with pytest.raises(BrokerUnreachableError, match="is RabbitMQ running there") as caught:
            await start()
        assert time.monotonic() - started < 4
        assert "secret" not in str(caught.value)


async def test_a_queue_of_other_arguments_ends_run_forever_by_name(make_bus: MakeBus) -> None:
    """TopologyError names the subscription; nothing is tried again and again."""
    bus = make_bus()
    with bus.app.connection_for_write() as connection, connection.channel() as channel:
        channel.queue_declare(
            "qt.sub.handler", durable=True, auto_delete=False, arguments={"x-max-length": 5}
        )
    bus.subscribe("happened", Handler(), name="handler")
    with pytest.raises(TopologyError, match="'handler'"):
        await bus.run_forever()


# Subscribing while running


async def test_subscriptions_come_and_go_while_running(make_bus: MakeBus) -> None:
    """A new one hears the next event; one that has gone keeps its queue, which collects for the next who serves it."""
    bus, old, new = make_bus(), Handler(), Handler()
    bus.subscribe("happened", old, name="old")
    async with running(bus):
        bus.subscribe("happened", new, name="new")
        event = await publish(bus)
        await until(lambda: old.ids == new.ids == [event.id])
        bus.unsubscribe("happened", new)
        later = await publish(bus)
        await until(lambda: len(old.done) == 2)
        assert new.ids == [event.id]
        bus.subscribe("happened", new, name="new")
        await until(lambda: new.ids == [event.id, later.id])


async def test_subscribing_while_running_declares_nothing_on_the_callers_loop(
    make_bus: MakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Declaring takes the broker tens of milliseconds when it is busy: the publisher's thread waits for it."""
    bus, first, late, threads = make_bus(), Handler(), Handler(), set()
    declare = Topology.declare_subscription

    def noted(topology: Topology, *arguments: Any, **options: Any) -> None:
        threads.add(threading.get_ident())
        declare(topology, *arguments, **options)

    monkeypatch.setattr(Topology, "declare_subscription", noted)
    bus.subscribe("happened", first, name="first")
    async with running(bus):
        threads.clear()
        bus.subscribe("happened", late, name="late")
        await publish(bus)
        await until(lambda: late.done)
    assert threads
    assert threading.get_ident() not in threads


async def test_a_subscription_hears_a_new_pattern_at_once(make_bus: MakeBus) -> None:
    """Other publishers' events too, without a publish from here."""
    bus, other, handler = make_bus(), make_bus(), Handler()
    bus.subscribe("happened", handler, name="handler")
    async with running(bus):
        bus.subscribe("occurred", handler, name="handler")
        async with asyncio.timeout(20):
            while not handler.done:
                await publish(other, "occurred")
                await asyncio.sleep(0.05)


async def test_unsubscribing_gives_back_what_was_not_begun(
    make_bus: MakeBus, amqp_url: str
) -> None:
    """What this process had fetched for it stays in the subscription's queue; what is being handled is finished."""
    bus, handler = make_bus(), Handler(wait=True)
    bus.subscribe("happened", handler, name="handler")
    async with running(bus):
        events = [await publish(bus, n=n) for n in range(10)]
        await until(lambda: handler.begun)
        bus.unsubscribe("happened", handler)
        await until_told(lambda: depth(amqp_url, "qt.sub.handler") == 9)
        handler.open.set()
        await until(lambda: handler.done)
    bus.subscribe("happened", handler, name="handler")
    async with running(bus):
        await until(lambda: len(handler.done) >= 10)
    assert sorted(handler.ids) == sorted(event.id for event in events)


async def test_a_new_subscription_with_a_wrong_queue_ends_nobody_elses(make_bus: MakeBus) -> None:
    """A refused declaration while running is reported; the other subscriptions go on."""
    bus, other, handler = make_bus(), make_bus(), Handler()
    with bus.app.connection_for_write() as connection, connection.channel() as channel:
        channel.queue_declare(
            "qt.sub.wrong", durable=True, auto_delete=False, arguments={"x-max-length": 5}
        )
    bus.subscribe("happened", handler, name="handler")
    async with running(bus):
        bus.subscribe("other", Handler(), name="wrong")
        with pytest.raises(TopologyError, match="'wrong'"):
            await publish(bus)
        event = await publish(other)
        await until(lambda: event.id in handler.ids)


# Several buses


async def test_two_buses_in_one_process_share_a_subscription(make_bus: MakeBus) -> None:
    """Shared: exactly one of them gets each event. Broadcast: each of them does."""
    buses, shared, everywhere = (
        [make_bus(), make_bus()],
        [Handler(), Handler()],
        [Handler(), Handler()],
    )
    for bus, one, each in zip(buses, shared, everywhere, strict=True):
        bus.subscribe("happened", one, name="shared")
        bus.subscribe("happened", each, name="everywhere", broadcast=True)
    async with running(*buses):
        events = [await publish(buses[0], n=n) for n in range(20)]
        await until(lambda: all(len(each.done) >= 20 for each in everywhere))
        await until(lambda: sum(len(one.done) for one in shared) >= 20)
    ids = [event.id for event in events]
    assert [each.ids for each in everywhere] == [ids, ids]
    assert Counter(shared[0].ids + shared[1].ids) == Counter(ids)


async def test_buses_of_one_process_start_and_stop_at_the_same_time(make_bus: MakeBus) -> None:
    """Celery's process-wide state (hub, socket timeout) does not make them meet."""
    for _ in range(3):
        buses, handlers = [make_bus() for _ in range(3)], [Handler() for _ in range(3)]
        for number, (bus, handler) in enumerate(zip(buses, handlers, strict=True)):
            bus.subscribe("happened", handler, name=f"handler{number}")
        async with running(*buses):
            await publish(buses[0])
            await until(lambda handlers=handlers: all(handler.done for handler in handlers))  # type: ignore[misc]
        assert socket.getdefaulttimeout() is None


# Concurrency


async def test_concurrency_1_keeps_the_order(make_bus: MakeBus) -> None:
    """In publish order, one at a time."""
    bus, order, busy, most = make_bus(), [], 0, 0

    async def handler(event: Event[Any]) -> None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0.001 * (event.payload["n"] % 3))
        order.append(event.payload["n"])
        busy -= 1

    bus.subscribe("happened", handler, name="handler")
    async with running(bus):
        for n in range(100):
            await publish(bus, n=n)
        await until(lambda: len(order) >= 100)
    assert (order, most) == (list(range(100)), 1)


async def test_concurrency_50_overlaps(make_bus: MakeBus) -> None:
    """Fifty at a time, not fifty-one."""
    bus, handler = make_bus(), Handler(wait=True)
    bus.subscribe("happened", handler, name="handler", concurrency=50)
    async with running(bus):
        await asyncio.gather(*(publish(bus, n=n) for n in range(60)))
        await until(lambda: bus.serving.held == 60)
        await until(lambda: len(handler.begun) >= 50)
        handler.open.set()  # one too many has been started by now, and begins before the first is done
        await until(lambda: len(handler.done) == 60)
    assert handler.most == 50


async def test_a_slow_subscription_holds_up_no_other(make_bus: MakeBus) -> None:
    """Not even with more behind it than its prefetch."""
    bus, slow, quick = make_bus(), Handler(wait=True), Handler()
    bus.subscribe("happened", slow, name="slow")
    bus.subscribe("happened", quick, name="quick")
    async with running(bus):
        await asyncio.gather(*(publish(bus, n=n) for n in range(300)))
        await until(lambda: len(quick.done) == 300)
        assert len(slow.begun) == 1
        slow.open.set()
        await until(lambda: len(slow.done) == 300)


# Join


async def test_join_waits_for_retries_and_consequences(make_bus: MakeBus) -> None:
    """When it returns, what a handler published after its retry has been handled too."""
    bus, attempts, end = make_bus(), [], Handler()

    async def flaky(event: Event[Any]) -> None:
        attempts.append(event)
        if len(attempts) == 1:
            raise OSError("once")
        await publish(bus, "followed")

    bus.subscribe("happened", flaky, name="flaky", retry=QUICK)
    bus.subscribe("followed", end, name="end")
    async with running(bus):
        await publish(bus)
        await bus.join(20)
        assert (len(attempts), len(end.done)) == (2, 1)


async def test_join_knows_when_it_cannot_know(make_bus: MakeBus, fleet: Fleet) -> None:
    """Another process serves the subscription: a named error, not a guess."""
    await fleet.start()
    bus = make_bus()
    bus.subscribe("order.placed", Handler(), name="on_loop")
    async with running(bus):
        with pytest.raises(ForeignConsumersError, match="on_loop"):
            await bus.join(10)


# The connection is lost


async def test_it_reconnects_when_the_broker_was_killed(
    harmed: PrivateBroker, node_url: str, make_bus: MakeBus
) -> None:
    """What was subscribed before and meanwhile hears what comes after."""
    bus, handler, late = make_bus(node_url, prefix="killed"), Handler(), Handler()
    bus.subscribe("happened", handler, name="handler")
    async with running(bus):
        first = await publish(bus)
        await until(lambda: handler.done)
        await asyncio.to_thread(harmed.settle)
        await asyncio.to_thread(harmed.kill)
        bus.subscribe("happened", late, name="late")
        publishing = asyncio.create_task(publish(bus))
        await asyncio.to_thread(harmed.restart)
        second = await publishing
        await until(lambda: second.id in handler.ids and late.ids == [second.id])
    assert handler.ids[0] == first.id


async def test_it_reconnects_when_the_broker_closes_its_connections(
    make_bus: MakeBus, management: Management, vhost: str
) -> None:
    """Again and again; every event is handled."""
    bus, handler = make_bus(), Handler()
    bus.subscribe("happened", handler, name="handler")
    async with running(bus):
        events: list[Event[Any]] = []
        for _ in range(3):
            events += [await publish(bus) for _ in range(10)]
            await until_told(lambda: len(management.connections(vhost)) == 2)
            await asyncio.to_thread(management.close_connections, vhost)
            events += [await publish(bus) for _ in range(10)]
        await until(lambda: {event.id for event in events} <= set(handler.ids))


async def test_delivery_tags_of_a_lost_channel_are_never_used(
    make_bus: MakeBus, management: Management, vhost: str, amqp_url: str
) -> None:
    """A handler that outlives its connection acks nothing: its event comes again, and nobody else's is acked for it."""
    bus, handler = make_bus(), Handler(wait=True)
    bus.subscribe("happened", handler, name="handler", concurrency=3)
    async with running(bus):
        events = [await publish(bus, n=n) for n in range(9)]
        await until(lambda: len(handler.begun) == 3)
        await until_told(lambda: len(management.connections(vhost)) == 2)
        consumer: Any = bus.serving.consumer
        assert consumer is not None
        lost = consumer.connection
        await asyncio.to_thread(management.close_connections, vhost)
        await until(
            lambda: consumer.connection not in {None, lost} and consumer.task_consumer is not None
        )
        await until(lambda: bus.serving.held == 9 + 3)  # the old three and all nine again
        handler.open.set()
        await until(lambda: len(handler.done) >= 12)
    assert Counter(handler.ids) == Counter([event.id for event in [*events[:3], *events]])
    assert await asyncio.to_thread(depth, amqp_url, "qt.sub.handler") == 0


async def test_a_failure_after_the_connection_was_lost_is_retried_once(
    make_bus: MakeBus, management: Management, vhost: str
) -> None:
    """The broker delivers the event again anyway: a retry of the lost delivery would double it."""
    bus, gate, begun = make_bus(), asyncio.Event(), []

    async def failing(event: Event[Any]) -> None:
        begun.append(event)
        await gate.wait()
        raise OSError("no")

    bus.subscribe("happened", failing, name="failing", retry=QUICK)
    async with running(bus):
        await publish(bus)
        await until(lambda: begun)
        await until_told(lambda: len(management.connections(vhost)) == 2)
        await asyncio.to_thread(management.close_connections, vhost)
        await until(lambda: bus.serving.held == 2)  # the lost one, and the one that comes again
        gate.set()
        await bus.join(20)
        await until(lambda: bus.get_stats()["dead_letters"] >= 1)
    assert len(begun) == 3  # the lost one, the one that counts, its retry
    assert len(list(await bus.dead_letters.list("failing"))) == 1


async def test_a_bus_that_is_not_let_in_any_more_can_be_stopped(
    management: Management, make_bus: MakeBus, amqp_url: str, vhost: str
) -> None:
    """Its vhost is gone, so that every login is refused: stop() ends run_forever() all the same."""
    bus = make_bus(amqp_url, grace=1.0)
    bus.subscribe("order.placed", print, name="heard")
    running = asyncio.create_task(bus.run_forever())
    await until(lambda: bus.serving.worker is not None and bus.serving.worker.ready.is_set())
    management.delete_vhost(vhost)
    await until(
        lambda: bus.serving.consumer is not None and bus.serving.consumer.restart_count,
        what="reconnecting",
    )
    bus.stop()
    await asyncio.wait_for(running, 30)
    management.create_vhost(vhost)  # the fixture deletes it
