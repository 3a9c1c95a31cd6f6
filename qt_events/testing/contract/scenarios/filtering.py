"""Predicates."""

from typing import Any

from qt_events.bus import EventBus
from qt_events.delivery.retry import RetryPolicy
from qt_events.events.event import Event
from qt_events.testing.contract.recorder import nth_call, record
from qt_events.testing.contract.scenario import Scenario
from qt_events.testing.contract.scenario_run import ScenarioRun


def is_large(event: Event[Any]) -> bool:
    return bool(event.payload["n"] > 2)


async def hear_large(event: Event[Any]) -> None:
    record("filtered.large", event)


async def hear_each(event: Event[Any]) -> None:
    record("filtered.each", event)


class Predicates(Scenario):
    """A handler gets only the events for which its predicate is true.

    The others are done with, not failed.
    """

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("filtered.happened", hear_large, name="filtered.large", when=is_large)
        bus.subscribe("filtered.happened", hear_each, name="filtered.each")

    async def check(self, run: ScenarioRun) -> None:
        for n in (1, 3, 2, 4):
            await run.publish("filtered.happened", n=n)
        assert run.in_turn(call.payload["n"] for call in await run.called("filtered.large", 2)) == [
            3,
            4,
        ]
        calls = await run.called("filtered.each", 4)
        assert run.in_turn(call.payload["n"] for call in calls) == run.in_turn([1, 3, 2, 4])
        assert await run.bus.dead_letters.list("filtered.large") == []


def break_at_first(event: Event[Any]) -> bool:
    if nth_call("raising.predicate", event) < event.payload["good_at"]:
        message = "no such field"
        raise LookupError(message)
    return True


async def hear_after_predicate(event: Event[Any]) -> None:
    record("raising.handler", event)


class RaisingPredicates(Scenario):
    """A predicate that raises is a failed attempt: tried again, and at last a dead letter."""

    def subscribe(self, bus: EventBus) -> None:
        retry = RetryPolicy(max_attempts=2, initial=0.1, jitter=0)
        bus.subscribe(
            "raising.happened",
            hear_after_predicate,
            name="raising.sub",
            when=break_at_first,
            retry=retry,
        )

    async def check(self, run: ScenarioRun) -> None:
        never = await run.publish("raising.happened", good_at=9)
        [letter] = await run.dead("raising.sub")
        assert (letter.event_id, letter.attempts, letter.exception_type) == (
            never.id,
            2,
            "LookupError",
        )
        second = await run.publish("raising.happened", good_at=2)
        await run.called("raising.handler", event=second)
        assert run.calls("raising.handler", never) == []
