"""Middleware around publishes and handlers, and observers."""

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import pytest

from qt_events.bus import EventBus
from qt_events.delivery.middleware import Attempt, CallHandler, CallPublish
from qt_events.delivery.outcome import consequences
from qt_events.delivery.retry import RetryPolicy
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.errors import InvalidMiddlewareError
from qt_events.events.current import current_event
from qt_events.events.event import Event
from qt_events.testing.contract.recorder import Call, Recorder, fail, hear, nth_call, record
from qt_events.testing.contract.scenario import Scenario, ScenarioRun

TWICE = RetryPolicy(max_attempts=2, initial=0.1, jitter=0)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

_path: ContextVar[str] = ContextVar("path", default="")


class Layer:
    """Handler middleware that records what it sees, and leaves its name in the context."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def around_handle(
        self, event: Event[Any], subscription: Subscription, attempt: int, call_next: CallHandler
    ) -> None:
        def note(verb: str, seen: object) -> None:
            step = [f"{self._name} {verb}", attempt, seen]
            record(f"around.{subscription.name}", event, step=step)

        _path.set(f"{_path.get()}/{self._name}")
        note("begins", current_event() is event)
        try:
            result = await call_next()
        except OSError as error:
            note("fails", str(error))
            raise
        note("ends", result)


async def fail_once(event: Event[Any]) -> str:
    name = "around.flaky"
    record(name, event, step=["handler", _path.get()])
    if nth_call("around.calls", event) == 1:
        raise OSError("not yet")
    return "at last"


def succeed_in_thread(event: Event[Any]) -> str:
    record("around.sync", event, step=["handler", _path.get()])
    return "at once"


class AroundHandlers(Scenario):
    """Handler middleware runs around each attempt, the first one outermost, and sees its end.

    Its context variables reach async and sync handlers, and the event is the current one.
    """

    alone = True

    def subscribe(self, bus: EventBus) -> None:
        bus.use(Layer("outer"))
        bus.use(Layer("inner"))
        bus.subscribe("around.happened", fail_once, name="flaky", retry=TWICE)
        bus.subscribe("around.happened", succeed_in_thread, name="sync")

    async def check(self, run: ScenarioRun) -> None:
        await run.publish("around.happened")
        await run.called("around.flaky", 10)
        await run.called("around.sync", 5)
        assert _steps(run, "around.flaky") == [
            *_around(1, "fails", "not yet"),
            *_around(2, "ends", "at last"),
        ]
        assert _steps(run, "around.sync") == _around(1, "ends", "at once")


def _steps(run: ScenarioRun, name: str) -> list[object]:
    return [call.details["step"] for call in run.calls(name)]


def _around(attempt: int, verb: str, seen: str) -> list[object]:
    """Return the steps of an attempt that ends like this, through both layers."""
    return [
        *(["outer begins", attempt, True], ["inner begins", attempt, True]),
        ["handler", "/outer/inner"],
        *([f"inner {verb}", attempt, seen], [f"outer {verb}", attempt, seen]),
    ]


class Breaking:
    """Handler middleware that breaks, each time another way, by the subscription's name."""

    async def around_handle(
        self, event: Event[Any], subscription: Subscription, attempt: int, call_next: CallHandler
    ) -> None:
        record("breaking.asked", event, attempt=attempt)
        match subscription.name:
            case "breaking.raising":
                raise PermissionError(subscription.name)
            case "breaking.catching":
                with pytest.raises(OSError, match="out of order"):
                    await call_next()
            case "breaking.late":
                await call_next()
                raise PermissionError(subscription.name)


class BreakingAroundHandlers(Scenario):
    """Handler middleware that breaks is a failed attempt, and cannot make a failed one good.

    An error of its own, before or after the handler, is the attempt's; the handler's error counts
    though it was caught; not to call the handler is an InvalidMiddlewareError. No event is lost.
    """

    alone = True

    def subscribe(self, bus: EventBus) -> None:
        bus.use(Breaking())
        fail(bus, "breaking.happened", "breaking.catching", retry=TWICE)
        for name in ("breaking.raising", "breaking.late", "breaking.forgetting"):
            hear(bus, "breaking.happened", name, retry=TWICE)

    async def check(self, run: ScenarioRun) -> None:
        event = await run.publish("breaking.happened")
        invalid = f"{InvalidMiddlewareError.__module__}.{InvalidMiddlewareError.__qualname__}"
        errors = {
            "breaking.raising": "PermissionError",
            "breaking.catching": "OSError",
            "breaking.late": "PermissionError",
            "breaking.forgetting": invalid,
        }
        for name, error in errors.items():
            [letter] = await run.dead(name)
            assert (letter.event_id, letter.attempts) == (event.id, 2)
            assert (letter.reason, letter.exception_type) == ("exhausted", error)
        assert {name for name in errors if run.calls(name)} == {
            "breaking.catching",
            "breaking.late",
        }
        assert len(run.calls("breaking.catching")) == len(run.calls("breaking.late")) == 2
        assert len(run.calls("breaking.asked")) == 8


class Sender:
    """Publish middleware that notes what it sees, and adds a trace."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self._name, self._notes = name, notes

    async def around_publish(self, event: Event[Any], call_next: CallPublish) -> None:
        self._notes.append(f"{self._name} begins")
        await call_next(event.replace(traceparent=TRACEPARENT))
        self._notes.append(f"{self._name} ends")


class Bouncer:
    """Publish middleware that lets nothing pass but what is welcome."""

    async def around_publish(self, event: Event[Any], call_next: CallPublish) -> None:
        if event.payload.get("forgotten"):
            return
        if not event.payload["welcome"]:
            raise PermissionError("not this one")
        await call_next(event)


async def hear_sent(event: Event[Any]) -> None:
    record("sent.heard", event, traceparent=event.traceparent)


class AroundPublishes(Scenario):
    """Publish middleware runs around publish and publish_sync, the first one outermost.

    It may change the envelope and stop a publish by raising; to forget the publish is an error.
    """

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("sent.happened", hear_sent, name="sent.heard")

    async def check(self, run: ScenarioRun) -> None:
        notes: list[str] = []
        for middleware in (Sender("outer", notes), Sender("inner", notes), Bouncer()):
            run.bus.use(middleware)
        with pytest.raises(PermissionError, match="not this one"):
            await run.publish("sent.happened", welcome=False)
        with pytest.raises(InvalidMiddlewareError, match="call_next"):
            await run.publish("sent.happened", forgotten=True)
        assert notes == ["outer begins", "inner begins"] * 2
        notes.clear()
        first = await run.publish("sent.happened", welcome=True)
        second: Event[Any] = Event("sent.happened", None, {"welcome": True})
        await asyncio.to_thread(run.bus.publish_sync, second)
        assert notes == ["outer begins", "inner begins", "inner ends", "outer ends"] * 2
        calls = await run.called("sent.heard", 2)
        assert {call.event_id for call in calls} == {first.id, second.id}
        assert [call.details["traceparent"] for call in calls] == [TRACEPARENT] * 2


class Witness:
    """Observer that records every attempt, and keeps every publish."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def published(self, event: Event[Any], _subscriptions: Sequence[Subscription]) -> None:
        self.events.append(event.id)

    def concluded(self, attempt: Attempt) -> None:
        told = consequences(attempt.outcome).told
        details = {"subscription": attempt.subscription, "number": attempt.number, "told": told}
        call = Call("call", "observed.concluded", event_id=attempt.event_id, details=details)
        Recorder.current().write(call)


class Stumbling:
    """Observer that fails."""

    def published(self, event: Event[Any], _subscriptions: Sequence[Subscription]) -> None:
        raise RuntimeError(event.id)

    def concluded(self, attempt: Attempt) -> None:
        raise RuntimeError(attempt.event_id)


class Observers(Scenario):
    """Observers are told of every publish and of the end of every attempt.

    One that fails is reported by name; it harms neither the event nor other observers.
    """

    alone = True

    def subscribe(self, bus: EventBus) -> None:
        bus.use(Stumbling())
        bus.use(Witness())
        fail(bus, "observed.happened", "observed.flaky", times=1, retry=TWICE)

    async def check(self, run: ScenarioRun) -> None:
        witness = Witness()
        run.bus.use(witness)
        event = await run.publish("observed.happened")
        assert witness.events == [event.id]
        await run.reported("Stumbling.concluded")

        # Where the bus that publishes delivers too, both witnesses tell of each attempt.
        def told() -> set[tuple[Any, ...]]:
            calls = run.calls("observed.concluded", event)
            return {tuple(call.details.values()) for call in calls}

        expected = {("observed.flaky", 1, "retried"), ("observed.flaky", 2, "succeeded")}
        await run.until(lambda: told() == expected, "two attempts told to observers")


class PlainAround:
    """Middleware whose method is not async."""

    def around_handle(self, *_: object) -> None: ...


class AsyncObserver:
    """Observer whose method is async: nobody would await it."""

    async def published(self, *_: object) -> None: ...


class RefusedMiddleware(Scenario):
    """Objects without a method that a bus calls, or with one of the wrong kind, are refused."""

    def subscribe(self, bus: EventBus) -> None:
        hear(bus, "used.happened", "used.heard")

    async def check(self, run: ScenarioRun) -> None:
        wrong: list[Any] = [object(), Witness, PlainAround(), AsyncObserver()]
        for middleware in wrong:
            with pytest.raises(InvalidMiddlewareError):
                run.bus.use(middleware)
        await run.publish("used.happened")
        await run.called("used.heard")
