"""Order and concurrency; shared subscriptions and broadcast ones, one member and several."""

import asyncio
from itertools import accumulate
from typing import Any

from qt_events.bus import EventBus
from qt_events.events.event import Event
from qt_events.testing.contract.recorder import hear, passed, record, recording
from qt_events.testing.contract.scenario import Feature, Scenario, ScenarioRun

hear_fetched, hear_many = recording("fetched"), recording("fetched.many")


async def one_at_a_time(event: Event[Any]) -> None:
    record("ordered.began", event)
    # Some take longer than the next ones.
    for _ in range(event.payload["n"] % 3):
        await asyncio.sleep(0.001)
    record("ordered.ended", event)


class Order(Scenario):
    """Events of a subscription with concurrency 1 are handled in publish order, one at a time."""

    needs = Feature.ORDER

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("ordered.happened", one_at_a_time, name="ordered")

    async def check(self, run: ScenarioRun) -> None:
        await run.publish_numbered("ordered.happened", 40)
        ended = await run.called("ordered.ended", 40)
        began = run.calls("ordered.began")
        assert [call.payload["n"] for call in began] == list(range(40))
        assert [call.payload["n"] for call in ended] == list(range(40))
        assert all(end.at <= begin.at for end, begin in zip(ended, began[1:], strict=False))


async def several_at_a_time(event: Event[Any]) -> None:
    record("overlapping.began", event)
    await passed("overlapping.go")
    record("overlapping.ended", event)


class Concurrency(Scenario):
    """Three events of a subscription with concurrency 3 are handled at a time, never a fourth."""

    needs = Feature.CONCURRENCY

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("overlapping.happened", several_at_a_time, name="overlapping", concurrency=3)

    async def check(self, run: ScenarioRun) -> None:
        await run.publish_numbered("overlapping.happened", 7)
        began = await run.called("overlapping.began", 3)
        run.open("overlapping.go")
        ended = await run.called("overlapping.ended", 7)
        assert sorted(call.payload["n"] for call in began) == [0, 1, 2]
        moments = [(call.at, 1) for call in run.calls("overlapping.began")]
        moments += [(call.at, -1) for call in ended]
        assert max(accumulate(change for _, change in sorted(moments))) == 3


class Prefetch(Scenario):
    """A prefetch bounds what a process takes, not how much is handled, nor in which order."""

    needs = Feature.ORDER

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("fetched.happened", hear_fetched, name="fetched", prefetch=1)
        bus.subscribe("fetched.happened", hear_many, name="fetched.many", prefetch=50)

    async def check(self, run: ScenarioRun) -> None:
        await run.publish_numbered("fetched.happened", 60)
        for name in ("fetched", "fetched.many"):
            calls = await run.called(name, 60)
            assert [call.payload["n"] for call in calls] == list(range(60))


class SlowHoldsUpNobody(Scenario):
    """A handler that waits holds up no other handler of events of the same type."""

    needs = Feature.SIDE_BY_SIDE | Feature.CONCURRENCY | Feature.ORDER

    def subscribe(self, bus: EventBus) -> None:
        hear(bus, "held_up.happened", "held_up.slow", after="held_up.go")
        hear(bus, "held_up.happened", "held_up.quick")

    async def check(self, run: ScenarioRun) -> None:
        await run.publish_numbered("held_up.happened", 20)
        await run.called("held_up.quick", 20)
        assert run.calls("held_up.slow") == []
        run.open("held_up.go")
        calls = await run.called("held_up.slow", 20)
        assert [call.payload["n"] for call in calls] == list(range(20))


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
