"""asyncio's own tools work inside a handler: timeouts, task groups, asynchronous generators."""

import asyncio
from typing import Any

import pytest

from qt_events.delivery.deliver import deliver
from qt_events.delivery.outcome import Done, Retry
from qt_events.events.event import Event
from tests.unit.delivery.samples import EVENT, subscription


async def test_timeouts_work_inside_a_handler() -> None:
    """asyncio.timeout and wait_for raise TimeoutError, which the handler may catch or fail with."""

    async def catches(event: Event[Any]) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.01)

    async def lets_go(event: Event[Any]) -> None:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()

    assert await deliver(EVENT, subscription(catches)) == Done()
    outcome = await deliver(EVENT, subscription(lets_go))
    assert isinstance(outcome, Retry)
    assert outcome.failure.exception_type == "TimeoutError"


async def test_task_groups_work_inside_a_handler() -> None:
    """A TaskGroup whose task fails cancels the others, and the attempt has failed."""
    ended: list[int] = []

    async def end(n: int) -> None:
        await asyncio.sleep(0)
        ended.append(n)

    async def fail() -> None:
        message = "one of them"
        raise OSError(message)

    async def good(event: Event[Any]) -> None:
        async with asyncio.TaskGroup() as group:
            for n in range(3):
                group.create_task(end(n))

    async def bad(event: Event[Any]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.Event().wait())
            group.create_task(fail())

    assert await deliver(EVENT, subscription(good)) == Done()
    assert ended == [0, 1, 2]
    outcome = await deliver(EVENT, subscription(bad))
    assert isinstance(outcome, Retry)
    assert "ExceptionGroup" in outcome.failure.exception_type


async def test_async_generators_and_context_managers_close_inside() -> None:
    """Generators and contexts that a handler uses are closed within the delivery."""
    closed: list[str] = []

    async def numbers() -> Any:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            closed.append("generator")

    async def handler(event: Event[Any]) -> None:
        generator = numbers()
        try:
            async for _ in generator:
                message = "in the loop"
                raise OSError(message)
        finally:
            await generator.aclose()

    assert isinstance(await deliver(EVENT, subscription(handler)), Retry)
    assert closed == ["generator"]
