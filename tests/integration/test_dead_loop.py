"""A handler that ends its process or its event loop: the worker ends with 1, nothing is held."""

import signal

import pytest

from qt_events.rabbitmq.bus import CeleryEventBus
from tests.support.fleet.fleet import Fleet
from tests.support.fleet.remote_control import publish

PROGRAM = ("-m", "celery", "-A", "ending_app", "worker")
POOLS = {
    "asyncio": ("-c", "2"),
    "threads": ("-P", "threads", "-c", "4"),
    "solo": ("-P", "solo"),
}
WAYS = ["interrupt", "task", "callback", "stop"]


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.serves("ends", "bystander")
async def test_a_worker_whose_loop_has_died_ends_with_1(
    pool: str, how: str, fleet: Fleet, client: CeleryEventBus
) -> None:
    """It says why, and what it held is delivered again. The loop is that of the handlers."""
    worker = await fleet.start(*POOLS[pool], program=PROGRAM)
    held = None
    if pool == "asyncio":
        held = await publish(client, "bystander")
        await fleet.until_called("bystander", event=held)
    event = await publish(client, "ends", how=how)
    assert await worker.ended(30) == 1, worker.output
    assert "CRITICAL" in worker.output
    await fleet.start(*POOLS[pool], program=PROGRAM)
    await fleet.until_called("ends", 2, event)
    if held is not None:
        await fleet.until_called("bystander", 2, held)
    assert await client.dead_letters.list("ends") == []


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.serves("ends_in_thread")
async def test_an_interrupt_out_of_a_sync_handler_ends_the_worker_with_1(
    pool: str, fleet: Fleet, client: CeleryEventBus
) -> None:
    """It is meant for the whole program, wherever it comes from. The event comes again."""
    worker = await fleet.start(*POOLS[pool], program=PROGRAM)
    event = await publish(client, "ends_in_thread")
    assert await worker.ended(30) == 1, worker.output
    assert "CRITICAL" in worker.output
    await fleet.start(*POOLS[pool], program=PROGRAM)
    await fleet.until_called("ends_in_thread", 2, event)


@pytest.mark.parametrize("how", [*WAYS, "in_thread"])
@pytest.mark.serves("ends", "ends_in_thread", "threaded")
async def test_on_prefork_another_child_takes_over(
    how: str, fleet: Fleet, client: CeleryEventBus
) -> None:
    """Only the child whose loop has died ends: the event comes again, and others are handled."""
    worker = await fleet.start("-P", "processes", "-c", "1", program=PROGRAM)
    name = "ends_in_thread" if how == "in_thread" else "ends"
    event = await publish(client, name, how=how)
    await fleet.until_called(name, 2, event)
    after = await publish(client, "threaded")
    await fleet.until_called("threaded", event=after)
    assert len({call.process for call in fleet.calls(name, event)}) == 2
    worker.send(signal.SIGTERM)
    assert await worker.ended(30) == 0
    assert await client.dead_letters.list(name) == []
