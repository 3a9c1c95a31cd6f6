"""Workers that are killed under load: nothing is lost, and only what they held comes twice."""

import asyncio
import os
import signal

import pytest

from qt_events.testing.ledger import Load
from tests.faults.rig import HELD, PREFORK, PREFORK_HOLDS, Rig
from tests.support.fleet.fleet import StartedWorker, children
from tests.support.waiting import until

# Many processes share few cores
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def node_url(amqp_url: str) -> str:
    """Return a vhost of the broker that all tests share: it comes to no harm here."""
    return amqp_url


async def test_a_worker_killed_mid_handler_loses_nothing(rig: Rig) -> None:
    """Another worker handles what it held; only that comes twice."""
    first, _ = await asyncio.gather(*(rig.worker(LOAD_SECONDS=0.02) for _ in range(2)))
    async with Load(rig.bus(), rig.ledger, rate=300) as load:
        await load.more(400)
        strike(rig, first, "worker killed", HELD["asyncio"])
        await rig.worker(LOAD_SECONDS=0.02)
        await load.more(300)
    account = await rig.account()
    account.verify(duplicates=rig.figures["in flight"])
    assert not load.failed


async def test_a_killed_prefork_child_loses_nothing(rig: Rig) -> None:
    """The parent gives back the one event that the child had, and forks another; four times."""
    worker = await rig.worker(*PREFORK, LOAD_SECONDS=0.02)
    # More than two children can do
    async with Load(rig.bus(), rig.ledger, rate=60) as load:
        for _ in range(4):
            await load.more(30)
            await a_child_is_killed(rig, worker)
        await load.more(30)
    account = await rig.account()
    account.verify(duplicates=4)
    rig.figures["killed in a handler"] = worker.output.count(
        "Task handler raised error: WorkerLostError"
    )
    assert rig.figures["killed in a handler"] > 0
    assert worker.process.poll() is None
    assert not load.failed


async def test_a_prefork_worker_killed_with_its_children_loses_nothing(rig: Rig) -> None:
    """The OOM killer takes a container at once: nobody is left to give anything back."""
    first, _ = await asyncio.gather(*(rig.worker(*PREFORK, LOAD_SECONDS=0.02) for _ in range(2)))
    async with Load(rig.bus(), rig.ledger, rate=60) as load:
        await load.more(90)
        strike(rig, first, "worker and children killed", HELD["prefork"])
        await rig.worker(*PREFORK, LOAD_SECONDS=0.02)
        await load.more(60)
    account = await rig.account()
    account.verify(duplicates=rig.figures["in flight"])
    assert not load.failed


def strike(rig: Rig, worker: StartedWorker, fault: str, held: int) -> None:
    """Kill it and its children, while deliveries are owed."""
    rig.ledger.fault(fault)
    rig.figures["in flight"] = rig.in_flight(held)
    rig.kill(worker)
    rig.figures["owed when killed"] = rig.ledger.open(rig.subscriptions)
    assert rig.figures["owed when killed"] > 0


async def a_child_is_killed(rig: Rig, worker: StartedWorker) -> None:
    """Kill a child that has work in hand, and return when there is another in its stead."""
    await until(lambda: rig.ledger.open(rig.subscriptions) > PREFORK_HOLDS, what="both are at work")
    before = set(children(worker.process))
    rig.ledger.fault("prefork child killed")
    os.kill(min(before), signal.SIGKILL)
    await until(lambda: set(children(worker.process)) - before, what="another child is forked")
