"""Batch handlers in worker processes: killed in mid-batch, and on pools that have no batches."""

import asyncio
import signal

import pytest

from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.handling.quarantine import SUSPECT_AFTER, TRIALS
from tests.support.channels import depth
from tests.support.fleet.fleet import Fleet
from tests.support.fleet.remote_control import publish
from tests.support.waiting import until_told

PATIENCE = 200.0  # seconds; a process starts many times
#: As in test_poison.py.
LIVES = 2 * (SUSPECT_AFTER + 1 + TRIALS)


@pytest.mark.timeout(240)
@pytest.mark.serves("none of the others")
async def test_of_a_batch_only_the_poison_becomes_a_dead_letter(
    fleet: Fleet, client: CeleryEventBus, amqp_url: str
) -> None:
    """Its whole batch comes back each time. In quarantine each event is a batch of one."""
    kills = [1000 if n == 3 else 0 for n in range(8)]
    # The queue is there, and nobody takes from it yet.
    first = await fleet.start(FLEET_BATCH="5")
    first.send(signal.SIGTERM)
    await first.ended()
    events = [await publish(client, "batch", n=n, kills=kill) for n, kill in enumerate(kills)]
    await fleet.start(program=("-m", "again"), ready=False, FLEET_BATCH="5")
    async with asyncio.timeout(PATIENCE):
        # Poll, because nothing reports a new dead letter.
        while not (found := list(await client.dead_letters.list("batch"))):  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    assert [(each.event_id, each.reason) for each in found] == [(events[3].id, "poison")]
    assert len(fleet.calls("batch.killing", events[3])) <= LIVES
    for event in (*events[:3], *events[4:]):
        await fleet.until_called("batch.done", event=event)
    for queue in ("qt.sub.batch", "qt.quarantine.batch"):
        await until_told(lambda queue=queue: depth(amqp_url, queue) == 0)  # type: ignore[misc]
    assert len(list(await client.dead_letters.list("batch"))) == 1
    assert fleet.calls("batch.done", events[3]) == []


@pytest.mark.serves("none of the others")
async def test_a_killed_worker_gives_its_batch_back(fleet: Fleet, client: CeleryEventBus) -> None:
    """Another one has the same events; nothing counts as an attempt."""
    worker = await fleet.start(FLEET_BATCH="3")
    events = [await publish(client, "batch", n=n, kills=n == 1) for n in range(3)]
    await worker.ended()
    await fleet.start(FLEET_BATCH="3")
    for event in events:
        await fleet.until_called("batch.done", event=event)
    assert await client.dead_letters.list("batch") == []


@pytest.mark.parametrize("pool", ["processes", "threads", "solo"])
@pytest.mark.serves("none of the others")
async def test_celerys_own_pools_refuse_batches_by_name(fleet: Fleet, pool: str) -> None:
    """They hand out one message at a time. The worker ends and says what to use."""
    worker = await fleet.start("-P", pool, ready=False, FLEET_BATCH="3")
    assert await worker.ended() != 0
    assert "NotSupportedError: subscription 'batch' takes batches" in worker.output
    assert "-P asyncio" in worker.output
