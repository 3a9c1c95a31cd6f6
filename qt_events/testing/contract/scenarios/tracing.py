"""Correlation and causation."""

from typing import Any

from qt_events.bus import EventBus
from qt_events.events.event import Event
from qt_events.testing.contract.recorder import hear, record
from qt_events.testing.contract.scenario import Scenario, ScenarioRun, this_bus


async def publish_second(event: Event[Any]) -> None:
    record("chain.first", event)
    await this_bus().publish(Event("chain.second"))


def publish_third(event: Event[Any]) -> None:
    record("chain.second", event)
    this_bus().publish_sync(Event("chain.third"))


async def publish_foreign(event: Event[Any]) -> None:
    record("chain.third", event)
    await this_bus().publish(Event("chain.fourth", correlation_id="of-another-story"))


class Correlation(Scenario):
    """Events that a handler publishes inherit its event's correlation id and are caused by it.

    Async handlers use publish, sync ones publish_sync. An event that names its own story is left
    alone.
    """

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("chain.first", publish_second, name="chain.first")
        bus.subscribe("chain.second", publish_third, name="chain.second")
        bus.subscribe("chain.third", publish_foreign, name="chain.third")
        hear(bus, "chain.fourth", "chain.fourth")

    async def check(self, run: ScenarioRun) -> None:
        root = await run.publish("chain.first")
        [fourth] = await run.called("chain.fourth")
        [first], [second], [third] = (
            run.calls(f"chain.{word}") for word in ("first", "second", "third")
        )
        assert (first.event_id, first.correlation_id) == (root.id, root.id)
        assert first.causation_id is None
        assert (second.correlation_id, second.causation_id) == (root.id, root.id)
        assert (third.correlation_id, third.causation_id) == (root.id, second.event_id)
        assert fourth.correlation_id == "of-another-story"
        assert len({first.event_id, second.event_id, third.event_id, fourth.event_id}) == 4


class NoStory(Scenario):
    """Events published outside of handlers begin a story each."""

    def subscribe(self, bus: EventBus) -> None:
        hear(bus, "unrelated.happened", "unrelated.heard")

    async def check(self, run: ScenarioRun) -> None:
        events = await run.publish_numbered("unrelated.happened", 2)
        calls = await run.called("unrelated.heard", 2)
        stories = run.in_turn(call.correlation_id for call in calls)
        assert stories == run.in_turn(event.id for event in events)
        assert [call.causation_id for call in calls] == [None, None]
