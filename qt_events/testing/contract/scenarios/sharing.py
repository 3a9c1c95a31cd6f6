"""Broadcast against shared, one member and several."""

from qt_events.bus import EventBus
from qt_events.testing.contract.recorder import hear
from qt_events.testing.contract.scenario import Feature, Scenario, ScenarioRun


class OneMember(Scenario):
    """A shared and a broadcast subscription of one process each get every event once."""

    needs = Feature.BROADCAST

    def subscribe(self, bus: EventBus) -> None:
        hear(bus, "alone.happened", "alone.shared")
        hear(bus, "alone.happened", "alone.broadcast", broadcast=True)

    async def check(self, run: ScenarioRun) -> None:
        events = await run.publish_numbered("alone.happened", 5)
        for name in ("alone.shared", "alone.broadcast"):
            calls = await run.called(name, 5)
            assert [call.event_id for call in calls] == [event.id for event in events]


class SeveralMembers(Scenario):
    """One member gets each event of a shared subscription, all get those of a broadcast one."""

    needs = Feature.FLEET | Feature.BROADCAST
    members = 2

    def subscribe(self, bus: EventBus) -> None:
        hear(bus, "fleet.happened", "fleet.shared")
        hear(bus, "fleet.happened", "fleet.broadcast", broadcast=True)

    async def check(self, run: ScenarioRun) -> None:
        ids = [event.id for event in await run.publish_numbered("fleet.happened", 10)]
        everywhere = await run.called("fleet.broadcast", 20)
        shared = await run.called("fleet.shared", 10)
        assert sorted(call.event_id for call in everywhere) == sorted(ids + ids)
        assert sorted(call.event_id for call in shared) == sorted(ids)
