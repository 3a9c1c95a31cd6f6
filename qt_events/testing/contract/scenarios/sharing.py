"""Broadcast against shared, one member and several."""

from typing import Any

from qt_events.bus import EventBus
from qt_events.events.event import Event
from qt_events.testing.contract.feature import Feature
from qt_events.testing.contract.recorder import record
from qt_events.testing.contract.scenario import Scenario
from qt_events.testing.contract.scenario_run import ScenarioRun


async def hear_as_one(event: Event[Any]) -> None:
    record("alone.shared", event)


async def hear_as_all(event: Event[Any]) -> None:
    record("alone.broadcast", event)


class OneMember(Scenario):
    """A shared and a broadcast subscription of one process each get every event once."""

    needs = Feature.BROADCAST

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("alone.happened", hear_as_one, name="alone.shared")
        bus.subscribe("alone.happened", hear_as_all, name="alone.broadcast", broadcast=True)

    async def check(self, run: ScenarioRun) -> None:
        ids = [(await run.publish("alone.happened", n=n)).id for n in range(5)]
        for name in ("alone.shared", "alone.broadcast"):
            assert [call.event_id for call in await run.called(name, 5)] == ids


async def share(event: Event[Any]) -> None:
    record("fleet.shared", event)


async def hear_everywhere(event: Event[Any]) -> None:
    record("fleet.broadcast", event)


class SeveralMembers(Scenario):
    """One member gets each event of a shared subscription, all get those of a broadcast one."""

    needs = Feature.FLEET | Feature.BROADCAST
    members = 2

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("fleet.happened", share, name="fleet.shared")
        bus.subscribe("fleet.happened", hear_everywhere, name="fleet.broadcast", broadcast=True)

    async def check(self, run: ScenarioRun) -> None:
        ids = [(await run.publish("fleet.happened", n=n)).id for n in range(10)]
        everywhere = await run.called("fleet.broadcast", 20)
        shared = await run.called("fleet.shared", 10)
        assert sorted(call.event_id for call in everywhere) == sorted(ids + ids)
        assert sorted(call.event_id for call in shared) == sorted(ids)
