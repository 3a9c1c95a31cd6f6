"""Spool: a publish returns though the broker is away, and nothing is lost or overtaken."""

import asyncio
import logging
import os
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from qt_events import Event, Published, SpoolFileError, SpoolFullError
from qt_events.outbox.spool import Spool
from qt_events.outbox.spool.looking import stats
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.proxy import Proxy
from tests.integration.publisher.numbered_events import event, taken, within
from tests.integration.publisher.spooled_events import (
    AFTER,
    MakeSpooling,
    first_of_each,
    is_direct,
    making,
    publish_until_confirmed,
)
from tests.support.buses import MakeBus
from tests.support.channels import channel_to
from tests.support.waiting import until, until_told


@pytest.fixture
def make(make_bus: MakeBus, proxy: Proxy, amqp_url: str, path: Path) -> MakeSpooling:
    return making(make_bus, proxy.url_for(amqp_url), path)


def away(proxy: Proxy) -> None:
    """Break the connections and refuse others, until the proxy is healed."""
    proxy.refuse()
    proxy.reset()


async def test_nothing_is_written_while_the_broker_confirms(make: MakeSpooling, path: Path) -> None:
    """The file is there, and empty; publishes are confirmed."""
    bus = make()
    found = await asyncio.gather(*(bus.publish(event(number)) for number in range(200)))
    assert set(found) == {Published.CONFIRMED}
    assert await asyncio.to_thread(bus.publish_sync, event()) is Published.CONFIRMED
    assert bus.get_stats()["spool"] == {
        "state": "direct", "waiting": 0, "bytes": 0, "oldest": 0.0, "aside": 0
    }  # fmt: skip
    assert [(each.waiting, each.aside) for each in stats(path)] == [(0, 0)]


@pytest.mark.parametrize("publishers", [1, 20])
async def test_each_publisher_keeps_its_order_while_the_broker_comes_and_goes(
    make: MakeSpooling, proxy: Proxy, amqp_url: str, publishers: int
) -> None:
    """Connections are closed again and again; events go by broker and by disk in turns."""
    bus, running = make(), True
    await bus.publish(event(-1))
    counts = [0] * publishers

    async def publish(publisher: int) -> None:
        while running:
            await bus.publish(event(counts[publisher] * publishers + publisher))
            counts[publisher] += 1

    tasks = [asyncio.create_task(publish(each)) for each in range(publishers)]
    for _ in range(3):
        away(proxy)
        await until(lambda: not is_direct(bus), what="it spools")
        proxy.heal()
        # Nobody stops publishing for that.
        await until(lambda: is_direct(bus), what="the spool is empty")
    running = False
    await asyncio.gather(*tasks)
    await until(lambda: is_direct(bus), what="the spool is empty")
    numbers = (await asyncio.to_thread(taken, amqp_url))[1:]
    for publisher in range(publishers):
        own = [number for number in numbers if number >= 0 and number % publishers == publisher]
        assert first_of_each(own) == [
            count * publishers + publisher for count in range(counts[publisher])
        ]


async def test_a_program_that_never_saw_a_broker_spools_and_the_next_one_sends(
    make: MakeSpooling, proxy: Proxy, amqp_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What waits goes first, though the next one publishes something else at once."""
    away(proxy)
    first = make()
    found = [await first.publish(event(number)) for number in range(5)]
    assert set(found) == {Published.SPOOLED}
    await asyncio.to_thread(first.close)
    assert "in the spool" in caplog.text
    assert "wait 5 events" in caplog.text
    proxy.heal()
    second = make()
    assert await second.publish(event(5)) is Published.SPOOLED
    await until(lambda: is_direct(second), what="the spool is empty")
    assert await second.publish(event(6)) is Published.CONFIRMED
    assert first_of_each(await asyncio.to_thread(taken, amqp_url)) == list(range(7))


async def test_a_bus_that_only_serves_sends_what_waits(
    make: MakeSpooling, make_bus: MakeBus, proxy: Proxy, amqp_url: str, path: Path
) -> None:
    """A worker opens the spool too, though nobody publishes in its process."""
    away(proxy)
    first = make()
    await first.publish(event(1))
    await asyncio.to_thread(first.close)
    proxy.heal()
    heard = asyncio.Event()

    async def hear(_: Event[Any]) -> None:
        heard.set()

    second = make_bus(proxy.url_for(amqp_url), spool=str(path))
    second.subscribe("number.#", hear, name="heard")
    async with second:
        await asyncio.wait_for(heard.wait(), 30)
    assert [each.waiting for each in stats(path)] == [0]


async def test_a_silent_broker_is_one_before_the_publish_times_out(
    make: MakeSpooling, proxy: Proxy, amqp_url: str
) -> None:
    """With a spool, no publish has to end in PublishTimeoutError."""
    bus = make(publish_timeout=2.0)
    await bus.publish(event(0))
    proxy.black_hole()
    with within(2.0):
        assert await bus.publish(event(1)) is Published.SPOOLED
    proxy.heal()
    await until(lambda: is_direct(bus), what="the spool is empty")
    assert first_of_each(await asyncio.to_thread(taken, amqp_url)) == [0, 1]


async def test_a_full_queue_holds_up_no_other_and_gets_its_events_later(
    make: MakeSpooling, amqp_url: str
) -> None:
    """What is nacked is spooled, and passed by others, until there is room."""
    bus = make()
    await bus.publish(event(0))
    declare_full(amqp_url)
    await bus.publish(event(1, "full.a"))
    assert await bus.publish(event(2, "full.b")) is Published.SPOOLED
    for number in range(3, 30):
        await bus.publish(event(number))
    await until_told(lambda: has(amqp_url, 29), what="others went on")
    assert bus.get_stats()["spool"]["waiting"] >= 1
    with channel_to(amqp_url) as channel:
        channel.queue_purge("full")
    await until(lambda: is_direct(bus), what="the spool is empty")
    assert await bus.publish(event(30)) is Published.CONFIRMED
    with channel_to(amqp_url) as channel:
        assert channel.queue_declare("full", passive=True).message_count == 1


def declare_full(url: str) -> None:
    with channel_to(url) as channel:
        arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
        channel.queue_declare("full", durable=True, auto_delete=False, arguments=arguments)
        channel.queue_bind("full", "qt.events", "full.#")


_seen: list[int] = []


def has(url: str, number: int) -> bool:
    _seen.extend(taken(url))
    return number in _seen


async def test_a_full_spool_is_a_named_error_and_has_room_again_later(
    make: MakeSpooling, proxy: Proxy, amqp_url: str, path: Path
) -> None:
    """What has no room is claimed by nobody; what was kept is sent."""
    bus = make(Spool(path, max_bytes=3_000))
    await bus.publish(event(-1))
    away(proxy)
    found = await asyncio.gather(
        *(bus.publish(event(number)) for number in range(10)), return_exceptions=True
    )
    kept = [number for number, each in enumerate(found) if each is Published.SPOOLED]
    refused = [each for each in found if isinstance(each, SpoolFullError)]
    assert 0 < len(kept) < 10
    assert len(kept) + len(refused) == 10
    assert "max_bytes=3000" in str(refused[0])
    proxy.heal()
    await until(lambda: is_direct(bus), what="the spool is empty")
    assert await bus.publish(event(10)) is Published.CONFIRMED
    numbers = first_of_each(await asyncio.to_thread(taken, amqp_url))
    # Some of those that had no room were written to the broker before.
    assert set(numbers) >= {-1, *kept, 10}
    assert [number for number in numbers if number in kept] == kept


async def test_what_is_too_old_is_set_aside_and_said(
    make: MakeSpooling, proxy: Proxy, amqp_url: str, path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """It is not dropped; an operator sends it, or not."""
    away(proxy)
    first = make(Spool(path, max_age=0.01))
    await first.publish(event(1))
    await asyncio.to_thread(first.close)
    proxy.heal()
    bus = make(Spool(path, max_age=0.01))
    with caplog.at_level(logging.ERROR, "qt_events"):
        await publish_until_confirmed(bus, 2)
    assert "waited longer than max_age" in caplog.text
    assert bus.get_stats()["spool"]["aside"] >= 1
    assert 1 not in await asyncio.to_thread(taken, amqp_url)


async def test_two_buses_with_one_path_have_a_file_each(
    make: MakeSpooling, proxy: Proxy, amqp_url: str, path: Path
) -> None:
    """The first of the next ones takes over what both have left."""
    away(proxy)
    buses = [make(), make()]
    await asyncio.gather(*(bus.publish(event(n)) for n, bus in enumerate(buses)))
    assert [each.waiting for each in stats(path)] == [1, 1]
    for bus in buses:
        await asyncio.to_thread(bus.close)
    proxy.heal()
    last = make()
    await publish_until_confirmed(last, 2)
    assert set(await asyncio.to_thread(taken, amqp_url)) >= {0, 1, 2}
    assert [each.waiting for each in stats(path)] == [0, 0]


async def test_a_forked_child_has_a_file_of_its_own(
    make: MakeSpooling, proxy: Proxy, amqp_url: str, path: Path
) -> None:
    """Parent and child spool at once, and neither harms the other's file."""
    # A bus that is closed has none to leave to its parent.
    closed = make()
    await closed.publish(event(0))
    await asyncio.to_thread(closed.close)
    bus = make()
    await bus.publish(event(0))
    away(proxy)
    assert await bus.publish(event(1)) is Published.SPOOLED
    assert await asyncio.to_thread(publish_in_child, bus, event(2)) == 0
    assert await bus.publish(event(3)) is Published.SPOOLED
    assert [each.waiting for each in stats(path)] == [2, 1]
    proxy.heal()
    await publish_until_confirmed(bus, 4)
    assert first_of_each(await asyncio.to_thread(taken, amqp_url))[:3] == [0, 1, 3]


def publish_in_child(bus: CeleryEventBus, event: Event[Any]) -> int:
    """Return the exit status of a forked child that publishes."""
    with warnings.catch_warnings():
        # From 3.12 on, of a fork beside threads.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 1
        with suppress(BaseException):
            status = 0 if bus.publish_sync(event) is Published.SPOOLED else 2
        os._exit(status)
    return os.waitpid(child, 0)[1]


async def test_join_waits_for_what_is_spooled(
    make_bus: MakeBus, proxy: Proxy, amqp_url: str, path: Path
) -> None:
    """An event on the disk has no outcome yet."""
    bus = make_bus(proxy.url_for(amqp_url), spool=path, spool_after=AFTER)
    heard = list[int]()

    async def hear(event: Event[Any]) -> None:
        heard.append(event.payload["number"])

    bus.subscribe("number.#", hear, name="heard")
    async with bus:
        await bus.publish(event(1))
        await bus.join()
        away(proxy)
        assert await bus.publish(event(2)) is Published.SPOOLED
        with pytest.raises(TimeoutError, match="1 events have no outcome"):
            await bus.join(0.2)
        proxy.heal()
        await bus.join(30)
    assert first_of_each(heard) == [1, 2]


async def test_a_file_that_is_no_spool_is_a_named_error_at_each_publish(
    make: MakeSpooling, amqp_url: str, path: Path
) -> None:
    """The file stays as it is, and once it is moved away the same bus goes on."""
    letter = b"a letter to somebody" * 100
    await asyncio.to_thread(path.write_bytes, letter)
    bus = make()
    for _ in range(2):
        with pytest.raises(SpoolFileError, match="is no spool"):
            await bus.publish(event(1))
    assert await asyncio.to_thread(path.read_bytes) == letter
    await asyncio.to_thread(path.rename, path.with_name("letter"))
    assert await bus.publish(event(1)) is Published.CONFIRMED
