"""Kinds of handlers, and handlers that break, block or take long."""

import asyncio
import functools
import time
from collections.abc import Coroutine
from typing import Any

from qt_events.bus import EventBus
from qt_events.delivery.retry import RetryPolicy
from qt_events.events.event import Event
from qt_events.testing.contract.recorder import (
    Recorder,
    fail,
    hear,
    passed,
    passed_in_thread,
    record,
)
from qt_events.testing.contract.scenario import Feature, Scenario, ScenarioRun

ONCE = RetryPolicy(max_attempts=1)


async def first_of_three(event: Event[Any]) -> None:
    record("several.first", event)


async def second_of_three(event: Event[Any]) -> None:
    record("several.second", event)


def third_of_three(event: Event[Any]) -> None:
    record("several.third", event)


class SeveralHandlers(Scenario):
    """Every handler of a type gets every event, once."""

    def subscribe(self, bus: EventBus) -> None:
        for handler in (first_of_three, second_of_three, third_of_three):
            bus.subscribe("several.happened", handler)

    async def check(self, run: ScenarioRun) -> None:
        events = await run.publish_numbered("several.happened", 5)
        for name in ("several.first", "several.second", "several.third"):
            await run.heard(name, events)


class Isolation(Scenario):
    """A handler that fails on every event keeps none from another handler of the same events."""

    def subscribe(self, bus: EventBus) -> None:
        fail(bus, "isolated.happened", "isolated.failing", retry=ONCE)
        hear(bus, "isolated.happened", "isolated.steady")

    async def check(self, run: ScenarioRun) -> None:
        events = await run.publish_numbered("isolated.happened", 3)
        await run.heard("isolated.steady", events)
        await run.dead("isolated.failing", 3)
        await run.heard("isolated.failing", events)
        assert len(run.calls("isolated.steady")) == 3


class Methods:
    """Methods that are handlers."""

    async def on_event(self, event: Event[Any]) -> None:
        record("kinds.method", event)

    def on_event_sync(self, event: Event[Any]) -> None:
        record("kinds.sync_method", event)


class Callable:
    """Object that is a handler itself."""

    async def __call__(self, event: Event[Any]) -> None:
        record("kinds.object", event)


async def with_name(name: str, event: Event[Any]) -> None:
    record(name, event)


def returning_a_coroutine(event: Event[Any]) -> Coroutine[Any, Any, None]:
    return with_name("kinds.returned", event)


class KindsOfHandlers(Scenario):
    """Any callable that takes the event is a handler.

    Methods, objects, partials, lambdas, and functions that return a coroutine.
    """

    def subscribe(self, bus: EventBus) -> None:
        methods = Methods()
        bus.subscribe("kinds.happened", methods.on_event)
        bus.subscribe("kinds.happened", methods.on_event_sync)
        bus.subscribe("kinds.happened", Callable())
        bus.subscribe("kinds.happened", functools.partial(with_name, "kinds.partial"))
        bus.subscribe("kinds.happened", returning_a_coroutine)
        bus.subscribe(
            "kinds.happened", lambda event: record("kinds.lambda", event), name="kinds.lambda"
        )

    async def check(self, run: ScenarioRun) -> None:
        event = await run.publish("kinds.happened")
        for kind in ("method", "sync_method", "object", "partial", "returned", "lambda"):
            assert len(await run.called(f"kinds.{kind}", event=event)) == 1


def block_in_thread(event: Event[Any]) -> None:
    passed_in_thread("threads.async_ran")
    record("threads.sync", event)


class SyncBesideAsync(Scenario):
    """A sync handler that blocks keeps no async handler from running."""

    needs = Feature.SIDE_BY_SIDE

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("threads.happened", block_in_thread, name="threads.sync")
        hear(bus, "threads.happened", "threads.async")

    async def check(self, run: ScenarioRun) -> None:
        await run.publish("threads.happened")
        [asynchronous] = await run.called("threads.async")
        run.open("threads.async_ran")
        [synchronous] = await run.called("threads.sync")
        assert synchronous.thread != asynchronous.thread


def exit_in_thread(_event: Event[Any]) -> None:
    raise SystemExit(3)


async def exit_on_loop(_event: Event[Any]) -> None:
    raise SystemExit(4)


def leave_a_generator(_event: Event[Any]) -> None:
    raise GeneratorExit


async def leave_a_coroutine(_event: Event[Any]) -> None:
    await asyncio.sleep(0)
    raise GeneratorExit


async def cancel_by_itself(_event: Event[Any]) -> None:
    raise asyncio.CancelledError


async def leave_a_timeout(_event: Event[Any]) -> None:
    async with asyncio.timeout(0.01):
        await asyncio.Event().wait()


BREAKING = {
    "breaking.sync_exit": (exit_in_thread, "SystemExit"),
    "breaking.exit": (exit_on_loop, "SystemExit"),
    "breaking.sync_generator": (leave_a_generator, "GeneratorExit"),
    "breaking.generator": (leave_a_coroutine, "GeneratorExit"),
    "breaking.cancelled": (cancel_by_itself, "asyncio.exceptions.CancelledError"),
    "breaking.timeout": (leave_a_timeout, "TimeoutError"),
}


class BreakingHandlers(Scenario):
    """A handler that raises SystemExit, GeneratorExit, CancelledError or TimeoutError has failed.

    The bus goes on.
    """

    def subscribe(self, bus: EventBus) -> None:
        for name, (handler, _) in BREAKING.items():
            bus.subscribe("breaking.happened", handler, name=name, retry=ONCE)

    async def check(self, run: ScenarioRun) -> None:
        events = await run.publish_numbered("breaking.happened", 2)
        for name, (_, kind) in BREAKING.items():
            letters = await run.dead(name, 2)
            found = run.in_turn((letter.event_id, letter.exception_type) for letter in letters)
            assert found == run.in_turn((event.id, kind) for event in events)


def take_long(event: Event[Any]) -> None:
    # The subject of the scenario: longer than slow_after
    time.sleep(0.15)
    record("slow.sync", event)


class SlowHandlers(Scenario):
    """A handler that takes longer than `slow_after` is reported by name."""

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("slow.happened", take_long, name="slow.sync")

    async def check(self, run: ScenarioRun) -> None:
        await run.publish("slow.happened")
        await run.called("slow.sync")
        await run.reported("slow.sync", "slow")


async def block_the_loop(event: Event[Any]) -> None:
    time.sleep(0.15)  # noqa: ASYNC251  # the subject of the scenario
    record("blocking.async", event)


class BlockingHandlers(Scenario):
    """An async handler that blocks the event loop is reported by name."""

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("blocking.happened", block_the_loop, name="blocking.async")

    async def check(self, run: ScenarioRun) -> None:
        await run.publish("blocking.happened")
        await run.called("blocking.async")
        await run.reported("blocking.async", "blocked")


async def use_task_tools(event: Event[Any]) -> None:
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        both = [group.create_task(passed("tools.go")), group.create_task(passed("tools.go"))]
    assert all(task.done() for task in both)
    record("tools.async", event, gates=len(Recorder.current().read("gate", "tools.go")))


class TaskTools(Scenario):
    """asyncio.timeout and TaskGroup work in an async handler."""

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("tools.happened", use_task_tools, name="tools.async")

    async def check(self, run: ScenarioRun) -> None:
        run.open("tools.go")
        await run.publish("tools.happened")
        [call] = await run.called("tools.async")
        assert call.details == {"gates": 1}


class PublishingFromThreads(Scenario):
    """publish_sync publishes from any plain thread."""

    def subscribe(self, bus: EventBus) -> None:
        hear(bus, "plain_thread.happened", "plain_thread.heard")

    async def check(self, run: ScenarioRun) -> None:
        events: list[Event[Any]] = [Event("plain_thread.happened") for _ in range(4)]
        publish = run.bus.publish_sync
        await asyncio.gather(*(asyncio.to_thread(publish, event) for event in events))
        calls = await run.called("plain_thread.heard", 4)
        assert {call.event_id for call in calls} == {event.id for event in events}
