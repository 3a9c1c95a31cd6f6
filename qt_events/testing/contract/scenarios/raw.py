"""Raw events: an event as it was on the wire, without a class."""

import json

from qt_events.bus import EventBus
from qt_events.delivery.retry import RetryPolicy
from qt_events.events.raw import RawEvent
from qt_events.testing.contract.recorder import Call, Recorder, hear
from qt_events.testing.contract.scenario import Feature, Scenario, ScenarioRun

TWICE = RetryPolicy(max_attempts=2, initial=0.1, jitter=0)


def record_raw(name: str, event: RawEvent) -> None:
    """Record all of a raw event, its payload read from its body."""
    call = Call(
        "call",
        name,
        event_id=event.id,
        event_type=event.type,
        payload=json.loads(event.body)["data"],
        correlation_id=event.correlation_id,
        causation_id=event.causation_id,
        details={
            "source": event.source,
            "time": event.time.isoformat(),
            "content_type": event.content_type,
            "replayed": event.replayed,
        },
    )
    Recorder.current().write(call)


async def hear_raw(event: RawEvent) -> None:
    record_raw("raw.hearing", event)


def hear_raw_in_thread(event: RawEvent) -> None:
    record_raw("raw.in_thread", event)


async def hear_asked(event: RawEvent) -> None:
    record_raw("raw.asking", event)


async def fail_with_raw(event: RawEvent) -> None:
    record_raw("raw.failing", event)
    raise OSError("raw.failing is out of order")


class RawEvents(Scenario):
    """A raw subscription gets the event as it was on the wire, and others get theirs."""

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("raw.happened", hear_raw, name="raw.hearing", raw=True)
        bus.subscribe("raw.happened", hear_raw_in_thread, name="raw.in_thread", raw=True)
        hear(bus, "raw.happened", "raw.beside")

    async def check(self, run: ScenarioRun) -> None:
        event = await run.publish("raw.happened", symbol="Ä", size=7)
        for name in ("raw.hearing", "raw.in_thread"):
            [call] = await run.called(name, event=event)
            assert (call.event_type, call.payload) == (event.type, {"symbol": "Ä", "size": 7})
            assert (call.correlation_id, call.causation_id) == (event.correlation_id, None)
            assert call.details == {
                "source": event.source,
                "time": event.timestamp.isoformat(),
                "content_type": "application/cloudevents+json",
                "replayed": False,
            }
        await run.heard("raw.beside", [event])


class RawPredicate(Scenario):
    """`when` of a raw subscription is asked about the raw event."""

    def subscribe(self, bus: EventBus) -> None:
        def is_large(event: RawEvent) -> bool:
            return b"large" in event.body

        bus.subscribe("raw.asked", hear_asked, name="raw.asking", raw=True, when=is_large)

    async def check(self, run: ScenarioRun) -> None:
        await run.publish("raw.asked", size="small")
        event = await run.publish("raw.asked", size="large")
        await run.called("raw.asking", event=event)
        assert [call.payload for call in run.calls("raw.asking")] == [{"size": "large"}]


class RawRetries(Scenario):
    """A raw event is retried, becomes a dead letter, and can be sent back, as any other."""

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("raw.failed", fail_with_raw, name="raw.failing", raw=True, retry=TWICE)

    async def check(self, run: ScenarioRun) -> None:
        event = await run.publish("raw.failed", n=1)
        [letter] = await run.dead("raw.failing")
        assert (letter.event_id, letter.event_type, letter.attempts) == (event.id, event.type, 2)
        assert json.loads(letter.body)["data"] == {"n": 1}
        await run.bus.dead_letters.retry(letter.id)
        calls = await run.called("raw.failing", 4, event)
        assert [call.payload for call in calls] == [{"n": 1}] * 4


async def hear_raw_batch(events: list[RawEvent]) -> None:
    for event in events:
        record_raw("raw.batched", event)


class RawBatches(Scenario):
    """A raw batch handler gets lists of raw events; `when` is asked about each of them."""

    needs = Feature.BATCHES

    def subscribe(self, bus: EventBus) -> None:
        def is_large(event: RawEvent) -> bool:
            return b"large" in event.body

        bus.subscribe(
            "raw.batched", hear_raw_batch, name="raw.batched", raw=True, batch=3, when=is_large
        )

    async def check(self, run: ScenarioRun) -> None:
        await run.publish("raw.batched", size="small")
        events = [await run.publish("raw.batched", size="large", n=n) for n in range(5)]
        await run.heard("raw.batched", events)
        found = run.in_turn(call.payload["n"] for call in run.calls("raw.batched"))
        assert found == list(range(5))
