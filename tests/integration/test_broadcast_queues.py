"""A broadcast's queue is there while its process serves it, and no longer."""

import asyncio
import multiprocessing
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from qt_events import CeleryEventBus, Event
from qt_events.testing.broker.management import Management
from tests.support.buses import MakeBus
from tests.support.fleet.fleet import Fleet
from tests.support.waiting import PATIENCE, until

NAME = "qt.sub.everywhere."


@pytest.fixture
def queues(management: Management, vhost: str) -> Callable[[], list[str]]:
    """Return what lists the queues of the broadcast."""
    return lambda: [
        each["name"] for each in management.queues(vhost) if each["name"].startswith(NAME)
    ]


def hear(bus: CeleryEventBus) -> list[str]:
    heard: list[str] = []
    bus.subscribe("#", lambda event: heard.append(event.id), name="everywhere", broadcast=True)
    return heard


async def test_a_process_that_only_publishes_has_no_queue_for_its_broadcasts(
    make_bus: MakeBus, queues: Callable[[], list[str]]
) -> None:
    """Nobody would read it. The publishes return, and nothing waits for an outcome."""
    bus = make_bus()
    hear(bus)
    for _ in range(3):
        await bus.publish(Event("happened"))
        await asyncio.to_thread(bus.publish_sync, Event("happened"))
    assert queues() == []
    await bus.join()
    assert bus.get_stats()["queue_size"] == 0


async def test_what_is_published_once_the_bus_runs_is_heard_here(
    make_bus: MakeBus, queues: Callable[[], list[str]]
) -> None:
    """As soon as there is a task of run_forever(), also with a connection that stands already."""
    bus = make_bus()
    heard = hear(bus)
    await bus.publish(Event("happened"))
    running = asyncio.create_task(bus.run_forever())
    await bus.publish(event := Event("happened"))
    await bus.join(PATIENCE)
    assert heard == [event.id]
    bus.stop()
    await running
    # It may run again: what comes meanwhile is not lost.
    await bus.publish(later := Event("happened"))
    async with bus:
        await bus.join(PATIENCE)
    assert heard == [event.id, later.id]
    assert len(queues()) == 1
    bus.close()
    assert queues() == []


PROGRAM = """
import asyncio, sys
from qt_events import CeleryEventBus, Event

bus = CeleryEventBus(sys.argv[1])
bus.subscribe("#", lambda event: print("heard", flush=True), name="everywhere", broadcast=True)

async def main():
    if sys.argv[2] == "serve":
        asyncio.get_running_loop().create_task(bus.publish(Event("happened")))
        await bus.run_forever(handle_signals=True)
    else:
        await bus.publish(Event("happened"))

asyncio.run(main())
"""


@pytest.mark.parametrize("what", ["serve", "publish"])
def test_a_program_that_ends_leaves_none(
    what: str, amqp_url: str, queues: Callable[[], list[str]]
) -> None:
    """A script that publishes, and one that SIGTERM stops. Neither closes its bus."""
    command = [sys.executable, "-c", PROGRAM, amqp_url, what]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        if what == "serve":
            assert program.stdout.readline() == "heard\n"
            assert len(queues()) == 1
            program.send_signal(signal.SIGTERM)
        assert program.wait(PATIENCE) == 0
    assert queues() == []


@pytest.mark.serves("on_loop")
@pytest.mark.parametrize("pool", [(), ("-P", "threads"), ("-P", "solo")])
async def test_a_worker_that_ends_leaves_none(
    pool: tuple[str, ...], fleet: Fleet, queues: Callable[[], list[str]]
) -> None:
    """SIGTERM on every pool that serves broadcasts."""
    worker = await fleet.start(*pool, FLEET_BROADCAST="1")
    await until(lambda: len(queues()) == 1)
    worker.send(signal.SIGTERM)
    assert await worker.ended() == 0
    assert queues() == []


def publish_in_child(bus: CeleryEventBus) -> None:
    bus.publish_sync(Event("happened"))
    bus.close()


async def test_a_forked_child_neither_makes_nor_deletes_one(
    make_bus: MakeBus, queues: Callable[[], list[str]]
) -> None:
    """It publishes to its parent, which goes on serving."""
    bus = make_bus()
    heard = hear(bus)
    async with bus:
        await bus.publish(Event("happened"))
        await bus.join(PATIENCE)
        (queue,) = queues()
        child = multiprocessing.get_context("fork").Process(target=publish_in_child, args=(bus,))
        child.start()
        await asyncio.to_thread(child.join, PATIENCE)
        assert child.exitcode == 0
        await until(lambda: len(heard) == 2, what="the child's event")
        assert queues() == [queue]
