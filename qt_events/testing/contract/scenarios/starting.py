"""Start: a new subscription gets events of the past first, and then what is published."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from qt_events.bus import EventBus
from qt_events.delivery.retry import RetryPolicy
from qt_events.errors import (
    DuplicateSubscriptionError,
    InvalidOptionError,
    NoRecorderError,
    NotSupportedError,
    UnknownSubscriptionError,
)
from qt_events.events.event import Event
from qt_events.history.history import History
from qt_events.testing.contract.recorder import fail, hear, record, recording
from qt_events.testing.contract.scenario import Feature, Scenario, ScenarioRun


class FromTheFirstOn(Scenario):
    """Old events come first, in order, each once, though publishing goes on; then live ones."""

    needs = Feature.START | Feature.LOCAL
    alone = True

    def subscribe(self, bus: EventBus) -> None:
        History().attach(bus)

    async def check(self, run: ScenarioRun) -> None:
        old = await run.publish_numbered("start.happened", 600)
        await run.publish("start.unheard")
        publishing = asyncio.create_task(run.publish_numbered("start.happened", 600))
        await asyncio.sleep(0)
        hear(run.bus, "start.happened", "start.first", start="first")
        live = await publishing
        await run.heard("start.first", [*old, *live])
        await run.bus.join(20)
        assert len(run.calls("start.first")) == len(old) + len(live)


class FromATimeOn(Scenario):
    """Of old events only those from that time on come; their attempts are first ones."""

    needs = Feature.START | Feature.LOCAL
    alone = True

    def subscribe(self, bus: EventBus) -> None:
        History().attach(bus)

    async def check(self, run: ScenarioRun) -> None:
        now = datetime.now(UTC)
        times = [now - timedelta(hours=hours) for hours in (3, 2, 1)]
        events: list[Event[Any]] = [Event("start.timed", time, {}) for time in times]
        for each in events:
            await run.bus.publish(each)
        once = RetryPolicy(max_attempts=2, initial=0.1, jitter=0)
        name = "start.failing"
        fail(run.bus, "start.timed", name, times=1, start=times[1], retry=once)
        marks: list[bool] = []

        async def handler(event: Event[Any]) -> None:
            marks.append(event.replayed)
            record("start.marks", event)

        run.bus.subscribe("start.timed", handler, name="start.marks", start=times[1])
        await run.heard("start.marks", events[1:])
        await run.called("start.failing", 2, events[1])
        await run.called("start.failing", 2, events[2])
        assert run.calls("start.failing", events[0]) == []
        assert marks == [False, False]


class InBatches(Scenario):
    """A batch handler gets old events in batches, too."""

    needs = Feature.START | Feature.LOCAL | Feature.BATCHES
    alone = True

    def subscribe(self, bus: EventBus) -> None:
        History().attach(bus)

    async def check(self, run: ScenarioRun) -> None:
        old = await run.publish_numbered("start.batched", 30)
        sizes: list[int] = []

        async def handler(events: list[Event[Any]]) -> None:
            sizes.append(len(events))
            for event in events:
                record("start.batches", event)

        name = "start.batches"
        run.bus.subscribe("start.batched", handler, name=name, batch=10, start="first")
        live = await run.publish_numbered("start.batched", 10)
        await run.heard(name, [*old, *live])
        assert max(sizes) == 10


class DecidedOnce(Scenario):
    """A subscription that stands already does not begin again; another start is refused."""

    needs = Feature.START | Feature.LOCAL
    alone = True

    def subscribe(self, bus: EventBus) -> None:
        History().attach(bus)

    async def check(self, run: ScenarioRun) -> None:
        handler = recording("start.once")
        first = await run.publish("start.once.a")
        run.bus.subscribe("start.once.a", handler, name="start.once", start="first")
        await run.called("start.once", event=first)
        # Until then a further pattern counts from the beginning, too.
        await run.bus.join(20)
        early = await run.publish("start.once.b")
        run.bus.subscribe("start.once.b", handler, name="start.once", start="first")
        late = await run.publish("start.once.b")
        await run.called("start.once", event=late)
        assert run.calls("start.once", early) == []
        with pytest.raises(DuplicateSubscriptionError, match="start="):
            run.bus.subscribe("start.once.b", handler, name="start.once", start="now")


async def _begin_without_a_history(run: ScenarioRun) -> None:
    handler = recording("start.unrecorded")
    try:
        run.bus.subscribe("start.refused", handler, name="start.unrecorded", start="first")
        # A broker knows whether somebody records: it is asked by the next publish.
        await run.publish("start.refused")
    finally:
        with suppress(UnknownSubscriptionError):
            run.bus.unsubscribe("start.refused", handler)


class RefusedStarts(Scenario):
    """A start that is none, one of a broadcast, and one without a history are refused by name."""

    needs = Feature.START | Feature.LOCAL
    alone = True

    def subscribe(self, bus: EventBus) -> None:
        hear(bus, "start.there", "start.there")

    async def check(self, run: ScenarioRun) -> None:
        naive = datetime(2026, 12, 1)  # noqa: DTZ001
        for wrong in ("last", "", 3, naive):
            with pytest.raises(InvalidOptionError, match="start="):
                hear(run.bus, "start.refused", "start.refused", start=wrong)
        await run.called("start.there", event=await run.publish("start.there"))
        with pytest.raises(NoRecorderError, match="history"):
            await _begin_without_a_history(run)
        History().attach(run.bus)
        with pytest.raises(NotSupportedError, match=r"'start\.everywhere' is a broadcast"):
            hear(run.bus, "start.refused", "start.everywhere", start="first", broadcast=True)
        hear(run.bus, "start.refused", "start.refused", start="now")
        event = await run.publish("start.refused")
        await run.called("start.refused", event=event)
