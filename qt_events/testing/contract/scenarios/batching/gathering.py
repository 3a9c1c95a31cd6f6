"""Lists that are gathered, handled beside each other, and finished at a stop."""

import asyncio
from typing import Any

from qt_events.bus import EventBus
from qt_events.events.current import current_event
from qt_events.events.event import Event
from qt_events.testing.contract.recorder import hear, passed, passed_in_thread
from qt_events.testing.contract.scenario import Feature, Options, Scenario, ScenarioRun, this_bus
from qt_events.testing.contract.scenarios.batching.recording import record_all

LONG = 30.0  # seconds; longer than a check waits


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
