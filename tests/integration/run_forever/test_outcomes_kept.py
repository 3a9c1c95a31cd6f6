"""Outcomes that take long to store: a handler that has ended is not called again for them.

What keeps them from being stored is an alarm of the broker: it takes no publish.
"""

import asyncio
from time import monotonic
from typing import Any

import pytest

from qt_events.delivery.retry import NO_RETRY
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.shutdown import State
from qt_events.testing.broker import PrivateBroker
from tests.integration.run_forever.hosting import buried, publish, running
from tests.integration.run_forever.unstored import Failing
from tests.support.buses import MakeBus
from tests.support.channels import depth
from tests.support.waiting import until, until_told


class Scene:
    """A bus whose handler failed, and its outcome, which the broker does not take."""

    def __init__(self, broker: PrivateBroker, bus: CeleryEventBus) -> None:
        self.broker, self.bus = broker, bus
        self._gate = asyncio.Event()
        self.handler = Failing(self._gate)
        bus.subscribe("happened", self.handler, name="guard", retry=NO_RETRY)

    async def begin(self) -> None:
        """Have the handler fail while there is an alarm."""
        await publish(self.bus)
        await until(lambda: self.handler.calls)
        await asyncio.to_thread(self.broker.block)
        self._gate.set()
        await self.waiting()

    async def begin_without_a_connection(self, vhost: str) -> None:
        """Have the handler fail while its connection is lost."""
        await publish(self.bus)
        await until(lambda: self.handler.calls)
        await asyncio.to_thread(self.broker.block)
        consumer: Any = self.bus.serving.consumer
        before = consumer.restart_count
        losing = asyncio.create_task(self.lose_connections(vhost))
        # It may be back before anybody sees that it was away.
        await until(lambda: not consumer.pool.serving or consumer.restart_count > before)
        self._gate.set()
        await losing
        await self.waiting()

    async def waiting(self, seconds: float = 0) -> None:
        """Return when the outcome has waited for so long."""
        await until(lambda: self.bus.get_stats()["waiting"].get("alarm") == 1)
        since = monotonic()
        await until(lambda: monotonic() - since > seconds)

    async def lose_connections(self, vhost: str) -> None:
        """Close the connections of the worker and its publisher, return when it serves again."""
        consumer: Any = self.bus.serving.consumer
        before = consumer.restart_count
        management = self.broker.management
        # One that looks whether anybody listens to fates may come beside them.
        await until_told(lambda: len(management.connections(vhost)) >= 2)
        await asyncio.to_thread(management.close_connections, vhost)
        await until(lambda: consumer.restart_count > before and consumer.pool.serving)

    async def end_alarm(self) -> None:
        await asyncio.to_thread(self.broker.unblock)


@pytest.fixture
def scene(harmed: PrivateBroker, node_url: str, make_bus: MakeBus) -> Scene:
    return Scene(harmed, make_bus(node_url, grace=60))


async def test_a_broker_that_takes_nothing_for_longer_than_the_timeout(
    harmed: PrivateBroker, node_url: str, make_bus: MakeBus
) -> None:
    """What holds for whoever publishes an event does not end an outcome."""
    scene, patient = Scene(harmed, make_bus(node_url, publish_timeout=10)), make_bus(node_url)
    patient.subscribe("happened", scene.handler, name="guard", retry=NO_RETRY)
    async with running(scene.bus):
        await scene.begin()
        await scene.waiting(10)
        await scene.end_alarm()
        await buried(patient, 1)
    assert scene.handler.calls == 1


async def test_a_connection_lost_while_it_is_stored(scene: Scene, node_url: str) -> None:
    """Again and again: the outcome is stored when the event comes again."""
    async with running(scene.bus):
        await scene.begin()
        for _ in range(2):
            await scene.lose_connections(node_url.rpartition("/")[2])
            await scene.waiting()
        await scene.end_alarm()
        await buried(scene.bus, 1)
        await until_told(lambda: not scene.bus.serving.held and not depth(node_url, "qt.sub.guard"))
        stats = scene.bus.get_stats()
    assert (scene.handler.calls, stats["dead_letters"]) == (1, 1)


async def test_it_is_stored_within_the_grace_of_a_stop(scene: Scene, node_url: str) -> None:
    """An outcome from before the connection was lost is waited for, too."""
    async with running(scene.bus):
        await scene.begin_without_a_connection(node_url.rpartition("/")[2])
        assert scene.bus.serving.held == 1
        scene.bus.stop()
        await until(lambda: scene.bus.serving.shutdown.state is State.FINISHING)
        await scene.end_alarm()
    assert len(await buried(scene.bus, 1)) == 1
    assert scene.handler.calls == 1


async def test_it_is_kept_when_its_connection_is_lost_again(scene: Scene, node_url: str) -> None:
    """While what a former connection left is being stored."""
    vhost = node_url.rpartition("/")[2]
    async with running(scene.bus):
        await scene.begin_without_a_connection(vhost)
        for _ in range(2):
            await scene.lose_connections(vhost)
            await scene.waiting()
        await scene.end_alarm()
        assert len(await buried(scene.bus, 1)) == 1
        await until_told(lambda: not scene.bus.serving.held and not depth(node_url, "qt.sub.guard"))
    assert scene.handler.calls == 1


async def test_the_next_run_of_the_same_process_stores_it(
    harmed: PrivateBroker, node_url: str, make_bus: MakeBus
) -> None:
    """Where the grace was too short."""
    scene = Scene(harmed, make_bus(node_url, grace=0.1))
    async with running(scene.bus):
        await scene.begin()
    await scene.end_alarm()
    async with running(scene.bus):
        await buried(scene.bus, 1)
    assert scene.handler.calls == 1
