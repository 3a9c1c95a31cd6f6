"""Attempts, delays, giving up."""

from itertools import pairwise
from typing import Any

from qt_events.bus import EventBus
from qt_events.delivery.retry import Reject, RetryLater, RetryPolicy
from qt_events.events.event import Event
from qt_events.testing.contract.recorder import Call, fail, hear, nth_call, record
from qt_events.testing.contract.scenario import Feature, Scenario, ScenarioRun

# The second after 0.1 s, the third after 0.2 s.
QUICK = RetryPolicy(max_attempts=3, initial=0.1, jitter=0)
EARLY = 0.005  # seconds that clocks may differ


def pauses(calls: list[Call]) -> list[float]:
    """Return the seconds between one call and the next."""
    return [later.at - earlier.at for earlier, later in pairwise(calls)]


class OnlyTheFailingOneAgain(Scenario):
    """A retry runs the subscription that failed and no other, as many times as it takes."""

    def subscribe(self, bus: EventBus) -> None:
        fail(bus, "retried.happened", "retried.flaky", times=2, retry=QUICK)
        hear(bus, "retried.happened", "retried.steady")

    async def check(self, run: ScenarioRun) -> None:
        first = await run.publish("retried.happened")
        await run.called("retried.flaky", 3, first)
        second = await run.publish("retried.happened")
        await run.called("retried.flaky", 3, second)
        await run.heard("retried.steady", [first, second])
        assert len(run.calls("retried.flaky", first)) == 3
        assert await run.bus.dead_letters.list("retried.flaky") == []


class ExactAttempts(Scenario):
    """`max_attempts` is the exact number of calls; then there is a dead letter that says so."""

    def subscribe(self, bus: EventBus) -> None:
        fail(bus, "counted.happened", "counted.failing", retry=QUICK)

    async def check(self, run: ScenarioRun) -> None:
        event = await run.publish("counted.happened")
        [letter] = await run.dead("counted.failing")
        assert (letter.event_id, letter.reason, letter.attempts) == (event.id, "exhausted", 3)
        assert len(run.calls("counted.failing")) == 3


class NeverEarly(Scenario):
    """An attempt begins no earlier than its delay after the one that failed."""

    needs = Feature.BACKGROUND

    def subscribe(self, bus: EventBus) -> None:
        fail(bus, "delayed.happened", "delayed.failing", retry=QUICK)

    async def check(self, run: ScenarioRun) -> None:
        await run.publish("delayed.happened")
        await run.dead("delayed.failing")
        first, second = pauses(run.calls("delayed.failing"))
        assert first >= 0.1 - EARLY
        assert second >= 0.2 - EARLY


async def fail_once_on_first(event: Event[Any]) -> None:
    if nth_call("passing.flaky", event) == 1 and event.payload["n"] == 1:
        raise OSError("the first one waits")


class RetriesHoldUpNobody(Scenario):
    """Later events of a subscription are handled while one event waits for its retry."""

    needs = Feature.BACKGROUND

    def subscribe(self, bus: EventBus) -> None:
        retry = RetryPolicy(max_attempts=2, initial=0.8, jitter=0)
        bus.subscribe("passing.happened", fail_once_on_first, name="passing.flaky", retry=retry)

    async def check(self, run: ScenarioRun) -> None:
        for n in (1, 2, 3):
            await run.publish("passing.happened", n=n)
        calls = await run.called("passing.flaky", 4)
        assert run.in_turn(call.payload["n"] for call in calls) == run.in_turn([1, 2, 3, 1])
        assert calls[-1].payload["n"] == 1


async def fail_as_told(event: Event[Any]) -> None:
    record("giving_up.failing", event)
    errors = {"value": ValueError, "os": OSError, "key": KeyError, "unicode": UnicodeError}
    raise errors[event.payload["error"]]("as told")


class GivingUp(Scenario):
    """Errors of `give_up_on`, and those outside `retry_on`, are dead letters at once.

    Their subclasses are too.
    """

    def subscribe(self, bus: EventBus) -> None:
        retry = RetryPolicy(
            max_attempts=2,
            initial=0.1,
            jitter=0,
            retry_on=(OSError, ValueError),
            give_up_on=(ValueError,),
        )
        bus.subscribe("giving_up.happened", fail_as_told, name="giving_up.failing", retry=retry)

    async def check(self, run: ScenarioRun) -> None:
        at_once = ("gave_up", 1)
        expected = {
            (await run.publish("giving_up.happened", error=error)).id: ended
            for error, ended in {
                "value": at_once,
                "os": ("exhausted", 2),
                "key": at_once,
                "unicode": at_once,
            }.items()
        }
        letters = await run.dead("giving_up.failing", 4)
        found = {letter.event_id: (letter.reason, letter.attempts) for letter in letters}
        assert found == expected
        assert len(run.calls("giving_up.failing")) == 5


async def reject(event: Event[Any]) -> None:
    record("rejected.strict", event)
    raise Reject("no such account")


class Rejecting(Scenario):
    """A handler that raises Reject makes the event a dead letter at once, with its reason."""

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("rejected.happened", reject, name="rejected.strict", retry=QUICK)

    async def check(self, run: ScenarioRun) -> None:
        await run.publish("rejected.happened")
        [letter] = await run.dead("rejected.strict")
        assert (letter.reason, letter.attempts) == ("rejected", 1)
        assert "no such account" in letter.message
        assert len(run.calls("rejected.strict")) == 1


async def ask_for_later(event: Event[Any]) -> None:
    if nth_call("later.asking", event) == 1:
        raise RetryLater(0.3)


class RetryingLater(Scenario):
    """A handler that raises RetryLater is called again after the delay that it asked for.

    The delay of its policy does not count.
    """

    def subscribe(self, bus: EventBus) -> None:
        slow = RetryPolicy(max_attempts=2, initial=3600, max_delay=3600, jitter=0)
        bus.subscribe("later.happened", ask_for_later, name="later.asking", retry=slow)

    async def check(self, run: ScenarioRun) -> None:
        await run.publish("later.happened")
        calls = await run.called("later.asking", 2)
        assert len(calls) == 2


async def ask_for_later_and_time(event: Event[Any]) -> None:
    if nth_call("later_timed.asking", event) == 1:
        raise RetryLater(0.3)


class RetryingLaterNeverEarly(Scenario):
    """The delay that RetryLater asks for is waited for in full."""

    needs = Feature.BACKGROUND

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe(
            "later_timed.happened", ask_for_later_and_time, name="later_timed.asking", retry=QUICK
        )

    async def check(self, run: ScenarioRun) -> None:
        await run.publish("later_timed.happened")
        [pause] = pauses(await run.called("later_timed.asking", 2))
        assert pause >= 0.3 - EARLY
