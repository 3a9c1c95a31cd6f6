"""Subscriptions under run_forever(): while it runs, in several buses, in parallel, and join()."""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from qt_events.errors import ForeignConsumersError, TopologyError
from qt_events.events.event import Event
from qt_events.rabbitmq.topology.names import Topology
from tests.integration.run_forever.hosting import QUICK, Handler, publish, running
from tests.support.buses import MakeBus
from tests.support.channels import depth
from tests.support.fleet.fleet import Fleet
from tests.support.waiting import until, until_told


async def test_subscriptions_come_and_go_while_running(make_bus: MakeBus) -> None:
    """A new one hears the next event. The queue of one that has gone collects for the next."""
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
    """A busy broker needs tens of milliseconds for it: the publisher's thread waits instead."""
    bus, first, late, threads = make_bus(), Handler(), Handler(), set()
    declare = Topology.declare_at_once

    def noted(topology: Topology, *arguments: Any, **options: Any) -> bool:
        threads.add(threading.get_ident())
        return declare(topology, *arguments, **options)

    monkeypatch.setattr(Topology, "declare_at_once", noted)
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
    """Events that were only fetched go back to the queue. The one that is handled is finished."""
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


def _all_done(handlers: Sequence[Handler]) -> bool:
    return all(handler.done for handler in handlers)


async def test_buses_of_one_process_start_and_stop_at_the_same_time(make_bus: MakeBus) -> None:
    """Celery's process-wide state (hub, socket timeout) does not make them meet."""
    for _ in range(3):
        buses, handlers = [make_bus() for _ in range(3)], [Handler() for _ in range(3)]
        for number, (bus, handler) in enumerate(zip(buses, handlers, strict=True)):
            bus.subscribe("happened", handler, name=f"handler{number}")
        async with running(*buses):
            await publish(buses[0])
            await until(partial(_all_done, handlers))
        assert socket.getdefaulttimeout() is None


# Concurrency


async def test_concurrency_1_keeps_the_order(make_bus: MakeBus) -> None:
    """Handlers run in publish order, one at a time."""
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
        await until(lambda: bus.serving.held == 51)
        await until(lambda: len(handler.begun) >= 50)
        # One too many would have been started by now, and would begin before the first is done.
        handler.open.set()
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
    """Events that a handler published after its retry have been handled when it returns."""
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
