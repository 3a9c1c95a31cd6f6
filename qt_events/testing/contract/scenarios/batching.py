"""Batch handlers: lists of events, and an outcome for each event of a list."""

import asyncio
from typing import Any

import pytest

from qt_events.bus import EventBus
from qt_events.delivery.batching.batches import BatchFailed
from qt_events.delivery.retry import RetryPolicy
from qt_events.errors import DuplicateSubscriptionError, InvalidHandlerError, InvalidOptionError
from qt_events.events.current import current_event
from qt_events.events.event import Event
from qt_events.testing.contract.recorder import hear, passed, passed_in_thread, record
from qt_events.testing.contract.scenario import Feature, Options, Scenario, ScenarioRun, this_bus

TWICE = RetryPolicy(max_attempts=2, initial=0.05, jitter=0)
LONG = 30.0  # seconds; longer than a check waits


def record_all(name: str, events: list[Event[Any]], **details: Any) -> None:
    """Record each event of a list, with the number of events in it."""
    for event in events:
        record(name, event, size=len(events), **details)


async def take_batch(events: list[Event[Any]]) -> None:
    record_all("batched", events)


def take_batch_in_thread(events: list[Event[Any]]) -> None:
    record_all("batched.sync", events)


class Batches(Scenario):
    """A batch handler gets each event once, in lists of at most `batch`, in publish order.

    A list that is not full is handled `within` its seconds. A plain handler is called in a thread.
    """

    needs = Feature.BATCHES

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("batched.happened", take_batch, name="batched", batch=4, within=0.02)
        bus.subscribe("batched.happened", take_batch_in_thread, name="batched.sync", batch=4)

    async def check(self, run: ScenarioRun) -> None:
        events = await run.publish_numbered("batched.happened", 11)
        for name in ("batched", "batched.sync"):
            await run.heard(name, events)
            sizes = {call.details["size"] for call in run.calls(name)}
            assert sizes <= {1, 2, 3, 4}, sizes


async def take_full(events: list[Event[Any]]) -> None:
    record_all("batches.full", events)


class FullBatches(Scenario):
    """A batch that is full is handled at once; one that is not waits until it is, or is due."""

    needs = Feature.BATCHES | Feature.BACKGROUND

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("filled.happened", take_full, name="batches.full", batch=3, within=LONG)

    async def check(self, run: ScenarioRun) -> None:
        await run.publish_numbered("filled.happened", 6)
        calls = await run.called("batches.full", 6)
        assert [call.details["size"] for call in calls] == [3] * 6
        await run.publish("filled.happened", n=6)
        fence = await run.publish_numbered("filled.happened", 2)
        await run.called("batches.full", event=fence[1])
        assert len(run.calls("batches.full")) == 9


async def take_slowly(events: list[Event[Any]]) -> None:
    record_all("batches.began", events)
    await passed("batches.go")
    record_all("batches.ended", events)


class SeveralBatches(Scenario):
    """`concurrency` is the number of batches that are handled at a time."""

    needs = Feature.BATCHES | Feature.CONCURRENCY | Feature.BACKGROUND

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe(
            "beside.happened",
            take_slowly,
            name="batches.beside",
            batch=2,
            within=LONG,
            concurrency=2,
        )

    async def check(self, run: ScenarioRun) -> None:
        await run.publish_numbered("beside.happened", 8)
        began = await run.called("batches.began", 4)
        assert sorted(call.payload["n"] for call in began) == [0, 1, 2, 3]
        run.open("batches.go")
        ended = await run.called("batches.ended", 8)
        assert sorted(call.payload["n"] for call in ended) == list(range(8))


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


async def take_chosen(events: list[Event[Any]]) -> None:
    record_all("batches.chosen", events)


class PredicatesOfBatches(Scenario):
    """A predicate is asked for each event, and one that it refuses is in no batch."""

    needs = Feature.BATCHES

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe(
            "chosen.happened",
            take_chosen,
            name="batches.chosen",
            when=lambda event: event.payload["n"] % 3 == 0,
            batch=2,
            within=0.1,
        )

    async def check(self, run: ScenarioRun) -> None:
        events = await run.publish_numbered("chosen.happened", 7)
        await run.heard("batches.chosen", events[::3])


async def publish_from_batch(events: list[Event[Any]]) -> None:
    record_all("batches.source", events, current=current_event() is not None)
    for event in events:
        await this_bus().publish(Event("batch.root", None, {"n": event.payload["n"]}))
        caused: Event[Any] = Event("batch.caused", None, {"n": event.payload["n"]})
        await this_bus().publish(caused.caused_by(event))


class PublishingFromABatch(Scenario):
    """In a batch handler no event is the current one: only `caused_by` names a cause.

    What it publishes is always admitted, even more than `max_queue_size`.
    """

    needs = Feature.BATCHES
    options = Options(max_queue_size=2, publish_timeout=1.0)

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("source.happened", publish_from_batch, name="batches.source", batch=2)
        hear(bus, "batch.#", "batches.result")

    async def check(self, run: ScenarioRun) -> None:
        events = await run.publish_numbered("source.happened", 2)
        results = await run.called("batches.result", 4)
        causes = {(call.event_type, call.payload["n"]): call.causation_id for call in results}
        assert causes == {
            ("batch.root", 0): None,
            ("batch.root", 1): None,
            ("batch.caused", 0): events[0].id,
            ("batch.caused", 1): events[1].id,
        }
        assert not any(call.details["current"] for call in run.calls("batches.source"))


async def take_half(events: list[Event[Any]]) -> None:
    record_all("batches.half", events)


def take_half_in_thread(events: list[Event[Any]]) -> None:
    record_all("batches.held", events)
    passed_in_thread("batches.finish")
    record_all("batches.finished", events)


class StoppingWithABatch(Scenario):
    """At a stop a batch that runs is finished, and one that is not full waits for nothing more.

    Its events are handled once: at the stop, or after the restart.
    """

    needs = Feature.BATCHES | Feature.RESTART
    alone = True

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("half.happened", take_half, name="batches.half", batch=10, within=5)
        bus.subscribe("held.happened", take_half_in_thread, name="batches.held", batch=2)

    async def check(self, run: ScenarioRun) -> None:
        held = await run.publish_numbered("held.happened", 2)
        await run.called("batches.held", 2)
        half = await run.publish_numbered("half.happened", 3)
        stopping = asyncio.create_task(run.stop())
        await asyncio.sleep(0)
        run.open("batches.finish")
        await stopping
        await run.heard("batches.finished", held)
        # What had not arrived waits for the next run.
        await run.start()
        await run.heard("batches.half", half)


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
        bus.subscribe("refusing.happened", take_batch, name="batches.refusing", batch=4)

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
            subscribe(take_full)
        with pytest.raises(DuplicateSubscriptionError, match="batch"):
            run.bus.subscribe("refusing.too", take_batch, name="batches.refusing", batch=5)
        await run.publish("refusing.happened", n=0)
        await run.called("batched")
