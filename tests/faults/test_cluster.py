"""A cluster of three nodes loses one under load, again and again: nothing is lost.

Publishing goes on by itself.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from qt_events.delivery.retry import NO_RETRY
from qt_events.events.event import Event
from qt_events.testing.broker.node import Node
from qt_events.testing.cluster import PrivateCluster
from qt_events.testing.ledger import Load
from tests.faults.rig import PREFETCH, Rig, running
from tests.integration.test_private_broker import listens, processes_of, until
from tests.support.waiting import until_told

QUEUE = "qt.sub.on_loop"
IN_FLIGHT = 20
# Events a second: each of them is written by three nodes for three subscriptions.
RATE = 25

# Nodes start several times
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def cluster() -> Iterator[PrivateCluster]:
    """Start three nodes; each test kills one at a time, and leaves all whole.

    The end leaves no process behind.
    """
    with PrivateCluster(startup_timeout=60) as cluster:
        yield cluster
    until(lambda: not any(processes_of(Path(node.name)) for node in cluster.nodes))


@pytest.fixture
def vhost(cluster: PrivateCluster) -> Iterator[str]:
    """Return the name of a vhost of this test's own."""
    name = f"qt-test-{uuid4().hex}"
    cluster.management.create_vhost(name)
    yield name
    cluster.management.delete_vhost(name)


@pytest.fixture
def rig(
    cluster: PrivateCluster, vhost: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Rig]:
    """Open workers, buses and a ledger there; all of them know all nodes."""
    opened = Rig(cluster.url_from(cluster.nodes[0], vhost), tmp_path)
    yield opened
    opened.close()
    account = opened.ledger.account(opened.subscriptions)
    request.node.user_properties.append(
        ("ledger", {**account.as_dict(), "figures": opened.figures})
    )


async def test_two_leaders_killed_one_after_the_other_lose_nothing(
    cluster: PrivateCluster, vhost: str, rig: Rig
) -> None:
    """The other nodes elect a leader each time, and no publish fails."""
    await asyncio.gather(rig.worker(), rig.worker())
    async with Load(rig.bus(), rig.ledger, in_flight=IN_FLIGHT, rate=RATE) as load:
        await load.more(RATE)
        first = await asyncio.to_thread(cluster.leader, QUEUE, vhost)
        await killed(cluster, first, rig, load, "leader killed")
        second = await asyncio.to_thread(cluster.leader, QUEUE, vhost)
        await killed(cluster, second, rig, load, "next leader killed")
    assert second is not first
    await nothing_is_lost(rig, load, nodes=2, workers=2)
    ours = [queue for queue in cluster.management.queues(vhost) if queue["name"].startswith("qt.")]
    # Nobody has to ask for them
    assert {len(queue["members"]) for queue in ours} == {3}


async def test_a_follower_killed_with_all_its_connections_loses_nothing(
    cluster: PrivateCluster, vhost: str, rig: Rig
) -> None:
    """Clients of a node that leads no queue find another one."""
    leader, follower, _ = cluster.nodes
    # Queues are led where they were declared.
    await rig.end(await rig.worker(url=cluster.url_from(leader, vhost)))
    near = cluster.url_from(follower, vhost)
    await rig.worker(url=near)
    async with Load(rig.bus(near), rig.ledger, in_flight=IN_FLIGHT, rate=RATE) as load:
        await load.more(RATE)
        here = {follower.name}
        await until_told(
            lambda: {each["node"] for each in cluster.management.connections(vhost)} == here,
            what="all there",
        )
        assert await asyncio.to_thread(cluster.leader, QUEUE, vhost) is leader
        await killed(cluster, follower, rig, load, "follower killed")
    await nothing_is_lost(rig, load, nodes=1, workers=1)
    assert await asyncio.to_thread(cluster.leader, QUEUE, vhost) is leader


async def test_a_first_dead_letter_has_its_queue_while_a_node_is_away(
    cluster: PrivateCluster, vhost: str, rig: Rig
) -> None:
    """The node that led its subscription's queue. Two of three make another one."""
    bus = rig.bus()
    bus.subscribe("happened", failing, name="guard", retry=NO_RETRY)
    async with running(bus):
        await bus.declarations.made()
        await asyncio.to_thread(cluster.settle)
        leader = await asyncio.to_thread(cluster.leader, "qt.sub.guard", vhost)
        leader.kill()
        event = Event("happened")
        await bus.publish(event)
        async with asyncio.timeout(90):
            while not (letters := await bus.dead_letters.list("guard")):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        await asyncio.to_thread(leader.restart)
        await asyncio.to_thread(cluster.wait_until_whole)
    assert [each.event_id for each in letters] == [event.id]


async def failing(_: Event[Any]) -> None:
    message = "it never works"
    raise OSError(message)


async def killed(cluster: PrivateCluster, node: Node, rig: Rig, load: Load, fault: str) -> None:
    """Kill a node under load; return when it is back, and more was confirmed."""
    await asyncio.to_thread(cluster.settle)
    await load.more(RATE)
    rig.ledger.fault(fault)
    node.kill()
    assert not listens(urlsplit(node.url).port or 0)
    await load.more(2 * RATE)
    await asyncio.to_thread(node.restart)
    await asyncio.to_thread(cluster.wait_until_whole)
    await load.more(RATE)


async def nothing_is_lost(rig: Rig, load: Load, nodes: int, workers: int) -> None:
    """Check that only deliveries came twice that were in flight when a node was killed."""
    rig.figures["longest publish"] = f"{load.longest:.1f} s"
    account = await rig.account()
    in_flight = (PREFETCH * workers + IN_FLIGHT) * len(rig.subscriptions)
    account.verify(duplicates=nodes * in_flight)
    assert load.failed == 0
