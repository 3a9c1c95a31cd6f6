"""Predicates."""

from typing import Any

from qt_events.bus import EventBus
from qt_events.delivery.retry import RetryPolicy
from qt_events.events.event import Event
from qt_events.testing.contract.recorder import hear, nth_call
from qt_events.testing.contract.scenario import Scenario, ScenarioRun


def is_large(event: Event[Any]) -> bool:
    return bool(event.payload["n"] > 2)


class Predicates(Scenario):
    """A handler gets only the events for which its predicate is true.

    The others are done with, not failed.
    """

    def subscribe(self, bus: EventBus) -> None:
        hear(bus, "filtered.happened", "filtered.large", when=is_large)
        hear(bus, "filtered.happened", "filtered.each")

    async def check(self, run: ScenarioRun) -> None:
        one, three, two, four = [await run.publish("filtered.happened", n=n) for n in (1, 3, 2, 4)]
        await run.heard("filtered.each", [one, three, two, four])
        await run.heard("filtered.large", [three, four])
        assert await run.bus.dead_letters.list("filtered.large") == []


def break_at_first(event: Event[Any]) -> bool:
    if nth_call("raising.predicate", event) < event.payload["good_at"]:
        raise LookupError("no such field")
    return True


class RaisingPredicates(Scenario):
    """A predicate that raises is a failed attempt: tried again, and at last a dead letter."""

    def subscribe(self, bus: EventBus) -> None:
        retry = RetryPolicy(max_attempts=2, initial=0.1, jitter=0)
        hear(bus, "raising.happened", "raising.sub", when=break_at_first, retry=retry)

    async def check(self, run: ScenarioRun) -> None:
        never = await run.publish("raising.happened", good_at=9)
        [letter] = await run.dead("raising.sub")
        assert (letter.event_id, letter.attempts) == (never.id, 2)
        assert letter.exception_type == "LookupError"
        second = await run.publish("raising.happened", good_at=2)
        await run.called("raising.sub", event=second)
        assert run.calls("raising.sub", never) == []
