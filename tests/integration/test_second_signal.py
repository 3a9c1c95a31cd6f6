"""A second signal ends a worker soon: the event of a running handler is back on its queue."""

import asyncio
import signal

import celery
import pytest

from qt_events.rabbitmq.bus import CeleryEventBus
from tests.support.channels import channel_to, depth
from tests.support.fleet.fleet import Fleet
from tests.support.fleet.remote_control import publish
from tests.support.waiting import until, until_told

pytestmark = pytest.mark.serves("gated")

SIGINT, SIGQUIT, SIGTERM = signal.SIGINT, signal.SIGQUIT, signal.SIGTERM
POOLS = {
    "asyncio": (),
    "prefork": ("-P", "processes", "-c", "2"),
    "threads": ("-P", "threads", "-c", "2"),
    "solo": ("-P", "solo"),
}
#: Seconds that a worker may take. Its grace is longer, and its handler never ends.
SOON = 15.0


async def begin(fleet: Fleet, client: CeleryEventBus, event_type: str) -> tuple[str, str]:
    """Publish an event to a handler that waits; return the handler's name and the event's id."""
    name = event_type.replace(".", "_in_")
    event = await publish(client, event_type)
    await fleet.until_called(f"{name}.begun", event=event)
    return name, event.id


async def ids_on_its_queue(url: str, name: str, number: int) -> set[str]:
    """Return the ids of so many events, once they are on the subscription's queue."""
    await until_told(lambda: depth(url, f"qt.sub.{name}") == number)
    with channel_to(url) as channel:
        messages = [channel.basic_get(f"qt.sub.{name}") for _ in range(number)]
    return {each.properties["message_id"] for each in messages}


async def back_on_its_queue(url: str, name: str, event_id: str) -> bool:
    """Tell whether the event is its queue's only message, and had no outcome so far."""
    with channel_to(url) as channel:
        message = await until_told(lambda: channel.basic_get(f"qt.sub.{name}"))
        headers = message.properties.get("application_headers", {})
        alone = message.delivery_info["message_count"] == 0
        return (
            alone and message.properties["message_id"] == event_id and "qt-attempt" not in headers
        )


@pytest.mark.parametrize("event_type", ["gated", "gated.thread"])
@pytest.mark.parametrize(("number", "status"), [(SIGTERM, 0), (SIGINT, 1)], ids=["term", "int"])
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.serves("gated", "gated_in_thread")
async def test_a_second_signal_gives_back_what_a_handler_has(
    pool: str,
    number: signal.Signals,
    status: int,
    event_type: str,
    *,
    fleet: Fleet,
    client: CeleryEventBus,
    amqp_url: str,
) -> None:
    """The first one waits for the handler; the second one waits for nothing, on every pool."""
    worker = await fleet.start(*POOLS[pool], FLEET_GRACE="60")
    name, event_id = await begin(fleet, client, event_type)
    worker.send(number)
    await until(lambda: "Warm shutdown" in worker.output)
    assert worker.process.poll() is None
    worker.send(number)
    assert await worker.ended(SOON) == status, worker.output
    assert await back_on_its_queue(amqp_url, name, event_id)
    assert await client.dead_letters.list(name) == []
    assert len(fleet.calls(f"{name}.begun")) == 1
    assert fleet.calls(name) == []
    # A sync handler on prefork ends by SystemExit, which is logged.
    assert "Traceback" not in worker.output or pool == "prefork"


@pytest.mark.parametrize(("number", "status"), [(SIGTERM, 0), (SIGINT, 1)], ids=["term", "int"])
@pytest.mark.parametrize("pool", POOLS)
async def test_a_second_signal_gives_back_what_a_plain_task_and_a_handler_have(
    pool: str,
    number: signal.Signals,
    status: int,
    *,
    fleet: Fleet,
    client: CeleryEventBus,
    amqp_url: str,
) -> None:
    """A running task of the app's own, which few pools can end, holds up and fails nothing."""
    worker = await fleet.start(*POOLS[pool], FLEET_GRACE="60", FLEET_PLAIN="1")
    with celery.Celery(broker=amqp_url, set_as_current=False) as sender:
        await asyncio.to_thread(sender.send_task, "plain")
    await fleet.until_called("plain.begun")
    event = await publish(client, "gated")
    # Solo handles one at a time, and the event waits behind the task.
    if pool != "solo":
        await fleet.until_called("gated.begun", event=event)
    worker.send(number)
    await until(lambda: "Warm shutdown" in worker.output)
    assert worker.process.poll() is None
    worker.send(number)
    assert await worker.ended(SOON) == status, worker.output
    assert await back_on_its_queue(amqp_url, "gated", event.id)
    await until_told(lambda: depth(amqp_url, "celery") == 1)
    assert fleet.calls("plain") == fleet.calls("gated") == []
    assert "Traceback" not in worker.output


async def test_what_waits_behind_a_handler_on_solo_is_not_begun(
    fleet: Fleet, client: CeleryEventBus, amqp_url: str
) -> None:
    """Celery reads from the connection in the signal's handler, and gets the next events there."""
    worker = await fleet.start(*POOLS["solo"])
    name, event_id = await begin(fleet, client, "gated")
    waiting = [(await publish(client, "gated")).id for _ in range(3)]
    worker.send(SIGTERM)
    await until(lambda: "Warm shutdown" in worker.output)
    worker.send(SIGTERM)
    assert await worker.ended(SOON) == 0, worker.output
    assert await ids_on_its_queue(amqp_url, name, 4) == {event_id, *waiting}
    assert len(fleet.calls("gated.begun")) == 1


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [(SIGTERM, SIGINT, 0), (SIGINT, SIGTERM, 1), (SIGTERM, SIGQUIT, 0)],
    ids=["term-int", "int-term", "term-quit"],
)
async def test_the_second_signal_may_be_another_one(
    first: signal.Signals,
    second: signal.Signals,
    status: int,
    *,
    fleet: Fleet,
    client: CeleryEventBus,
    amqp_url: str,
) -> None:
    """The first one decides on the exit status."""
    worker = await fleet.start(*POOLS["solo"])
    name, event_id = await begin(fleet, client, "gated")
    worker.send(first)
    await until(lambda: "Warm shutdown" in worker.output)
    worker.send(second)
    assert await worker.ended(SOON) == status, worker.output
    assert await back_on_its_queue(amqp_url, name, event_id)


async def test_what_waits_for_a_thread_is_given_back_too(
    fleet: Fleet, client: CeleryEventBus, amqp_url: str
) -> None:
    """Events that were taken and not begun are back on their queue."""
    worker = await fleet.start("-P", "threads", "-c", "1")
    name, event_id = await begin(fleet, client, "gated")
    waiting = await publish(client, "gated")
    await until_told(lambda: depth(amqp_url, f"qt.sub.{name}") == 0)
    worker.send(SIGTERM)
    await until(lambda: "Warm shutdown" in worker.output)
    worker.send(SIGTERM)
    assert await worker.ended(SOON) == 0, worker.output
    assert await ids_on_its_queue(amqp_url, name, 2) == {event_id, waiting.id}
    assert len(fleet.calls("gated.begun")) == 1
