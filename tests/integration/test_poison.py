"""Poison: of events that end their process, only the guilty one becomes a dead letter.

tests/faults/test_poison.py has the same under load.
"""

import asyncio
import signal
from collections.abc import Sequence

import pytest

from qt_events.dead_letters.record import DeadLetterRecord
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.handling.quarantine import SUSPECT_AFTER, TRIALS
from qt_events.testing.broker.management import Management
from tests.support.channels import channel_to, depth
from tests.support.fleet.fleet import Fleet, StartedWorker
from tests.support.fleet.remote_control import publish
from tests.support.waiting import until_told

# Seconds; a process starts many times.
PATIENCE = 200.0
#: Processes that a poison event may end: in its queue, in quarantine, and at each trial. All of it
#: twice, because a death can lose an acknowledgement in the socket, which duplicates the event.
LIVES = 2 * (SUSPECT_AFTER + 1 + TRIALS)


# The program is apps/again.py.
AGAIN = ("-m", "again")


def consumers(url: str, queue: str) -> int:
    """Return the number of workers that consume from the queue."""
    with channel_to(url) as channel:
        return int(channel.queue_declare(queue, passive=True).consumer_count)


async def dead_letters(client: CeleryEventBus, subscription: str) -> Sequence[DeadLetterRecord]:
    """Wait until there are dead letters and return them."""
    async with asyncio.timeout(PATIENCE):
        # Poll, because nothing reports a new dead letter.
        while not (found := await client.dead_letters.list(subscription)):  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    return list(found)


async def end(worker: StartedWorker) -> None:
    worker.send(signal.SIGTERM)
    await worker.ended()


@pytest.mark.timeout(240)
async def test_a_killer_condemns_no_slow_neighbour_of_another_subscription(
    fleet: Fleet, client: CeleryEventBus
) -> None:
    """A slow event, held at every death of its process, gets its own trial and survives it."""
    await fleet.start(program=AGAIN)
    slow = await publish(client, "unhurried", seconds=2.0)
    poison = await publish(client, "killing", kills=1000)
    records = await dead_letters(client, "killing")
    await fleet.until_called("unhurried", event=slow)
    assert {(record.event_id, record.reason) for record in records} == {(poison.id, "poison")}
    assert await client.dead_letters.list("unhurried") == []


@pytest.mark.timeout(240)
async def test_restarts_and_lost_connections_count_against_nobody(
    fleet: Fleet, client: CeleryEventBus, management: Management, vhost: str, amqp_url: str
) -> None:
    """An event on trial is not blamed for them, because its process did not die of the event."""
    worker = await fleet.start(FLEET_GRACE="0.2")
    event = await publish(client, "gated")
    begun = 0
    # Kill the process until the event is on trial.
    for _ in range(SUSPECT_AFTER + 1):
        begun = len(await fleet.until_called("gated.begun", begun + 1, event))
        worker.send(signal.SIGKILL)
        await worker.ended()
        worker = await fleet.start(FLEET_GRACE="0.2")
    for _ in range(TRIALS + 1):
        begun = len(await fleet.until_called("gated.begun", begun + 1, event))
        await end(worker)
        worker = await fleet.start(FLEET_GRACE="0.2")
    await fleet.until_called("gated.begun", begun + 1, event)
    for _ in range(TRIALS + 1):
        await until_told(
            lambda: consumers(amqp_url, "qt.quarantine.gated"), what="the worker is connected"
        )
        await until_told(lambda: management.close_connections(vhost), what="connections to close")
    fleet.open()
    await fleet.until_called("gated", event=event)
    await until_told(lambda: depth(amqp_url, "qt.quarantine.gated") == 0)
    assert await client.dead_letters.list("gated") == []


async def test_a_lost_connection_does_not_keep_poison_alive_on_prefork(
    fleet: Fleet, client: CeleryEventBus, management: Management, vhost: str
) -> None:
    """The main process survives a lost connection; children that die afterwards count."""
    await fleet.start("-P", "processes", "-c", "1")
    poison = await publish(client, "killing", kills=1000)
    await fleet.until_called("killing", 1, poison)
    await until_told(lambda: management.close_connections(vhost), what="connections to close")
    records = await dead_letters(client, "killing")
    assert {(record.event_id, record.reason) for record in records} == {(poison.id, "poison")}
    assert len(fleet.calls("killing", poison)) <= LIVES


async def test_poison_on_prefork_ends_its_children_only(
    fleet: Fleet, client: CeleryEventBus
) -> None:
    """The main process knows whose child died; the other child's events are delivered once."""
    worker = await fleet.start("-P", "processes", "-c", "2")
    poison = await publish(client, "killing", kills=1000)
    others = [await publish(client, "killing", n=n) for n in range(10)]
    records = await dead_letters(client, "killing")
    assert {(record.event_id, record.reason) for record in records} == {(poison.id, "poison")}
    assert len(fleet.calls("killing", poison)) <= LIVES
    for event in others:
        assert len(await fleet.until_called("killing", event=event)) == 1
    assert worker.process.poll() is None
