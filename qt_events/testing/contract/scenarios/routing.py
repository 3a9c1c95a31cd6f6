"""Events and the subscriptions that hear them, by pattern and by predicate."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from qt_events.bus import EventBus
from qt_events.delivery.retry import RetryPolicy
from qt_events.errors import UnroutableError
from qt_events.events.event import Event
from qt_events.events.quantum_trader import PolicyUpdatedEvent, RiskMode
from qt_events.testing.contract.recorder import hear, nth_call, record, recording
from qt_events.testing.contract.scenario import Feature, Scenario, ScenarioRun


class TopicPatterns(Scenario):
    """`*` stands for exactly one word, `#` for none or more, also beside each other.

    A subscription hears what its pattern matches, no more.
    """

    def subscribe(self, bus: EventBus) -> None:
        hear(bus, "words.order.created", "routing.exact")
        hear(bus, "words.*.created", "routing.star")
        hear(bus, "words.#", "routing.hash")
        hear(bus, "words.#.created", "routing.ends")
        hear(bus, "words.#.#.#", "routing.hashes")
        hear(bus, "words.#.*", "routing.some")

    async def check(self, run: ScenarioRun) -> None:
        created, item, trade = "words.created", "words.order.item.created", "words.trade.created"
        # The last one reaches them all, after the others.
        last = "words.order.created"
        for event_type in ("words", created, item, "wordsx.order.created", trade, last):
            await run.publish(event_type)
        expected = {
            "routing.exact": [last],
            "routing.star": [trade, last],
            "routing.hash": ["words", created, item, trade, last],
            "routing.ends": [created, item, trade, last],
            "routing.hashes": ["words", created, item, trade, last],
            "routing.some": [created, item, trade, last],
        }
        for name, heard in expected.items():
            calls = await run.called(name, len(heard))
            assert run.in_turn(call.event_type for call in calls) == run.in_turn(heard), name


class EveryEvent(Scenario):
    """The pattern `#` hears every event."""

    alone = True

    def subscribe(self, bus: EventBus) -> None:
        hear(bus, "#", "routing.all")

    async def check(self, run: ScenarioRun) -> None:
        types = ("one", "one.two", "policy.checked.by.nobody")
        await run.heard("routing.all", [await run.publish(event_type) for event_type in types])


class TwoPatternsOneDelivery(Scenario):
    """The same handler on another pattern is the same subscription.

    An event that matches both patterns is delivered once.
    """

    def subscribe(self, bus: EventBus) -> None:
        handler = recording("routing.twice")
        first = bus.subscribe("twice.a", handler, name="routing.twice")
        second = bus.subscribe("twice.*", handler)
        assert first is second

    async def check(self, run: ScenarioRun) -> None:
        types = ("twice.a", "twice.b", "twice.a")
        await run.heard("routing.twice", [await run.publish(event_type) for event_type in types])


async def hear_policy(event: PolicyUpdatedEvent) -> None:
    record(
        "routing.typed",
        event,
        kind=type(event).__name__,
        mode=isinstance(event.payload.risk_mode, RiskMode),
        same=event.payload["risk_mode"] == "DEFENSIVE" == event.payload.risk_mode,
        time=event.timestamp.isoformat(),
        source=event.source,
    )


class TypedEvents(Scenario):
    """A typed event arrives as its own class, with a validated payload and its own envelope."""

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe(PolicyUpdatedEvent, hear_policy, name="routing.typed")

    async def check(self, run: ScenarioRun) -> None:
        event = PolicyUpdatedEvent.create(
            risk_mode=RiskMode.DEFENSIVE,
            allowed_strategies=["s1", "größe"],
            global_min_confidence=0.7,
            max_risk_per_trade=0.02,
            max_positions=5,
        )
        await run.bus.publish(event)
        [call] = await run.called("routing.typed")
        assert (call.event_id, call.event_type) == (event.id, "policy.updated")
        assert call.payload == {**event.payload, "risk_mode": "DEFENSIVE"}
        assert call.details == {
            "kind": "PolicyUpdatedEvent",
            "mode": True,
            "same": True,
            "time": event.timestamp.isoformat(),
            "source": "msc_ai",
        }


class Kept(logging.Handler):
    """Keeps the library's lines at INFO of this process."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    @contextmanager
    def listening(self) -> Iterator[list[str]]:
        """Return the lines that are logged inside the block."""
        logger = logging.getLogger("qt_events")
        level = logger.level
        logger.setLevel(logging.INFO)
        logger.addHandler(self)
        try:
            yield self.lines
        finally:
            logger.removeHandler(self)
            logger.setLevel(level)


class UnheardIsTold(Scenario):
    """The log tells of a type that nobody hears: once, at INFO, with what to do."""

    async def check(self, run: ScenarioRun) -> None:
        with Kept().listening() as lines:
            for _ in range(3):
                await run.publish("unheard.first")
            await run.publish("unheard.second")
            for number in range(300):
                await run.publish(f"unheard.number{number}")
            unheard = [line for line in lines if "unheard." in line]
        assert len([line for line in unheard if "unheard.first" in line]) == 1
        assert "mandatory=True" in unheard[0]
        assert "unheard.second" in unheard[1]
        assert len(unheard) <= 100
        assert run.bus.get_stats()["unroutable"] == 304


class Unroutable(Scenario):
    """An event without a subscription is counted, and is an error only if it is mandatory."""

    async def check(self, run: ScenarioRun) -> None:
        await run.publish("nobody.listens")
        await run.until(
            lambda: run.bus.get_stats()["unroutable"] == 1, "unroutable event in the statistics"
        )
        with pytest.raises(UnroutableError, match=r"nobody\.listens"):
            await run.bus.publish(Event("nobody.listens"), mandatory=True)
        counted = run.bus.get_stats()["by_type"]["nobody.listens"]
        assert counted == {"published": 2, "dispatched": 0, "errors": 0, "unroutable": 2}


class Mandatory(Scenario):
    """A mandatory event with a subscriber is an event like any other."""

    def subscribe(self, bus: EventBus) -> None:
        hear(bus, "mandatory.heard", "routing.mandatory")

    async def check(self, run: ScenarioRun) -> None:
        await run.bus.publish(Event("mandatory.heard"), mandatory=True)
        await run.called("routing.mandatory")


class SubscribingWhileRunning(Scenario):
    """A subscription made while the bus runs hears the very next event.

    One that was ended hears no more.
    """

    needs = Feature.LOCAL

    def subscribe(self, bus: EventBus) -> None:
        hear(bus, "live.#", "routing.on")

    async def check(self, run: ScenarioRun) -> None:
        late = recording("routing.late")
        await run.publish("live.before")
        run.bus.subscribe("live.*", late, name="routing.late")
        heard = await run.publish("live.within")
        await run.called("routing.late")
        run.bus.unsubscribe("live.*", late)
        await run.publish("live.after")
        await run.called("routing.on", 3)
        await run.bus.join(20)
        assert [call.event_id for call in run.calls("routing.late")] == [heard.id]


hear_one_of_two = recording("routing.left")


class UnsubscribingOnePattern(Scenario):
    """Unsubscribing one of two patterns leaves the other."""

    needs = Feature.LOCAL

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("left.a", hear_one_of_two, name="routing.left")
        bus.subscribe("left.b", hear_one_of_two)

    async def check(self, run: ScenarioRun) -> None:
        run.bus.unsubscribe("left.a", hear_one_of_two)
        await run.publish("left.a")
        await run.publish("left.b")
        await run.called("routing.left")
        await run.bus.join(20)
        assert [call.event_type for call in run.calls("routing.left")] == ["left.b"]


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
