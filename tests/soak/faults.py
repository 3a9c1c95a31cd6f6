"""Faults of the soak. Each strikes a fleet, and returns when everything is whole again."""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress

from qt_events.testing.broker import PrivateBroker
from qt_events.testing.cluster import PrivateCluster
from qt_events.testing.ledger import Load
from tests.soak.fleet import HEARTBEAT, IN_FLIGHT, SoakFleet
from tests.soak.removed import leave_retries_behind
from tests.support.faketime import installed_faketime

_BACKLOG = 5_000  # events

Fault = Callable[[SoakFleet], Awaitable[None]]


async def worker_killed(fleet: SoakFleet) -> None:
    """SIGKILL a worker in the middle of handlers."""
    fleet.some_worker().send(signal.SIGKILL)
    await fleet.all_ready()


async def prefork_child_killed(fleet: SoakFleet) -> None:
    """SIGKILL only the process that handles."""
    while (child := fleet.some_child()) is None:  # noqa: ASYNC110  # processes
        await asyncio.sleep(0.05)
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)


async def worker_and_children_killed_at_once(fleet: SoakFleet) -> None:
    """SIGKILL a worker with its children, as when memory runs out."""
    fleet.rig.kill(fleet.some_worker())
    await fleet.all_ready()


async def rolling_restart(fleet: SoakFleet) -> None:
    """SIGTERM one worker after the other, once the one before is back."""
    for worker in tuple(fleet.workers):
        worker.send(signal.SIGTERM)
        await worker.ended(60)
        await fleet.all_ready()


async def worker_killed_after_sigterm(fleet: SoakFleet) -> None:
    """SIGKILL a worker before it has finished what it holds."""
    worker = fleet.some_worker()
    worker.send(signal.SIGTERM)
    await asyncio.sleep(random.uniform(0, 0.3))
    fleet.rig.kill(worker)
    await fleet.all_ready()


async def poison_published(fleet: SoakFleet) -> None:
    """Publish an event that ends every process that handles it, seven times."""
    await fleet.publish_poison()
    await fleet.load.more(200)
    await fleet.all_ready()


# The broker


async def broker_killed(fleet: SoakFleet) -> None:
    """SIGKILL the broker, and start it again."""
    broker = _single(fleet)
    await asyncio.to_thread(broker.kill)
    await asyncio.sleep(random.uniform(0, 2))
    await asyncio.to_thread(broker.restart)


async def broker_away_for_longer_than_the_timeout(fleet: SoakFleet) -> None:
    """Keep the broker down until publishers are told so, by name."""
    broker, failed = _single(fleet), fleet.load.failed
    await asyncio.to_thread(broker.kill)
    while fleet.load.failed < failed + IN_FLIGHT:  # noqa: ASYNC110  # the load has no such event
        await asyncio.sleep(0.1)
    await asyncio.to_thread(broker.restart)


async def broker_restarted(fleet: SoakFleet) -> None:
    """Restart the broker in good order."""
    await asyncio.to_thread(_single(fleet).restart)


async def broker_silent(fleet: SoakFleet) -> None:
    """SIGSTOP the broker for longer than the heartbeat: connections stay, and nobody answers."""
    broker = _single(fleet)
    await asyncio.to_thread(broker.suspend)
    await asyncio.sleep(3 * HEARTBEAT)
    await asyncio.to_thread(broker.resume)


async def connections_closed(fleet: SoakFleet) -> None:
    """Close all connections, as an operator may."""
    await asyncio.to_thread(fleet.broker.management.close_connections)


async def memory_alarm(fleet: SoakFleet) -> None:
    """Let the broker take no publishes for a while."""
    await asyncio.to_thread(_single(fleet).block)
    await asyncio.sleep(5)
    await asyncio.to_thread(_single(fleet).unblock)


async def disk_alarm(fleet: SoakFleet) -> None:
    """Let it take none for want of room on the disk."""
    broker = _single(fleet)
    await asyncio.to_thread(broker.rabbitmqctl, "set_disk_free_limit", "1000000000000000")
    await asyncio.sleep(5)
    await asyncio.to_thread(broker.rabbitmqctl, "set_disk_free_limit", "10000000")


# What waits, and time


async def retries_wait_for_a_removed_subscription(fleet: SoakFleet) -> None:
    """Remove a subscription: all its retries end in qt.lost."""
    await leave_retries_behind(fleet.rig)


async def nothing_published(fleet: SoakFleet) -> None:
    """Publish nothing for two heartbeats; a backlog follows at once."""
    fleet.load.hold()
    await asyncio.sleep(2 * HEARTBEAT + 1)
    fleet.load.go_on()
    await fleet.load.more(200)


async def backlog(fleet: SoakFleet) -> None:
    """Publish far more than the fleet can handle, in a few seconds."""
    async with Load(fleet.load.bus, fleet.rig.ledger, in_flight=200) as load:
        await load.reaches(_BACKLOG, timeout=600)


async def wall_clock_jumped(fleet: SoakFleet) -> None:
    """Set a worker's clock a day back, a day on, and right again."""
    assert fleet.clock is not None
    for jump in ("-1d", "+1d", "+0d"):
        fleet.clock.jump(jump)
        await fleet.load.more(200)


# The network


async def connections_reset(fleet: SoakFleet) -> None:
    """Reset some connections of the publisher, the workers, or both."""
    for proxy in fleet.some_proxies():
        await asyncio.to_thread(proxy.reset)


async def frame_cut_in_half(fleet: SoakFleet) -> None:
    """Cut a frame in half and reset its connection."""
    for proxy in fleet.some_proxies():
        await asyncio.to_thread(proxy.cut)
    await fleet.load.more(50)
    for proxy in fleet.proxies:
        await asyncio.to_thread(proxy.heal)


async def black_hole(fleet: SoakFleet) -> None:
    """Let nothing come through for longer than the heartbeat."""
    await _with_bad_network(fleet, "black_hole", seconds=3 * HEARTBEAT)


async def two_hundred_ms_added(fleet: SoakFleet) -> None:
    """Add 200 ms each way."""
    await _with_bad_network(fleet, "delay", 0.2, seconds=5)


async def _with_bad_network(fleet: SoakFleet, what: str, *arguments: float, seconds: float) -> None:
    proxies = fleet.some_proxies()
    for proxy in proxies:
        await asyncio.to_thread(getattr(proxy, what), *arguments)
    await asyncio.sleep(seconds)
    for proxy in proxies:
        await asyncio.to_thread(proxy.heal)


# A cluster


async def leader_killed(fleet: SoakFleet) -> None:
    """Kill the node that leads a queue, and wait until it is in step again."""
    cluster = _cluster(fleet)
    node = await asyncio.to_thread(cluster.leader, "qt.sub.on_loop")
    await asyncio.to_thread(node.kill)
    await fleet.load.more(200)
    await asyncio.to_thread(node.restart)
    await asyncio.to_thread(cluster.wait_until_whole)


def _single(fleet: SoakFleet) -> PrivateBroker:
    assert isinstance(fleet.broker, PrivateBroker)
    return fleet.broker


def _cluster(fleet: SoakFleet) -> PrivateCluster:
    assert isinstance(fleet.broker, PrivateCluster)
    return fleet.broker


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
# Nothing else is a cluster's own.
OF_A_CLUSTER: tuple[Fault, ...] = (*OF_WORKERS, *[leader_killed] * 3)


def name_of(fault: Fault) -> str:
    """Return a fault's name in the ledger."""
    return fault.__name__.replace("_", " ")


#: Those that there are, whatever is installed.
NAMES = {*map(name_of, (*OF_ONE_NODE, *OF_A_CLUSTER, wall_clock_jumped))}
