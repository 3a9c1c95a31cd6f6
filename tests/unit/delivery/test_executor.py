"""The executor: sync handlers run in its threads; awaitables they return run on the loop."""

import asyncio
import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from qt_events.delivery.deliver import deliver
from qt_events.delivery.outcome import Done, Retry
from qt_events.events.event import Event
from tests.unit.delivery.samples import EVENT, subscription


async def test_sync_handlers_run_in_the_executor(executor: ThreadPoolExecutor) -> None:
    """Async handlers run on the loop; without an executor all handlers run right here."""
    threads: list[int] = []

    def sync(event: Event[Any]) -> None:
        threads.append(threading.get_ident())

    async def asynchronous(event: Event[Any]) -> None:
        threads.append(threading.get_ident())

    await deliver(EVENT, subscription(sync), executor=executor)
    await deliver(EVENT, subscription(asynchronous), executor=executor)
    await deliver(EVENT, subscription(sync))
    here = threading.get_ident()
    assert [thread == here for thread in threads] == [False, True, True]


async def test_an_awaitable_of_a_plain_function_is_awaited(executor: ThreadPoolExecutor) -> None:
    """A lambda may return a coroutine, a function a future: the outcome waits for it."""
    ended: list[str] = []

    async def end(how: str) -> None:
        await asyncio.sleep(0)
        ended.append(how)

    loop = asyncio.get_running_loop()
    handlers = [
        lambda _: end("coroutine"),
        lambda _: loop.create_task(end("task")),
        functools.partial(lambda _, e: end("partial"), 0),
    ]
    for handler in handlers:
        assert await deliver(EVENT, subscription(handler)) == Done()
    assert await deliver(EVENT, subscription(lambda _: end("thread")), executor=executor) == Done()
    assert ended == ["coroutine", "task", "partial", "thread"]


async def test_an_error_of_a_returned_awaitable_is_the_handlers() -> None:
    """A returned awaitable that fails is a failed attempt."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_exception(OSError("later"))
    assert isinstance(await deliver(EVENT, subscription(lambda _: future)), Retry)
