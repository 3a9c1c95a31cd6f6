"""The faults of the soak. Each strikes a scene, and returns when what it broke is whole again."""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress

from qt_events.testing.broker import PrivateBroker
from qt_events.testing.cluster import PrivateCluster
from qt_events.testing.ledger import Load
from tests.soak.fleet import HEARTBEAT, IN_FLIGHT, Scene
from tests.soak.removed import leave_retries_behind
from tests.support.faketime import installed_faketime

_BACKLOG = 5_000  # events

Fault = Callable[[Scene], Awaitable[None]]


async def worker_killed(scene: Scene) -> None:
    """SIGKILL, in the middle of handlers."""
    scene.some_worker().send(signal.SIGKILL)
    await scene.all_ready()


async def prefork_child_killed(scene: Scene) -> None:
    """Only the process that handles."""
    while (child := scene.some_child()) is None:  # noqa: ASYNC110  # processes
        await asyncio.sleep(0.05)
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)


async def worker_and_children_killed_at_once(scene: Scene) -> None:
    """As when memory runs out."""
    scene.rig.kill(scene.some_worker())
    await scene.all_ready()


async def rolling_restart(scene: Scene) -> None:
    """SIGTERM to one after the other, once the one before is back."""
    for worker in tuple(scene.workers):
        worker.send(signal.SIGTERM)
        await worker.ended(60)
        await scene.all_ready()


async def worker_killed_after_sigterm(scene: Scene) -> None:
    """Before it has finished what it holds."""
    worker = scene.some_worker()
    worker.send(signal.SIGTERM)
    await asyncio.sleep(random.uniform(0, 0.3))
    scene.rig.kill(worker)
    await scene.all_ready()


async def poison_published(scene: Scene) -> None:
    """It ends every process that handles it, seven times."""
    await scene.publish_poison()
    await scene.load.more(200)
    await scene.all_ready()


# The broker


async def broker_killed(scene: Scene) -> None:
    """SIGKILL, and started again."""
    broker = _single(scene)
    await asyncio.to_thread(broker.kill)
    await asyncio.sleep(random.uniform(0, 2))
    await asyncio.to_thread(broker.restart)


async def broker_away_for_longer_than_the_timeout(scene: Scene) -> None:
    """Publishers are told so, by name; then it comes back."""
    broker, failed = _single(scene), scene.load.failed
    await asyncio.to_thread(broker.kill)
    while scene.load.failed < failed + IN_FLIGHT:  # noqa: ASYNC110  # the load has no such event
        await asyncio.sleep(0.1)
    await asyncio.to_thread(broker.restart)


async def broker_restarted(scene: Scene) -> None:
    """In good order."""
    await asyncio.to_thread(_single(scene).restart)


async def broker_silent(scene: Scene) -> None:
    """SIGSTOP for longer than the heartbeat: connections stay open, and nobody answers."""
    broker = _single(scene)
    await asyncio.to_thread(broker.suspend)
    await asyncio.sleep(3 * HEARTBEAT)
    await asyncio.to_thread(broker.resume)


async def connections_closed(scene: Scene) -> None:
    """By an operator."""
    await asyncio.to_thread(scene.broker.management.close_connections)


async def memory_alarm(scene: Scene) -> None:
    """The broker takes no publishes for a while."""
    await asyncio.to_thread(_single(scene).block)
    await asyncio.sleep(5)
    await asyncio.to_thread(_single(scene).unblock)


async def disk_alarm(scene: Scene) -> None:
    """The same, for want of room on the disk."""
    broker = _single(scene)
    await asyncio.to_thread(broker.rabbitmqctl, "set_disk_free_limit", "1000000000000000")
    await asyncio.sleep(5)
    await asyncio.to_thread(broker.rabbitmqctl, "set_disk_free_limit", "10000000")


# What waits, and time


async def retries_wait_for_a_removed_subscription(scene: Scene) -> None:
    """They end in qt.lost, all of them."""
    await leave_retries_behind(scene.rig)


async def nothing_published(scene: Scene) -> None:
    """For longer than two heartbeats; what then comes at once is a backlog."""
    scene.load.hold()
    await asyncio.sleep(2 * HEARTBEAT + 1)
    scene.load.go_on()
    await scene.load.more(200)


async def backlog(scene: Scene) -> None:
    """Far more than the fleet can handle, in a few seconds."""
    async with Load(scene.load.bus, scene.rig.ledger, in_flight=200) as load:
        await load.reaches(_BACKLOG, timeout=600)


async def wall_clock_jumped(scene: Scene) -> None:
    """A worker's: a day back, a day on, and right again."""
    assert scene.clock is not None
    for jump in ("-1d", "+1d", "+0d"):
        scene.clock.jump(jump)
        await scene.load.more(200)


# The network


async def connections_reset(scene: Scene) -> None:
    """Some of the publisher's, the workers', or both."""
    for proxy in scene.some_proxies():
        await asyncio.to_thread(proxy.reset)


async def frame_cut_in_half(scene: Scene) -> None:
    """And the connection reset."""
    for proxy in scene.some_proxies():
        await asyncio.to_thread(proxy.cut)
    await scene.load.more(50)
    for proxy in scene.proxies:
        await asyncio.to_thread(proxy.heal)


async def black_hole(scene: Scene) -> None:
    """For longer than the heartbeat: nothing comes through, and nobody says so."""
    await _with_bad_network(scene, "black_hole", seconds=3 * HEARTBEAT)


async def two_hundred_ms_added(scene: Scene) -> None:
    """Each way."""
    await _with_bad_network(scene, "delay", 0.2, seconds=5)


async def _with_bad_network(scene: Scene, what: str, *arguments: float, seconds: float) -> None:
    proxies = scene.some_proxies()
    for proxy in proxies:
        await asyncio.to_thread(getattr(proxy, what), *arguments)
    await asyncio.sleep(seconds)
    for proxy in proxies:
        await asyncio.to_thread(proxy.heal)


# A cluster


async def leader_killed(scene: Scene) -> None:
    """The node that leads the queue of a subscription; started again, and in step, before the next fault."""
    cluster = _cluster(scene)
    node = await asyncio.to_thread(cluster.leader, "qt.sub.on_loop")
    await asyncio.to_thread(node.kill)
    await scene.load.more(200)
    await asyncio.to_thread(node.restart)
    await asyncio.to_thread(cluster.wait_until_whole)


def _single(scene: Scene) -> PrivateBroker:
    assert isinstance(scene.broker, PrivateBroker)
    return scene.broker


def _cluster(scene: Scene) -> PrivateCluster:
    assert isinstance(scene.broker, PrivateCluster)
    return scene.broker


OF_WORKERS: tuple[Fault, ...] = (
    worker_killed,
    prefork_child_killed,
    worker_and_children_killed_at_once,
    worker_killed_after_sigterm,
    rolling_restart,
    poison_published,
    connections_closed,
)
OF_ONE_NODE: tuple[Fault, ...] = (
    *OF_WORKERS,
    broker_killed,
    broker_away_for_longer_than_the_timeout,
    broker_restarted,
    broker_silent,
    retries_wait_for_a_removed_subscription,
    nothing_published,
    backlog,
    *([wall_clock_jumped] if installed_faketime() else []),
    memory_alarm,
    disk_alarm,
    connections_reset,
    frame_cut_in_half,
    black_hole,
    two_hundred_ms_added,
)
OF_A_CLUSTER: tuple[Fault, ...] = (*OF_WORKERS, *[leader_killed] * 3)  # nothing else is a cluster's own


def name_of(fault: Fault) -> str:
    """In the ledger."""
    return fault.__name__.replace("_", " ")


#: Those that there are, whatever is installed.
NAMES = {*map(name_of, (*OF_ONE_NODE, *OF_A_CLUSTER, wall_clock_jumped))}
