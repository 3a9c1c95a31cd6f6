"""AsyncioPool: the end of its threads."""

import asyncio
from types import SimpleNamespace
from typing import Any

from qt_events.rabbitmq.pools.asyncio_pool import AsyncioPool
from tests.support.waiting import PATIENCE


def started(loop: asyncio.AbstractEventLoop) -> AsyncioPool:
    """Return a pool on the caller's loop that owns a connection and has had one thread to call."""
    app: Any = SimpleNamespace(qt_events_runtime=SimpleNamespace(loop=loop, unacknowledged=None))
    pool = AsyncioPool(limit=1, app=app)
    pool.start()
    pool.resume()
    pool.executor.submit(int).result(PATIENCE)
    return pool


def test_threads_end_with_a_loop_that_was_closed_under_the_pool() -> None:
    """No loop pauses the pool then. While it serves, the end is too early."""
    loop = asyncio.new_event_loop()
    pool = started(loop)
    (thread,) = pool.executor._threads  # noqa: SLF001  # nothing else tells them apart
    pool.stop()
    pool.executor.submit(int).result(PATIENCE)
    loop.close()
    pool.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()
