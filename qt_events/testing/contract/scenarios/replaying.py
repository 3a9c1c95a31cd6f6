"""Replay: an event sent again, to one subscription alone, and marked."""

from datetime import UTC, datetime
from typing import Any

import pytest

from qt_events.bus import EventBus
from qt_events.delivery.redelivering import Redelivers
from qt_events.delivery.retry import RetryPolicy
from qt_events.errors import InvalidEventError, NotSupportedError, UnknownSubscriptionError
from qt_events.events.event import Event
from qt_events.events.raw import RawEvent
from qt_events.testing.contract.recorder import hear, is_open, nth_call, record
from qt_events.testing.contract.scenario import Feature, Scenario, ScenarioRun
from qt_events.testing.contract.scenarios.telling import listen, of, told


async def record_marks(event: Event[Any]) -> None:
    marks = {"replayed": event.replayed, "replay_id": event.replay_id}
    record("replay.heard", event, **marks, source=event.source, time=event.timestamp.isoformat())


async def record_many(event: Event[Any]) -> None:
    record("replay.many.heard", event, replayed=event.replayed)


async def fail_marked(event: Event[Any]) -> None:
    times = nth_call("replay.failing", event)
    record("replay.marks", event, replayed=event.replayed, times=times)
    if event.replayed and not is_open("replay.mended"):
        raise OSError("out of order")


def is_wanted(event: Event[Any]) -> bool:
    """Want events of replays alone."""
    return event.replayed


async def redeliver(bus: EventBus, event: Event[Any] | RawEvent, name: str) -> None:
    assert isinstance(bus, Redelivers)
    await bus.redeliver(event, name, replay_id="monday")


class Replayed(Scenario):
    """An event sent again reaches one subscription, as it was, and marked; a predicate sees that.

    A raw event is sent as it was on the wire.
    """

    needs = Feature.REPLAY

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("replay.happened", record_marks, name="replay.heard")
        hear(bus, "replay.happened", "replay.beside")
        hear(bus, "replay.happened", "replay.wanted", when=is_wanted)

    async def check(self, run: ScenarioRun) -> None:
        time = datetime(2026, 11, 30, 12, 0, 0, 123456, tzinfo=UTC)
        event: Event[Any] = Event("replay.happened", time, {"n": 1}, source="desk")
        await run.bus.publish(event)
        await run.called("replay.heard", event=event)
        await redeliver(run.bus, event, "replay.heard")
        await run.called("replay.heard", 2, event)
        await redeliver(run.bus, RawEvent.of(event), "replay.heard")
        await redeliver(run.bus, event, "replay.wanted")
        calls = await run.called("replay.heard", 3, event)
        marks = [(call.details["replayed"], call.details["replay_id"]) for call in calls]
        assert marks == [(False, ""), (True, "monday"), (True, "monday")]
        for call in calls:
            assert (call.payload, call.details["source"]) == ({"n": 1}, "desk")
            assert datetime.fromisoformat(call.details["time"]) == time
        await run.called("replay.wanted", event=event)
        last = await run.publish("replay.happened", n=2)
        await run.called("replay.beside", event=last)
        assert len(run.calls("replay.beside", event)) == 1
        assert len(run.calls("replay.wanted", event)) == 1
        assert run.calls("replay.wanted", last) == []


class ManyReplayed(Scenario):
    """Many events that are sent again together are handled in their order, each once."""

    needs = Feature.REPLAY

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("replay.many", record_many, name="replay.many.heard", concurrency=1)

    async def check(self, run: ScenarioRun) -> None:
        events: list[Event[Any]] = [Event("replay.many", payload={"n": n}) for n in range(20)]
        assert isinstance(run.bus, Redelivers)
        sent = [RawEvent.of(each) if n % 2 else each for n, each in enumerate(events)]
        for some in (sent, []):
            errors = await run.bus.redeliver_all(some, "replay.many.heard", replay_id="monday")
            assert errors == []
        await run.heard("replay.many.heard", events)
        assert all(call.details["replayed"] for call in run.calls("replay.many.heard"))


class ReplayedUnheard(Scenario):
    """An event that the subscription does not hear is handled: somebody wants it there."""

    needs = Feature.REPLAY

    def subscribe(self, bus: EventBus) -> None:
        hear(bus, "replay.heard.of", "replay.unheard")

    async def check(self, run: ScenarioRun) -> None:
        event: Event[Any] = Event("replay.unheard.of")
        await redeliver(run.bus, event, "replay.unheard")
        await run.called("replay.unheard", event=event)


class ReplayedAgain(Scenario):
    """The mark survives retries, and a dead letter that is sent back; fates tell it."""

    needs = Feature.REPLAY | Feature.FATES

    def subscribe(self, bus: EventBus) -> None:
        listen(bus, "replay.listener")
        retry = RetryPolicy(max_attempts=2, initial=0.1, jitter=0)
        bus.subscribe("replay.failed", fail_marked, name="replay.failing", retry=retry)

    async def check(self, run: ScenarioRun) -> None:
        event = await run.publish("replay.failed")
        await run.called("replay.marks", event=event)
        await redeliver(run.bus, event, "replay.failing")
        [letter] = await run.dead("replay.failing")
        assert letter.replay_id == "monday"
        run.open("replay.mended")
        await run.bus.dead_letters.retry(letter.id)
        calls = await run.called("replay.marks", 4, event)
        assert [call.details["replayed"] for call in calls] == [False, True, True, True]
        fates = await told(run, "replay.listener", event, 5)
        outcomes = [outcome for _, outcome, *_ in of("replay.failing", fates)]
        assert outcomes == ["done", "retried", "dead", "sent_back", "done"]
        assert [fate["replayed"] for fate in fates] == [False, True, True, True, True]


class RefusedReplays(Scenario):
    """An unknown subscription is refused by name, and so is a replay without a proper name.

    The bus tells what a subscription hears.
    """

    needs = Feature.REPLAY

    def subscribe(self, bus: EventBus) -> None:
        hear(bus, "replay.refused", "replay.there")

    async def check(self, run: ScenarioRun) -> None:
        event: Event[Any] = Event("replay.refused")
        with pytest.raises(UnknownSubscriptionError, match=r"'replay\.unknown'"):
            await redeliver(run.bus, event, "replay.unknown")
        assert isinstance(run.bus, Redelivers)
        assert await run.bus.patterns_of("replay.there") == {"replay.refused"}
        with pytest.raises(UnknownSubscriptionError, match=r"'replay\.unknown'"):
            await run.bus.patterns_of("replay.unknown")
        for replay_id in ("", "a\nb", "a" * 256):
            with pytest.raises(InvalidEventError, match="replay_id"):
                await run.bus.redeliver(event, "replay.there", replay_id=replay_id)
        await redeliver(run.bus, event, "replay.there")
        await run.called("replay.there", event=event)


class NoReplayToABroadcast(Scenario):
    """A broadcast is refused by name."""

    needs = Feature.REPLAY | Feature.BROADCAST | Feature.LOCAL

    def subscribe(self, bus: EventBus) -> None:
        hear(bus, "replay.everywhere", "replay.broadcast", broadcast=True)

    async def check(self, run: ScenarioRun) -> None:
        with pytest.raises(NotSupportedError, match=r"'replay\.broadcast' is a broadcast"):
            await redeliver(run.bus, Event("replay.everywhere"), "replay.broadcast")
