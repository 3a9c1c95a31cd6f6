"""Mistakes are refused where they are made, and change nothing."""

import asyncio
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ConfigDict, field_validator

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
from qt_events.events.payload import Payload
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


async def take_alert(event: "DoubledEvent") -> None:
    record("refused.alert", event)


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
        for pattern in ("", "a..b", ".a", "a.", "a.b*", "#.a.#.b.#", 7):
            with pytest.raises(InvalidPatternError):
                bus.subscribe(pattern, be_another, name="refused.another")  # type: ignore[arg-type]
        for handler in (None, "be_another", take_two):
            with pytest.raises(InvalidHandlerError):
                bus.subscribe("taken.happened", handler, name="refused.another")  # type: ignore[arg-type]
        for comes in (ExactEvent, "carried.exact", "taken.*"):
            with pytest.raises(InvalidHandlerError, match="DoubledEvent, which never comes by"):
                bus.subscribe(comes, take_alert, name="refused.another")
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


class Doubled(Payload):
    price: float

    @field_validator("price")
    @classmethod
    def in_cents(cls, price: float) -> float:
        return price * 100


class DoubledEvent(Event[Doubled], type="carried.doubled"): ...


class Exact(Payload):
    model_config = ConfigDict(strict=True)

    when: date
    sizes: dict[int, Decimal]
    note: str | Decimal = ""


class ExactEvent(Event[Exact], type="carried.exact"): ...


async def look_at(event: ExactEvent) -> None:
    record("carried.exact", event, payload=repr(event.payload))


class CarriedPayloads(Scenario):
    """A handler gets the payload that was published, with the same types, or nobody does.

    What JSON would change is refused when the event is made.
    """

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe(ExactEvent, look_at, name="carried.exact")

    async def check(self, run: ScenarioRun) -> None:
        with pytest.raises(InvalidPayloadError, match=r"payload\.price is 500\.0 .* 50000\.0"):
            DoubledEvent.create(price=5)
        with pytest.raises(InvalidPayloadError, match=r"payload\.note"):
            ExactEvent.create(when=date(2026, 1, 1), sizes={}, note=Decimal(1))
        with pytest.raises(InvalidPayloadError, match=r"payload\.size: no such field"):
            Event("carried.exact", None, {"when": date(2026, 1, 1), "sizes": {}, "size": 1})
        event = ExactEvent.create(when=date(2026, 1, 1), sizes={1: Decimal("1.10")}, note="1.5")
        await run.bus.publish(event)
        [call] = await run.called("carried.exact")
        assert call.details == {"payload": repr(event.payload)}
