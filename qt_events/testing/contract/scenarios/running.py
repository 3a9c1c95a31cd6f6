"""Join, stop, drain, restart, statistics."""

import asyncio
from typing import Any

import pytest

from qt_events.bus import EventBus
from qt_events.delivery.retry import RetryPolicy
from qt_events.errors import BusStateError
from qt_events.events.event import Event
from qt_events.testing.contract.recorder import fail, hear, nth_call, passed, record, recording
from qt_events.testing.contract.scenario import Feature, Scenario, ScenarioRun, this_bus

QUICK = RetryPolicy(max_attempts=3, initial=0.1, jitter=0)


async def fail_once_then_publish(event: Event[Any]) -> None:
    if nth_call("joined.first", event) == 1:
        raise OSError("once")
    await this_bus().publish(Event("joined.consequence"))


async def take_a_turn(event: Event[Any]) -> None:
    await asyncio.sleep(0.01)
    record("joined.second", event)


class Join(Scenario):
    """join() returns when all that was published has an outcome.

    Retries, and events that handlers published, are waited for too.
    """

    needs = Feature.LOCAL

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("joined.happened", fail_once_then_publish, name="joined.first", retry=QUICK)
        bus.subscribe("joined.consequence", take_a_turn, name="joined.second")

    async def check(self, run: ScenarioRun) -> None:
        # There is nothing to wait for.
        await run.bus.join(20)
        await run.publish_numbered("joined.happened", 3)
        await run.bus.join(20)
        assert len(run.calls("joined.first")) == 6
        assert len(run.calls("joined.second")) == 3
        assert run.bus.get_stats()["queue_size"] == 0


class JoinTimeout(Scenario):
    """join(timeout) raises TimeoutError if something has no outcome by then; the work goes on."""

    needs = Feature.LOCAL | Feature.BACKGROUND

    def subscribe(self, bus: EventBus) -> None:
        hear(bus, "overdue.happened", "overdue.slow", after="overdue.go")

    async def check(self, run: ScenarioRun) -> None:
        await run.publish("overdue.happened")
        with pytest.raises(TimeoutError):
            await run.bus.join(0.1)
        run.open("overdue.go")
        await run.bus.join(20)
        assert len(run.calls("overdue.slow")) == 1


async def count_bad(_event: Event[Any]) -> None:
    raise OSError("bad")


class Statistics(Scenario):
    """get_stats() has the six keys that every bus has.

    Their sums are right once everything has an outcome.
    """

    needs = Feature.LOCAL

    def subscribe(self, bus: EventBus) -> None:
        count_good = recording("statistics.good")
        bus.subscribe("statistics.a", count_good, name="statistics.good")
        bus.subscribe("statistics.b", count_good)
        bus.subscribe("statistics.a", count_bad, name="statistics.bad", retry=QUICK)
        bus.subscribe("statistics.b", count_bad)
        hear(bus, "statistics.a", "statistics.filtered", when=lambda _: False)

    async def check(self, run: ScenarioRun) -> None:
        for event_type in ("statistics.a", "statistics.a", "statistics.b", "statistics.c"):
            await run.publish(event_type)
        await run.bus.join(20)
        stats = run.bus.get_stats()
        expected = {
            "published": 4,
            # statistics.c reached nobody.
            "dispatched": 3,
            # Three events, three attempts each
            "errors": 9,
            "queue_size": 0,
            "handler_types": 2,
            "total_handlers": 3,
            "delivered": 3,
            "filtered": 2,
            "retries": 6,
            "dead_letters": 3,
            "unroutable": 1,
        }
        assert {key: stats[key] for key in expected} == expected
        of_type = {"published": 2, "dispatched": 2, "errors": 6, "unroutable": 0}
        assert stats["by_type"]["statistics.a"] == of_type
        bad, of_bad = stats["by_subscription"]["statistics.bad"], (0, 9, 6, 3)
        assert (
            tuple(bad[key] for key in ("delivered", "errors", "retries", "dead_letters")) == of_bad
        )


async def finish_what_it_holds(event: Event[Any]) -> None:
    record("stopped.began", event)
    await passed("stopped.go")
    record("stopped.ended", event)


class StopFinishes(Scenario):
    """stop() lets a running handler come to its end, once.

    Events that were not begun are handled after a restart.
    """

    needs = Feature.RESTART
    alone = True

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("stopped.happened", finish_what_it_holds, name="stopped")

    async def check(self, run: ScenarioRun) -> None:
        events = await run.publish_numbered("stopped.happened", 10)
        await run.called("stopped.began")
        stopping = asyncio.create_task(run.stop())
        await asyncio.sleep(0)
        run.open("stopped.go")
        await stopping
        began, ended = (
            run.in_turn(call.event_id for call in run.calls(f"stopped.{what}"))
            for what in ("began", "ended")
        )
        assert began == ended
        # Nobody delivers now.
        later = await run.publish("stopped.happened", n=10)
        assert run.calls("stopped.began", later) == []
        await run.start()
        await run.heard("stopped.ended", [*events, later])


async def turn_the_end_into_an_error(event: Event[Any]) -> None:
    if nth_call("cut_off", event) == 1:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            # As drivers of databases do, for one.
            raise OSError("the connection was closed while it was used") from None


class HardStop(Scenario):
    """A failure because the bus stops without waiting is not the handler's.

    The event comes again after a restart, as the same attempt.
    """

    needs = Feature.RESTART
    alone = True

    def subscribe(self, bus: EventBus) -> None:
        once = RetryPolicy(max_attempts=1)
        bus.subscribe("cut.off", turn_the_end_into_an_error, name="cut_off", retry=once)

    async def check(self, run: ScenarioRun) -> None:
        event = await run.publish("cut.off")
        await run.called("cut_off")
        await run.give_back()
        await run.start()
        await run.called("cut_off", 2, event)
        assert await run.bus.dead_letters.list("cut_off") == []


async def go_on(event: Event[Any]) -> None:
    first = nth_call("stubborn", event) == 1
    while first:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            record("stubborn.cancelled", event)


class StubbornHandler(Scenario):
    """A handler that swallows its cancellation does not keep the bus from stopping.

    Its event comes again after a restart.
    """

    needs = Feature.RESTART
    alone = True

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("stubborn.happened", go_on, name="stubborn")

    async def check(self, run: ScenarioRun) -> None:
        event = await run.publish("stubborn.happened")
        await run.called("stubborn")
        await run.give_back()
        await run.start()
        await run.called("stubborn", 2, event)
        assert await run.bus.dead_letters.list("stubborn") == []


class RetriesOutliveAStop(Scenario):
    """A retry that waits when the bus stops comes after a restart, its attempts counted on."""

    needs = Feature.RESTART
    alone = True

    def subscribe(self, bus: EventBus) -> None:
        retry = RetryPolicy(max_attempts=2, initial=0.8, jitter=0)
        fail(bus, "resumed.happened", "resumed.flaky", times=1, retry=retry)

    async def check(self, run: ScenarioRun) -> None:
        event = await run.publish("resumed.happened")
        await run.called("resumed.flaky")
        await run.stop()
        await run.start()
        await run.called("resumed.flaky", 2, event)
        assert await run.bus.dead_letters.list("resumed.flaky") == []


async def be_drained(event: Event[Any]) -> None:
    if nth_call("drained.sub", event) == 1 and event.payload["n"] == 3:
        raise OSError("once")
    await asyncio.sleep(0.001)


class AsyncWith(Scenario):
    """`async with bus` delivers from its beginning and leaves when everything has an outcome.

    Retries are waited for.
    """

    needs = Feature.HOSTED

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("drained.happened", be_drained, name="drained.sub", retry=QUICK)

    async def check(self, run: ScenarioRun) -> None:
        await run.stop()
        async with run.bus:
            await run.publish_numbered("drained.happened", 5)
        assert len(run.calls("drained.sub")) == 6


class RunningTwice(Scenario):
    """A bus runs once at a time: a second run_forever() is an error, and the first goes on."""

    needs = Feature.HOSTED

    def subscribe(self, bus: EventBus) -> None:
        hear(bus, "once.happened", "once.heard")

    async def check(self, run: ScenarioRun) -> None:
        with pytest.raises(BusStateError):
            await run.bus.run_forever()
        await run.publish("once.happened")
        await run.called("once.heard")


class Closing(Scenario):
    """Publishing on a closed bus is a BusStateError, and closing it again is none."""

    def subscribe(self, bus: EventBus) -> None:
        hear(bus, "closed.happened", "closed.heard")

    async def check(self, run: ScenarioRun) -> None:
        run.bus.close()
        run.bus.close()
        with pytest.raises(BusStateError, match="closed"):
            await run.publish("closed.happened")
        assert not run.calls("closed.heard")
