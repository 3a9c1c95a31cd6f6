"""What fails because the machinery ends, or lacks something, is not judged as the handler's."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pytest

from qt_events.delivery.deliver import deliver
from qt_events.delivery.ending import UnjudgedError, bind_end
from qt_events.delivery.middleware import MiddlewareStack
from qt_events.delivery.outcome import Done
from qt_events.delivery.threads import DaemonThreads
from qt_events.events.event import Event
from tests.support.waiting import PATIENCE
from tests.unit.delivery.samples import EVENT, subscription


class Around:
    """Middleware that does nothing."""

    async def around_handle(self, *about: Any) -> None:
        await about[-1]()


def with_middleware() -> MiddlewareStack:
    stack = MiddlewareStack()
    stack.add(Around())
    return stack


@pytest.mark.parametrize("make", [DaemonThreads, ThreadPoolExecutor, ProcessPoolExecutor])
@pytest.mark.parametrize("middleware", [None, with_middleware()], ids=["bare", "middleware"])
async def test_threads_that_are_shut_down_fail_nothing(
    make: Callable[[int], Executor], middleware: MiddlewareStack | None
) -> None:
    """The handler was not called, so it has not failed; not even if it is never retried."""
    executor = make(1)
    executor.shutdown()
    called: list[object] = []
    with pytest.raises(UnjudgedError, match="shut"):
        await deliver(EVENT, subscription(called.append), executor=executor, middleware=middleware)
    assert called == []


@pytest.mark.parametrize("middleware", [None, with_middleware()], ids=["bare", "middleware"])
async def test_what_fails_while_the_run_gives_back_is_not_judged(
    middleware: MiddlewareStack | None, executor: ThreadPoolExecutor
) -> None:
    """Nobody can tell then whose failure it is. What was handled is handled all the same."""

    def fail(_: Event[Any]) -> None:
        raise RuntimeError("cannot schedule new futures after shutdown")

    async def fail_later(event: Event[Any]) -> None:
        await asyncio.sleep(0)
        fail(event)

    async def both() -> None:
        for handler in (fail, fail_later):
            about: dict[str, Any] = {"executor": executor, "middleware": middleware}
            with pytest.raises(UnjudgedError, match="cannot schedule"):
                await deliver(EVENT, subscription(handler), **about)
        assert await deliver(EVENT, subscription(print), middleware=middleware) == Done()

    context = contextvars.copy_context()
    context.run(bind_end, lambda: True)
    await asyncio.get_running_loop().create_task(both(), context=context)


async def test_a_system_that_lets_no_thread_begin_fails_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first call has no thread. Later ones wait for a thread that there is."""
    threads, gate = DaemonThreads(2), threading.Event()
    start = threading.Thread.start

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(UnjudgedError, match="can't start new thread"):
        await deliver(EVENT, subscription(print), executor=threads)
    monkeypatch.setattr(threading.Thread, "start", start)
    busy = threads.submit(gate.wait, PATIENCE)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    waiting = threads.submit(int)
    assert len(threads) == 1
    gate.set()
    assert [busy.result(PATIENCE), waiting.result(PATIENCE)] == [True, 0]
    threads.shutdown()
