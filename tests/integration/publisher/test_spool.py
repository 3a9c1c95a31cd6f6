"""Spool: a publish returns though the broker is away, and nothing is lost or overtaken."""

import asyncio
import logging
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from qt_events import Event, Published, SpoolFileError, SpoolFullError
from qt_events.outbox.spool import Spool
from qt_events.outbox.spool.looking import entries, retry, stats
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.broker import PrivateBroker
from tests.integration.publisher.numbered_events import event, keeping, taken, within
from tests.support.buses import MakeBus
from tests.support.channels import channel_to
from tests.support.waiting import until, until_told

AFTER = 0.3  # seconds of spool_after
MakeSpooling = Callable[..., CeleryEventBus]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a spool that is not there yet."""
    return tmp_path / "spool.db"


@pytest.fixture
def make(make_bus: MakeBus, node_url: str, path: Path) -> MakeSpooling:
    """Make buses with the spool at `path`, whose one subscription keeps every event."""

    def make(spool: Any = path, **options: Any) -> CeleryEventBus:
        return keeping(make_bus(node_url, spool=spool, spool_after=AFTER, **options))

    return make


def first_of_each(numbers: Iterable[int]) -> list[int]:
    """Return numbers in the order in which each came first."""
    return list(dict.fromkeys(numbers))


def is_direct(bus: CeleryEventBus) -> bool:
    return bool(bus.get_stats()["spool"]["state"] == "direct")


async def publish_until_confirmed(bus: CeleryEventBus, number: int) -> int:
    """Publish numbered events until one is confirmed at once; return the next number."""
    async with asyncio.timeout(40):
        while await bus.publish(event(number)) is not Published.CONFIRMED:
            number += 1
    return number + 1


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


async def test_order_is_kept_across_an_outage_whoever_publishes(
    make: MakeSpooling, harmed: PrivateBroker, node_url: str
) -> None:
    """What was in flight is spooled before what comes later, and nothing overtakes the spool."""
    bus = make()
    await bus.publish(event(0))
    await asyncio.to_thread(harmed.settle)
    await asyncio.to_thread(harmed.kill)
    with within(AFTER):
        found = await asyncio.gather(*(bus.publish(event(number)) for number in range(1, 300)))
    assert set(found) == {Published.SPOOLED}
    with within(AFTER):
        found = [await bus.publish(event(number)) for number in range(300, 320)]
    assert set(found) == {Published.SPOOLED}
    assert bus.get_stats()["spool"]["waiting"] == 319
    restarting = asyncio.create_task(asyncio.to_thread(harmed.restart))
    last = await publish_until_confirmed(bus, 320)
    # Many at once while the way changes and after it.
    await asyncio.gather(*(bus.publish(event(number)) for number in range(last, last + 50)))
    await restarting
    numbers = await asyncio.to_thread(taken, node_url)
    assert first_of_each(numbers) == list(range(last + 50))


@pytest.mark.parametrize("publishers", [1, 20])
async def test_each_publisher_keeps_its_order_while_the_broker_comes_and_goes(
    make: MakeSpooling, harmed: PrivateBroker, node_url: str, publishers: int
) -> None:
    """Connections are closed again and again; events go by broker and by disk in turns."""
    bus, running = make(), True
    await bus.publish(event(-1))
    await asyncio.to_thread(harmed.settle)
    counts = [0] * publishers

    async def publish(publisher: int) -> None:
        while running:
            await bus.publish(event(counts[publisher] * publishers + publisher))
            counts[publisher] += 1

    tasks = [asyncio.create_task(publish(each)) for each in range(publishers)]
    for _ in range(3):
        before = sum(counts)
        harmed.suspend()
        await until(lambda: bus.get_stats()["waiting"], what="publishes wait")
        harmed.resume()
        await asyncio.to_thread(harmed.management.close_connections)
        await until(lambda: sum(counts) > before + 50, what="it goes on")  # noqa: B023
    running = False
    await asyncio.gather(*tasks)
    await until(lambda: is_direct(bus), what="the spool is empty")
    numbers = (await asyncio.to_thread(taken, node_url))[1:]
    for publisher in range(publishers):
        own = [number for number in numbers if number >= 0 and number % publishers == publisher]
        assert first_of_each(own) == [
            count * publishers + publisher for count in range(counts[publisher])
        ]


async def test_a_program_that_never_saw_a_broker_spools_and_the_next_one_sends(
    make: MakeSpooling, harmed: PrivateBroker, node_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What waits goes first, though the next one publishes something else at once."""
    await asyncio.to_thread(harmed.kill)
    first = make()
    found = [await first.publish(event(number)) for number in range(5)]
    assert set(found) == {Published.SPOOLED}
    await asyncio.to_thread(first.close)
    assert "in the spool" in caplog.text
    assert "wait 5 events" in caplog.text
    await asyncio.to_thread(harmed.restart)
    second = make()
    assert await second.publish(event(5)) is Published.SPOOLED
    await until(lambda: is_direct(second), what="the spool is empty")
    assert await second.publish(event(6)) is Published.CONFIRMED
    assert first_of_each(await asyncio.to_thread(taken, node_url)) == list(range(7))


async def test_a_bus_that_only_serves_sends_what_waits(
    make: MakeSpooling, make_bus: MakeBus, harmed: PrivateBroker, node_url: str, path: Path
) -> None:
    """A worker opens the spool too, though nobody publishes in its process."""
    await asyncio.to_thread(harmed.kill)
    first = make()
    await first.publish(event(1))
    await asyncio.to_thread(first.close)
    await asyncio.to_thread(harmed.restart)
    heard = asyncio.Event()

    async def hear(_: Event[Any]) -> None:
        heard.set()

    second = make_bus(node_url, spool=str(path))
    second.subscribe("number.#", hear, name="heard")
    async with second:
        await asyncio.wait_for(heard.wait(), 30)
    assert [each.waiting for each in stats(path)] == [0]


async def test_an_alarm_is_an_outage(
    make: MakeSpooling, harmed: PrivateBroker, node_url: str
) -> None:
    """Publishes are spooled while the broker takes none, and are sent when it does."""
    bus = make()
    await bus.publish(event(0))
    await asyncio.to_thread(harmed.block)
    with within(AFTER):
        found = await asyncio.gather(*(bus.publish(event(number)) for number in range(1, 50)))
    assert set(found) == {Published.SPOOLED}
    await asyncio.to_thread(harmed.unblock)
    last = await publish_until_confirmed(bus, 50)
    assert first_of_each(await asyncio.to_thread(taken, node_url)) == list(range(last))


async def test_a_silent_broker_is_one_before_the_publish_times_out(
    make: MakeSpooling, harmed: PrivateBroker, node_url: str
) -> None:
    """With a spool, no publish has to end in PublishTimeoutError."""
    bus = make(publish_timeout=2.0)
    await bus.publish(event(0))
    harmed.suspend()
    with within(2.0):
        assert await bus.publish(event(1)) is Published.SPOOLED
    harmed.resume()
    await until(lambda: is_direct(bus), what="the spool is empty")
    assert first_of_each(await asyncio.to_thread(taken, node_url)) == [0, 1]


async def test_a_full_queue_holds_up_no_other_and_gets_its_events_later(
    make: MakeSpooling, node_url: str
) -> None:
    """What is nacked is spooled, and passed by others, until there is room."""
    bus = make()
    await bus.publish(event(0))
    declare_full(node_url)
    await bus.publish(event(1, "full.a"))
    assert await bus.publish(event(2, "full.b")) is Published.SPOOLED
    for number in range(3, 30):
        await bus.publish(event(number))
    await until_told(lambda: has(node_url, 29), what="others went on")
    assert bus.get_stats()["spool"]["waiting"] >= 1
    with channel_to(node_url) as channel:
        channel.queue_purge("full")
    await until(lambda: is_direct(bus), what="the spool is empty")
    assert await bus.publish(event(30)) is Published.CONFIRMED
    with channel_to(node_url) as channel:
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


_DENY = """
ok = rabbit_auth_backend_internal:set_topic_permissions(
   <<"guest">>, <<"{vhost}">>, <<"qt.events">>, <<"^(?!secret)">>, <<".*">>, <<"test">>).
"""
_ALLOW = """
ok = rabbit_auth_backend_internal:clear_topic_permissions(<<"guest">>, <<"{vhost}">>, <<"test">>).
"""


async def test_what_the_broker_refuses_is_set_aside_and_sent_when_an_operator_says_so(
    make: MakeSpooling, harmed: PrivateBroker, node_url: str, path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """It does not block the rest, and its reason is kept."""
    vhost = node_url.rpartition("/")[2]
    bus = make()
    await bus.publish(event(0))
    await asyncio.to_thread(harmed.evaluate, _DENY.format(vhost=vhost))
    await asyncio.to_thread(harmed.block)
    refused = event(2, "secret.told")
    for each in (event(1), refused, event(3)):
        assert await bus.publish(each) is Published.SPOOLED
    await asyncio.to_thread(harmed.unblock)
    await until(lambda: bus.get_stats()["spool"]["aside"] == 1, what="it is set aside")
    await until(lambda: is_direct(bus), what="the rest is sent")
    (aside,) = entries(path, aside=True, limit=10)
    assert (aside.id, aside.type) == (refused.id, "secret.told")
    assert "ACCESS_REFUSED" in str(aside.reason)
    assert refused.id in caplog.text
    assert first_of_each(await asyncio.to_thread(taken, node_url)) == [0, 1, 3]
    await asyncio.to_thread(harmed.evaluate, _ALLOW.format(vhost=vhost))
    assert retry(path, refused.id) == 1
    await until(lambda: bus.get_stats()["spool"]["aside"] == 0, what="it waits again")
    await until(lambda: is_direct(bus), what="it is sent")
    assert await asyncio.to_thread(taken, node_url) == [2]


async def test_a_full_spool_is_a_named_error_and_has_room_again_later(
    make: MakeSpooling, harmed: PrivateBroker, node_url: str, path: Path
) -> None:
    """What has no room is claimed by nobody; what was kept is sent."""
    bus = make(Spool(path, max_bytes=3_000))
    await bus.publish(event(-1))
    await asyncio.to_thread(harmed.block)
    found = await asyncio.gather(
        *(bus.publish(event(number)) for number in range(10)), return_exceptions=True
    )
    kept = [number for number, each in enumerate(found) if each is Published.SPOOLED]
    refused = [each for each in found if isinstance(each, SpoolFullError)]
    assert 0 < len(kept) < 10
    assert len(kept) + len(refused) == 10
    assert "max_bytes=3000" in str(refused[0])
    await asyncio.to_thread(harmed.unblock)
    await until(lambda: is_direct(bus), what="the spool is empty")
    assert await bus.publish(event(10)) is Published.CONFIRMED
    numbers = first_of_each(await asyncio.to_thread(taken, node_url))
    # Some of those that had no room were written to the broker before.
    assert set(numbers) >= {-1, *kept, 10}
    assert [number for number in numbers if number in kept] == kept


async def test_what_is_too_old_is_set_aside_and_said(
    make: MakeSpooling, harmed: PrivateBroker, node_url: str, path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """It is not dropped; an operator sends it, or not."""
    await asyncio.to_thread(harmed.kill)
    first = make(Spool(path, max_age=0.01))
    await first.publish(event(1))
    await asyncio.to_thread(first.close)
    await asyncio.to_thread(harmed.restart)
    bus = make(Spool(path, max_age=0.01))
    with caplog.at_level(logging.ERROR, "qt_events"):
        await publish_until_confirmed(bus, 2)
    assert "waited longer than max_age" in caplog.text
    assert bus.get_stats()["spool"]["aside"] >= 1
    assert 1 not in await asyncio.to_thread(taken, node_url)


async def test_two_buses_with_one_path_have_a_file_each(
    make: MakeSpooling, harmed: PrivateBroker, node_url: str, path: Path
) -> None:
    """The first of the next ones takes over what both have left."""
    await asyncio.to_thread(harmed.kill)
    buses = [make(), make()]
    await asyncio.gather(*(bus.publish(event(n)) for n, bus in enumerate(buses)))
    assert [each.waiting for each in stats(path)] == [1, 1]
    for bus in buses:
        await asyncio.to_thread(bus.close)
    await asyncio.to_thread(harmed.restart)
    last = make()
    await publish_until_confirmed(last, 2)
    assert set(await asyncio.to_thread(taken, node_url)) >= {0, 1, 2}
    assert [each.waiting for each in stats(path)] == [0, 0]


async def test_a_forked_child_has_a_file_of_its_own(
    make: MakeSpooling, harmed: PrivateBroker, node_url: str, path: Path
) -> None:
    """Parent and child spool at once, and neither harms the other's file."""
    bus = make()
    await bus.publish(event(0))
    await asyncio.to_thread(harmed.settle)
    await asyncio.to_thread(harmed.kill)
    assert await bus.publish(event(1)) is Published.SPOOLED
    assert await asyncio.to_thread(publish_in_child, bus, event(2)) == 0
    assert await bus.publish(event(3)) is Published.SPOOLED
    assert [each.waiting for each in stats(path)] == [2, 1]
    await asyncio.to_thread(harmed.restart)
    await publish_until_confirmed(bus, 4)
    assert first_of_each(await asyncio.to_thread(taken, node_url))[:3] == [0, 1, 3]


def publish_in_child(bus: CeleryEventBus, event: Event[Any]) -> int:
    """Return the exit status of a forked child that publishes."""
    if (child := os.fork()) == 0:
        status = 1
        with suppress(BaseException):
            status = 0 if bus.publish_sync(event) is Published.SPOOLED else 2
        os._exit(status)
    return os.waitpid(child, 0)[1]


async def test_join_waits_for_what_is_spooled(
    make_bus: MakeBus, harmed: PrivateBroker, node_url: str, path: Path
) -> None:
    """An event on the disk has no outcome yet."""
    bus, heard = make_bus(node_url, spool=path, spool_after=AFTER), list[int]()

    async def hear(event: Event[Any]) -> None:
        heard.append(event.payload["number"])

    bus.subscribe("number.#", hear, name="heard")
    async with bus:
        await bus.publish(event(1))
        await bus.join()
        await asyncio.to_thread(harmed.block)
        assert await bus.publish(event(2)) is Published.SPOOLED
        with pytest.raises(TimeoutError, match="1 events have no outcome"):
            await bus.join(0.2)
        await asyncio.to_thread(harmed.unblock)
        await bus.join(30)
    assert first_of_each(heard) == [1, 2]


async def test_a_file_that_is_no_spool_is_a_named_error_at_each_publish(
    make: MakeSpooling, node_url: str, path: Path
) -> None:
    """The file stays as it is, and once it is moved away the same bus goes on."""
    path.write_bytes(b"a letter to somebody" * 100)
    bus = make()
    for _ in range(2):
        with pytest.raises(SpoolFileError, match="is no spool"):
            await bus.publish(event(1))
    assert path.read_bytes() == b"a letter to somebody" * 100
    path.rename(path.with_name("letter"))
    assert await bus.publish(event(1)) is Published.CONFIRMED
