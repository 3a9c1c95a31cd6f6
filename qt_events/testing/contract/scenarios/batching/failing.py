"""Batches that fail, some of their events or all."""

from typing import Any

from qt_events.bus import EventBus
from qt_events.delivery.batching.batches import BatchFailed
from qt_events.delivery.retry import RetryPolicy
from qt_events.events.event import Event
from qt_events.testing.contract.scenario import Feature, Scenario, ScenarioRun
from qt_events.testing.contract.scenarios.batching.recording import record_all

TWICE = RetryPolicy(max_attempts=2, initial=0.05, jitter=0)


async def fail_odd_ones(events: list[Event[Any]]) -> None:
    record_all("batches.odd", events)
    failures = {each.id: OSError("odd") for each in events if each.payload["n"] % 2}
    if failures:
        raise BatchFailed(failures)


class SomeOfABatchFail(Scenario):
    """BatchFailed fails the events that it names and no other.

    Each comes again, alone or with others, as its own attempt, and ends as its own dead letter.
    """

    needs = Feature.BATCHES

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe(
            "odd.happened", fail_odd_ones, name="batches.odd", batch=6, within=0.1, retry=TWICE
        )

    async def check(self, run: ScenarioRun) -> None:
        events = await run.publish_numbered("odd.happened", 6)
        odd, even = events[1::2], events[::2]
        letters = await run.dead("batches.odd", 3)
        assert sorted(each.event_id for each in letters) == sorted(each.id for each in odd)
        assert {(each.reason, each.attempts, each.message) for each in letters} == {
            ("exhausted", 2, "odd")
        }
        assert [len(run.calls("batches.odd", each)) for each in odd] == [2, 2, 2]
        assert [len(run.calls("batches.odd", each)) for each in even] == [1, 1, 1]


async def fail_all(events: list[Event[Any]]) -> None:
    record_all("batches.all", events)
    raise OSError("all of it")


class AWholeBatchFails(Scenario):
    """Any other error is the failed attempt of each event of the batch."""

    needs = Feature.BATCHES

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe(
            "all.happened", fail_all, name="batches.all", batch=3, within=0.1, retry=TWICE
        )

    async def check(self, run: ScenarioRun) -> None:
        events = await run.publish_numbered("all.happened", 3)
        letters = await run.dead("batches.all", 3)
        assert sorted(each.event_id for each in letters) == sorted(each.id for each in events)
        assert {(each.reason, each.attempts) for each in letters} == {("exhausted", 2)}
        assert [len(run.calls("batches.all", each)) for each in events] == [2, 2, 2]


async def name_a_stranger(events: list[Event[Any]]) -> None:
    record_all("batches.stranger", events)
    raise BatchFailed({"nobody": OSError()})


async def give_words(events: list[Event[Any]]) -> None:
    record_all("batches.words", events)
    raise BatchFailed({each.id: "out of order" for each in events})  # type: ignore[misc]


class WrongBatchFailures(Scenario):
    """A BatchFailed of an id that is not in the batch, or of no errors, fails the whole batch.

    The dead letters name the mistake.
    """

    needs = Feature.BATCHES

    def subscribe(self, bus: EventBus) -> None:
        once = RetryPolicy(max_attempts=1)
        for name, handler in (
            ("batches.stranger", name_a_stranger),
            ("batches.words", give_words),
        ):
            bus.subscribe("wrong.happened", handler, name=name, batch=2, within=0.1, retry=once)

    async def check(self, run: ScenarioRun) -> None:
        await run.publish_numbered("wrong.happened", 2)
        for name, word in (("batches.stranger", "nobody"), ("batches.words", "out of order")):
            letters = await run.dead(name, 2)
            for each in letters:
                assert each.exception_type.endswith("InvalidBatchError")
                assert word in each.message
