"""Order and concurrency."""

import asyncio
from typing import Any

from qt_events.bus import EventBus
from qt_events.events.event import Event
from qt_events.testing.contract.feature import Feature
from qt_events.testing.contract.recorder import passed, record
from qt_events.testing.contract.scenario import Scenario
from qt_events.testing.contract.scenario_run import ScenarioRun


async def one_at_a_time(event: Event[Any]) -> None:
    record("ordered.began", event)
    for _ in range(event.payload["n"] % 3):  # some take longer than the next ones
        await asyncio.sleep(0.001)
    record("ordered.ended", event)


class Order(Scenario):
    """Events of a subscription with concurrency 1 are handled in publish order, one at a time."""

    needs = Feature.ORDER

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("ordered.happened", one_at_a_time, name="ordered")

    async def check(self, run: ScenarioRun) -> None:
        for n in range(40):
            await run.publish("ordered.happened", n=n)
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
        bus.subscribe("overlapping.fence", several_at_a_time, name="overlapping")

    async def check(self, run: ScenarioRun) -> None:
        for n in range(7):
            await run.publish("overlapping.happened", n=n)
        began = await run.called("overlapping.began", 3)
        run.open("overlapping.go")
        ended = await run.called("overlapping.ended", 7)
        assert sorted(call.payload["n"] for call in began) == [0, 1, 2]
        moments = [(call.at, 1) for call in run.calls("overlapping.began")] + [
            (call.at, -1) for call in ended
        ]
        assert max(_running(sorted(moments))) == 3


def _running(moments: list[tuple[float, int]]) -> list[int]:
    count, counts = 0, []
    for _, change in moments:
        count += change
        counts.append(count)
    return counts


async def be_held(event: Event[Any]) -> None:
    await passed("held_up.go")
    record("held_up.slow", event)


async def be_quick(event: Event[Any]) -> None:
    record("held_up.quick", event)


class SlowHoldsUpNobody(Scenario):
    """A handler that waits holds up no other handler of events of the same type."""

    needs = Feature.SIDE_BY_SIDE | Feature.CONCURRENCY | Feature.ORDER

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("held_up.happened", be_held, name="held_up.slow")
        bus.subscribe("held_up.happened", be_quick, name="held_up.quick")

    async def check(self, run: ScenarioRun) -> None:
        for n in range(20):
            await run.publish("held_up.happened", n=n)
        await run.called("held_up.quick", 20)
        assert run.calls("held_up.slow") == []
        run.open("held_up.go")
        calls = await run.called("held_up.slow", 20)
        assert [call.payload["n"] for call in calls] == list(range(20))
