"""Subscribing with `batch=`: again in another way, and what is refused."""

from typing import Any

import pytest

from qt_events.bus import EventBus
from qt_events.errors import DuplicateSubscriptionError, InvalidHandlerError, InvalidOptionError
from qt_events.events.event import Event
from qt_events.testing.contract.recorder import passed, record
from qt_events.testing.contract.scenario import Feature, Scenario, ScenarioRun
from qt_events.testing.contract.scenarios.batching.recording import record_all


async def take_many(events: list[Event[Any]]) -> None:
    record_all("batches.many", events)


async def take_list_slowly(events: list[Event[Any]]) -> None:
    record_all("batches.list", events)
    await passed("batches.list.go")


async def take_one_slowly(event: Event[Any]) -> None:
    record("batches.one", event)
    await passed("batches.one.go")


class SubscribingAgainInAnotherWay(Scenario):
    """A name that is subscribed again gets lists, or single events, as its new handler takes them.

    That the handler before it still runs changes nothing.
    """

    needs = Feature.BATCHES | Feature.LOCAL | Feature.BACKGROUND

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("changed.happened", take_list_slowly, name="batches.changed", batch=2)

    async def check(self, run: ScenarioRun) -> None:
        first = await run.publish("changed.happened")
        await run.called("batches.list", event=first)
        run.bus.unsubscribe("changed.happened", take_list_slowly)
        run.bus.subscribe("changed.happened", take_one_slowly, name="batches.changed")
        second = await run.publish("changed.happened")
        await run.called("batches.one", event=second)
        run.open("batches.list.go")
        run.bus.unsubscribe("changed.happened", take_one_slowly)
        run.bus.subscribe("changed.happened", take_list_slowly, name="batches.changed", batch=2)
        third = await run.publish("changed.happened")
        await run.called("batches.list", event=third)
        run.open("batches.one.go")
        await run.bus.join(20)
        assert [call.event_id for call in run.calls("batches.list")] == [first.id, third.id]
        assert [call.event_id for call in run.calls("batches.one")] == [second.id]


async def take_anything(events: Any) -> None:
    record_all("batches.anything", events)


async def take_alone(event: Event[Any]) -> None:
    record("batches.alone", event)


class RefusedBatches(Scenario):
    """Impossible numbers, and handlers annotated for one event, are refused."""

    needs = Feature.BATCHES | Feature.LOCAL

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("refusing.happened", take_many, name="batches.refusing", batch=4)

    async def check(self, run: ScenarioRun) -> None:
        def subscribe(handler: Any = take_anything, **options: Any) -> None:
            run.bus.subscribe("refusing.happened", handler, name="batches.refused", **options)

        for options, word in (
            ({"batch": 0}, "batch"),
            ({"batch": True}, "batch"),
            ({"batch": 2.5}, "batch"),
            ({"batch": 10_001}, "batch"),
            ({"batch": 4, "within": -0.1}, "within"),
            ({"batch": 4, "within": 61}, "within"),
            ({"batch": 4, "within": float("nan")}, "within"),
            ({"within": 1}, "give batch="),
            ({"batch": 4, "prefetch": 3}, "never 4 events"),
            ({"batch": 4, "concurrency": 3, "prefetch": 11}, "never 12 events"),
        ):
            with pytest.raises(InvalidOptionError, match=word):
                subscribe(**options)
        with pytest.raises(InvalidHandlerError, match=r"list\[Event\]"):
            subscribe(take_alone, batch=4)
        with pytest.raises(InvalidHandlerError, match="give batch="):
            subscribe(take_many)
        with pytest.raises(DuplicateSubscriptionError, match="batch"):
            run.bus.subscribe("refusing.too", take_many, name="batches.refusing", batch=5)
        await run.publish("refusing.happened", n=0)
        await run.called("batches.many")
