"""Context of a handler: its event, and variables of its own."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any
from unittest.mock import AsyncMock

import pytest

from qt_events.delivery.deliver import deliver
from qt_events.delivery.outcome import Done
from qt_events.events.current import current_event
from qt_events.events.event import Event
from tests.unit.delivery.samples import EVENT, subscription

variable: ContextVar[str] = ContextVar("variable", default="outside")


@pytest.mark.parametrize("kind", ["async", "sync", "thread", "when"])
async def test_a_handler_sees_its_event_and_keeps_its_variables_to_itself(
    kind: str, executor: ThreadPoolExecutor
) -> None:
    """Variables set outside are seen inside, those set inside do not leak."""
    variable.set("before")
    seen: list[Any] = []

    def look(event: Event[Any]) -> bool:
        seen.append((current_event(), variable.get()))
        variable.set("inside")
        return True

    async def look_and_wait(event: Event[Any]) -> None:
        look(event)
        await asyncio.sleep(0)
        seen.append((current_event(), variable.get()))

    handlers: dict[str, Any] = {"async": look_and_wait, "when": AsyncMock()}
    target = subscription(handlers.get(kind, look), when=look if kind == "when" else None)
    assert await deliver(EVENT, target, executor=executor if kind == "thread" else None) == Done()
    assert seen[0] == (EVENT, "before")
    assert seen[1:] in ([], [(EVENT, "inside")])
    assert (current_event(), variable.get()) == (None, "before")


async def test_tasks_that_a_handler_makes_know_its_event() -> None:
    """A task made inside inherits the event being handled."""
    seen: list[Event[Any] | None] = []

    async def inner() -> None:
        seen.append(current_event())

    async def handler(event: Event[Any]) -> None:
        await asyncio.create_task(inner())
        await asyncio.gather(inner())

    await deliver(EVENT, subscription(handler))
    assert seen == [EVENT, EVENT]


async def test_a_handler_that_is_thrown_away_is_closed_in_its_context() -> None:
    """Its `finally` still sees the event."""
    seen: list[object] = []

    async def handler(event: Event[Any]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(current_event())

    coroutine = deliver(EVENT, subscription(handler))
    coroutine.send(None)
    coroutine.close()
    assert seen == [EVENT]


async def test_any_awaitable_is_awaited_in_the_handler_s_context() -> None:
    """Events that it publishes have their cause, also if it is no coroutine."""
    seen: list[object] = []

    class Later:
        def __await__(self) -> Iterator[None]:
            yield
            seen.append(current_event())

    assert await deliver(EVENT, subscription(lambda _: Later())) == Done()
    assert seen == [EVENT]
