"""A publish that waits says why: in the log, in get_stats() and in its error."""

import asyncio
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from qt_events.errors import BrokerUnreachableError
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.broker import PrivateBroker
from qt_events.testing.ports import free_ports
from tests.integration.publisher.numbered_events import event, keeping
from tests.support.buses import MakeBus
from tests.support.channels import channel_to
from tests.support.waiting import until

WAITED = "have waited for more than 1 s"


@pytest.fixture(autouse=True)
def level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "qt_events")


def lines(caplog: pytest.LogCaptureFixture, text: str = WAITED) -> list[str]:
    return [message for message in caplog.messages if text in message]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    records = [each for each in caplog.records if each.levelno == logging.WARNING]
    return [each.getMessage() for each in records if WAITED in each.getMessage()]


async def until_waiting(bus: CeleryEventBus, cause: str, count: int) -> None:
    await until(
        lambda: bus.get_stats()["waiting"].get(cause) == count, what=f"{count} wait for {cause}"
    )


async def until_over(bus: CeleryEventBus, caplog: pytest.LogCaptureFixture) -> None:
    await until(lambda: lines(caplog, "publishing is back to normal"), what="the end in the log")
    assert bus.get_stats()["waiting"] == {}


async def test_a_publish_that_is_confirmed_at_once_waits_for_nothing(
    bus: CeleryEventBus, caplog: pytest.LogCaptureFixture
) -> None:
    """The key is there all the same."""
    await bus.publish(event())
    assert bus.get_stats()["waiting"] == {}
    assert not lines(caplog)


async def test_without_a_broker_they_wait_for_a_connection(
    make_bus: MakeBus, caplog: pytest.LogCaptureFixture
) -> None:
    """One line for all of them; each error has the words of the log."""
    (port,) = free_ports(1)
    bus = make_bus(f"amqp://somebody:s3cret@127.0.0.1:{port}//", publish_timeout=4.0)
    publishes = [asyncio.create_task(bus.publish(event(n))) for n in range(50)]
    await until_waiting(bus, "connecting", 50)
    errors = await asyncio.gather(*publishes, return_exceptions=True)
    (line,) = lines(caplog)
    # Written when the first was late: on a busy machine some of the others began later.
    assert f"publishes {WAITED}" in line
    assert "s3cret" not in line
    why = line.partition(f"{WAITED}: ")[2]
    assert all(why in str(error) for error in errors)
    assert {type(error) for error in errors} == {BrokerUnreachableError}


async def test_a_host_that_never_answers_is_told_of_while_the_thread_waits_for_it(
    make_bus: MakeBus, caplog: pytest.LogCaptureFixture
) -> None:
    """Connecting to it blocks the publisher's thread for five seconds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        bus = make_bus(f"amqp://127.0.0.1:{server.getsockname()[1]}//", publish_timeout=3.0)
        publishing = asyncio.create_task(bus.publish(event()))
        await until(lambda: lines(caplog), timeout=2.5, what="a line in the log")
        assert "no answer" in lines(caplog)[0]
        with pytest.raises(BrokerUnreachableError):
            await publishing


async def test_during_an_alarm_they_wait_for_its_end(
    make_bus: MakeBus, harmed: PrivateBroker, node_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log tells of the end, too."""
    bus = keeping(make_bus(node_url))
    await bus.publish(event(1))
    await asyncio.to_thread(harmed.block)
    publishes = [asyncio.create_task(bus.publish(event(n))) for n in range(20)]
    await until_waiting(bus, "alarm", 20)
    await until(lambda: lines(caplog))
    await asyncio.to_thread(harmed.unblock)
    await asyncio.gather(*publishes)
    await until_over(bus, caplog)
    (line,) = lines(caplog)
    assert "takes no publishes (an alarm for memory or disk is on)" in line


async def test_a_full_window_is_told_of_with_what_fills_it(
    make_bus: MakeBus, harmed: PrivateBroker, node_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Publishes in flight wait for a silent broker, the others for room."""
    bus = keeping(make_bus(node_url, max_queue_size=3))
    await bus.publish(event(1))
    harmed.suspend()
    publishes = [asyncio.create_task(bus.publish(event(n))) for n in range(10)]
    await until_waiting(bus, "window", 7)
    assert bus.get_stats()["waiting"] == {"confirm": 3, "window": 7}
    await until(lambda: len(warnings(caplog)) == 2)
    harmed.resume()
    await asyncio.gather(*publishes)
    await until_over(bus, caplog)
    silent, full = warnings(caplog)
    assert f"publishes {WAITED}" in silent
    assert "has not confirmed yet" in silent
    assert f"publishes {WAITED}: 3 publishes are in flight (max_queue_size=3)" in full
    assert "has not confirmed yet" in full


async def test_what_the_broker_cannot_store_is_told_of(
    make_bus: MakeBus, amqp_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A full queue that rejects publishes: others go through meanwhile."""
    bus = keeping(make_bus(amqp_url))
    await bus.publish(event(1))
    with channel_to(amqp_url) as channel:
        arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
        channel.queue_declare("full", durable=True, auto_delete=False, arguments=arguments)
        channel.queue_bind("full", "qt.events", "full.#")
    await bus.publish(event(2, "full.a"))
    nacked = [asyncio.create_task(bus.publish(event(n, "full.b"))) for n in range(2)]
    await until_waiting(bus, "nack", 2)
    await bus.publish(event(3))
    await until(lambda: lines(caplog))
    with channel_to(amqp_url) as channel:
        channel.queue_delete("full")
    await asyncio.gather(*nacked)
    await until_over(bus, caplog)
    assert "could not store it (a queue is full or has lost its majority)" in lines(caplog)[0]


@contextmanager
def held_up(bus: CeleryEventBus, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Keep the publisher's thread in a declaration until the event is set."""
    go_on, make = threading.Event(), bus.declarations.make

    def make_late(*about: Any) -> None:
        go_on.wait(30)
        make(*about)

    monkeypatch.setattr(bus.declarations, "make", make_late)
    try:
        yield go_on
    finally:
        go_on.set()


async def test_a_slow_declaration_is_told_of(
    make_bus: MakeBus,
    amqp_url: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All that is in flight waits for it: the thread writes nothing else meanwhile."""
    bus = keeping(make_bus(amqp_url))
    with held_up(bus, monkeypatch) as go_on:
        publishes = [asyncio.create_task(bus.publish(event(n))) for n in range(5)]
        await until_waiting(bus, "declaring", 5)
        await until(lambda: lines(caplog))
        go_on.set()
        await asyncio.gather(*publishes)
    await until_over(bus, caplog)
    (line,) = lines(caplog)
    assert "about subscription 'kept', which comes first" in line


async def test_an_outage_has_one_line_for_each_cause(
    make_bus: MakeBus, harmed: PrivateBroker, node_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """First an alarm, then no broker at all; publishes come and go meanwhile."""
    bus = keeping(make_bus(node_url, publish_timeout=3.0))
    await bus.publish(event(1))
    running = True

    async def load() -> None:
        while running:
            await asyncio.gather(bus.publish(event()), return_exceptions=True)
            await asyncio.sleep(0.05)

    loads = [asyncio.create_task(load()) for _ in range(10)]
    await asyncio.to_thread(harmed.block)
    await until(lambda: lines(caplog, "takes no publishes"), what="a line about the alarm")
    harmed.kill()
    await until(lambda: lines(caplog, f"{WAITED}: no connection"), what="a line about the broker")
    await asyncio.to_thread(harmed.restart)
    running = False
    await asyncio.gather(*loads)
    await bus.publish(event())
    await until_over(bus, caplog)
    causes = [line.partition(f"{WAITED}: ")[2] for line in lines(caplog)]
    assert sum("takes no publishes" in cause for cause in causes) == 1
    assert sum("no connection to" in cause for cause in causes) == 1
