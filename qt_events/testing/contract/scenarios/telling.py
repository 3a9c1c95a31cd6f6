"""Fates: what becomes of events is told to those who listen, and to nobody else."""

from datetime import UTC, datetime, timedelta
from time import time_ns
from typing import Any
from unittest.mock import patch

from qt_events.bus import EventBus
from qt_events.delivery.batching.batches import BatchFailed
from qt_events.delivery.retry import RetryPolicy
from qt_events.delivery.telling.fate_telling import TellsFates
from qt_events.delivery.telling.fates import Fate
from qt_events.events.event import Event
from qt_events.testing.contract.recorder import Call, Recorder, fail, hear
from qt_events.testing.contract.scenario import Feature, Scenario, ScenarioRun

TWICE = RetryPolicy(max_attempts=2, initial=0.1, jitter=0)


def listen(bus: EventBus, name: str, *, times: int = 0) -> None:
    """Listen to fates and record them as `name`. The first `times` calls fail."""
    calls = 0

    async def handler(fates: list[Fate]) -> None:
        nonlocal calls
        calls += 1
        if calls <= times:
            raise OSError(f"{name} is out of order")
        for fate in fates:
            details = {**fate._asdict(), "at": fate.at.isoformat()}
            Recorder.current().write(
                Call("fate", name, fate.event_id, fate.event_type, details=details)
            )

    assert isinstance(bus, TellsFates)
    bus.listen_to_fates(handler, name=name, retry=RetryPolicy(initial=0.1, jitter=0))


async def told(run: ScenarioRun, name: str, event: Event[Any], count: int) -> list[dict[str, Any]]:
    """Return the event's fates, by time, once there are so many; more would be an error."""

    def fates() -> list[dict[str, Any]]:
        return [call.details for call in run.recorder.read("fate", name, event.id)]

    await run.until(lambda: len(fates()) >= count, f"{count} fates of {event.type}")
    found = sorted(fates(), key=lambda fate: datetime.fromisoformat(fate["at"]))
    assert len(found) == count, found
    return found


def of(subscription: str, fates: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return attempt, outcome, reason and delay of each of one subscription's fates."""
    fields = ("attempt", "outcome", "reason", "delay")
    return [
        tuple(fate[field] for field in fields)
        for fate in fates
        if fate["subscription"] == subscription
    ]


class Fates(Scenario):
    """Every attempt is told once: done, filtered, retried and why and for how long, or dead.

    A listener that fails is told again.
    """

    needs = Feature.FATES

    def subscribe(self, bus: EventBus) -> None:
        listen(bus, "fates.listener", times=1)
        hear(bus, "told.happened", "fates.done")
        hear(bus, "told.happened", "fates.filtered", when=lambda event: event.payload["n"] > 1)
        fail(bus, "told.happened", "fates.mended", times=1, retry=TWICE)
        fail(bus, "told.happened", "fates.dead", retry=TWICE)

    async def check(self, run: ScenarioRun) -> None:
        began = datetime.now(UTC) - timedelta(seconds=1)
        event: Event[Any] = Event("told.happened", None, {"n": 1}, source="desk")
        await run.bus.publish(event)
        fates = await told(run, "fates.listener", event, 6)
        error = "OSError"
        assert of("fates.done", fates) == [(1, "done", "", None)]
        assert of("fates.filtered", fates) == [(1, "filtered", "", None)]
        assert of("fates.mended", fates) == [(1, "retried", error, 0.1), (2, "done", "", None)]
        assert of("fates.dead", fates) == [
            (1, "retried", error, 0.1),
            (2, "dead", "exhausted", None),
        ]
        dead = fates[[fate["outcome"] for fate in fates].index("dead")]
        assert dead["message"] == "fates.dead is out of order"
        for fate in fates:
            assert (fate["event_source"], fate["replayed"]) == ("desk", False)
            assert began <= datetime.fromisoformat(fate["at"]) <= datetime.now(UTC)
            assert 0 <= fate["seconds"] < 20
            assert fate["worker"].rpartition(":")[2].isdecimal()


async def fail_odd_ones(events: list[Event[Any]]) -> None:
    failures = {each.id: OSError("odd") for each in events if each.payload["n"] % 2}
    if failures:
        raise BatchFailed(failures)


class FatesOfBatches(Scenario):
    """Of each event of a batch it is told what became of it, and how long its handler had it."""

    needs = Feature.FATES | Feature.BATCHES

    def subscribe(self, bus: EventBus) -> None:
        listen(bus, "batches.listener")
        bus.subscribe(
            "batch.told", fail_odd_ones, name="batch.told", batch=2, within=0.1, retry=TWICE
        )

    async def check(self, run: ScenarioRun) -> None:
        events = [Event("batch.told", None, {"n": n}, source="desk") for n in range(2)]
        for event in events:
            await run.bus.publish(event)
        done = await told(run, "batches.listener", events[0], 1)
        failed = await told(run, "batches.listener", events[1], 2)
        assert of("batch.told", done) == [(1, "done", "", None)]
        assert of("batch.told", failed) == [
            (1, "retried", "OSError", 0.1),
            (2, "dead", "exhausted", None),
        ]
        for fate in (*done, *failed):
            assert fate["event_source"] == "desk"
            assert 0 <= fate["seconds"] < 20


class OperatorsFates(Scenario):
    """What an operator does with a dead letter is told: sent back, and discarded."""

    needs = Feature.FATES

    def subscribe(self, bus: EventBus) -> None:
        listen(bus, "operators.listener")
        fail(bus, "operated.happened", "operators.failing", retry=RetryPolicy(max_attempts=1))

    async def check(self, run: ScenarioRun) -> None:
        event = await run.publish("operated.happened")
        [letter] = await run.dead("operators.failing")
        await run.bus.dead_letters.retry_many([letter.id], dry_run=True)
        await run.bus.dead_letters.retry(letter.id)
        await run.called("operators.failing", 2, event)
        [again] = await run.dead("operators.failing")
        await run.bus.dead_letters.discard_all("operators.failing", dry_run=True)
        await run.bus.dead_letters.discard(again.id)
        fates = await told(run, "operators.listener", event, 4)
        dead = (1, "dead", "exhausted", None)
        assert of("operators.failing", fates) == [
            dead,
            (1, "sent_back", "exhausted", None),
            dead,
            (1, "discarded", "exhausted", None),
        ]
        assert {fate["event_source"] for fate in fates} == {event.source}


class NoRingOfFates(Scenario):
    """What becomes of fates is told to nobody: a listener that fails makes no further fates."""

    needs = Feature.FATES

    def subscribe(self, bus: EventBus) -> None:
        listen(bus, "ring.listener")
        listen(bus, "ring.failing", times=2)
        hear(bus, "ring.happened", "ring.heard")

    async def check(self, run: ScenarioRun) -> None:
        event = await run.publish("ring.happened")
        for name in ("ring.listener", "ring.failing"):
            await told(run, name, event, 1)
        of_fates = [call for call in run.recorder.read("fate") if "fates." in call.event_type]
        assert of_fates == []


class NobodyListens(Scenario):
    """While nobody listens to fates, none are made."""

    needs = Feature.FATES | Feature.LOCAL
    alone = True

    def subscribe(self, bus: EventBus) -> None:
        hear(bus, "untold.happened", "untold.heard")

    async def check(self, run: ScenarioRun) -> None:
        async def none_is_made() -> bool:
            with patch("qt_events.delivery.telling.fate_telling.time_ns", wraps=time_ns) as made:
                event = await run.publish("untold.happened")
                await run.called("untold.heard", event=event)
                await run.bus.join()
            return made.call_count == 0

        # The first ones may wait for the answer whether anybody listens.
        await run.until(none_is_made, "event of which no fate is made")
