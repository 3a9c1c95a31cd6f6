"""Mistakes are refused where they are made, and change nothing."""

import asyncio
from typing import Any

import pytest

from qt_events.bus import EventBus
from qt_events.errors import (
    BusStateError,
    DuplicateSubscriptionError,
    InvalidEventError,
    InvalidHandlerError,
    InvalidOptionError,
    InvalidPatternError,
    InvalidPayloadError,
    UnknownSubscriptionError,
)
from qt_events.events.event import Event
from qt_events.testing.contract.recorder import hear, record, recording
from qt_events.testing.contract.scenario import Feature, Scenario, ScenarioRun, this_bus

hear_good = recording("refused.good")
be_another = recording("refused.another")


async def take_two(event: Event[Any], more: object) -> None:
    record("refused.two", event, more=more)


class RefusedPublishes(Scenario):
    """A publish of no event, or of values that JSON cannot carry, is refused at once.

    The next event is served.
    """

    def subscribe(self, bus: EventBus) -> None:
        hear(bus, "refused.happened", "refused.good")

    async def check(self, run: ScenarioRun) -> None:
        nothing: Any = {"type": "refused.happened"}
        with pytest.raises(InvalidEventError):
            await run.bus.publish(nothing)
        with pytest.raises(InvalidPayloadError, match="payload"):
            Event("refused.happened", None, {"when": object()})
        with pytest.raises(BusStateError, match="publish_sync"):
            run.bus.publish_sync(Event("refused.happened"))
        event = await run.publish("refused.happened")
        assert [call.event_id for call in await run.called("refused.good")] == [event.id]


class RefusedSubscriptions(Scenario):
    """A taken name, a malformed pattern, an impossible handler or option is refused.

    The bus stays as it was.
    """

    needs = Feature.LOCAL

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("taken.happened", hear_good, name="refused.taken")

    async def check(self, run: ScenarioRun) -> None:
        bus, before = run.bus, run.bus.get_stats()
        with pytest.raises(DuplicateSubscriptionError, match=r"refused\.taken"):
            bus.subscribe("taken.happened", be_another, name="refused.taken")
        with pytest.raises(DuplicateSubscriptionError, match="concurrency"):
            bus.subscribe("taken.too", hear_good, name="refused.taken", concurrency=7)
        for pattern in ("", "a..b", ".a", "a.", "a.b*", 7):
            with pytest.raises(InvalidPatternError):
                bus.subscribe(pattern, be_another, name="refused.another")  # type: ignore[arg-type]
        for handler in (None, "be_another", take_two):
            with pytest.raises(InvalidHandlerError):
                bus.subscribe("taken.happened", handler, name="refused.another")  # type: ignore[arg-type]
        with pytest.raises(InvalidHandlerError, match="name"):
            bus.subscribe("taken.happened", be_another, name="not a name!")
        with pytest.raises(InvalidOptionError, match="concurrency"):
            bus.subscribe("taken.happened", be_another, name="refused.another", concurrency=0)
        for prefetch, concurrency in ((0, 1), (3, 4)):
            with pytest.raises(InvalidOptionError, match="prefetch"):
                bus.subscribe(
                    "taken.happened",
                    be_another,
                    name="refused.another",
                    prefetch=prefetch,
                    concurrency=concurrency,
                )
        with pytest.raises(DuplicateSubscriptionError, match="prefetch"):
            bus.subscribe("taken.too", hear_good, name="refused.taken", prefetch=7)
        for pattern, missing in (("taken.happened", be_another), ("taken.never", hear_good)):
            with pytest.raises(UnknownSubscriptionError):
                bus.unsubscribe(pattern, missing)
        assert bus.get_stats() == before
        await run.publish("taken.happened")
        await run.called("refused.good")


async def join_inside(event: Event[Any]) -> None:
    try:
        async with asyncio.timeout(5):
            await this_bus().join()
    except BusStateError as error:
        record("joining.inside", event, error=type(error).__name__)


class JoinInsideAHandler(Scenario):
    """join() inside a handler, which would wait for itself, is an error at once."""

    needs = Feature.LOCAL

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("joining.happened", join_inside, name="joining.inside")

    async def check(self, run: ScenarioRun) -> None:
        await run.publish("joining.happened")
        [call] = await run.called("joining.inside")
        assert call.details == {"error": "BusStateError"}
