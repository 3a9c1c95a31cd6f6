"""Lane: events that wait for one subscription in this process, and the few being handled."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextvars import Context
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")
Process = Callable[[T], Awaitable[None] | None]

# Items that a worker takes before it lets the rest of the loop run, if no handler has waited.
_BURST = 64
# Seconds after which it does so in any case.
_TURN = 0.005


class Lane(Generic[T]):
    """Queue whose items are processed in order, `concurrency` at a time, on one event loop.

    `process` returns an awaitable that processes the rest of the item, or None if nothing is left
    to do. It must not raise anything but CancelledError; an item whose processing was cancelled
    goes back to the head of the lane. `on_idle` is called when the last item has been handled and
    none waits. An idle lane costs nothing.
    """

    def __init__(
        self, concurrency: int, process: Process[T], on_idle: Callable[[], None] = lambda: None
    ) -> None:
        self.concurrency = concurrency
        self._process = process
        self._on_idle = on_idle
        self._waiting: deque[T] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context = Context()

    def __len__(self) -> int:
        """Number of waiting items, those being handled not counted."""
        return len(self._waiting)

    def __iter__(self) -> Iterator[T]:
        return iter(self._waiting)

    @property
    def busy(self) -> int:
        """Number of items being handled."""
        return len(self._workers)

    @property
    def to_do(self) -> int:
        """Number of items that wait or are being handled."""
        return len(self._waiting) + len(self._workers)

    def start(self, loop: asyncio.AbstractEventLoop, context: Context) -> None:
        """Begin to process on this loop; handlers see this context's variables."""
        self._loop, self._context = loop, context
        for _ in self._waiting:
            self._hire()

    def pause(self) -> None:
        """Take up nothing new; items being handled go on."""
        self._loop = None

    def push(self, item: T) -> None:
        """Append an item. Once started, only on the loop's own thread."""
        self._waiting.append(item)
        if len(self._workers) < self.concurrency:
            self._hire()

    def clear(self) -> list[T]:
        """Remove and return the waiting items."""
        waiting = list(self._waiting)
        self._waiting.clear()
        return waiting

    async def cancel(self) -> None:
        """Cancel the items being handled and wait for their end; they go back to the head."""
        self.pause()
        for worker in tuple(self._workers):
            worker.cancel()
        await self.settled()

    async def settled(self) -> None:
        """Return when nothing is being handled."""
        while self._workers:
            await asyncio.wait(tuple(self._workers))

    def _hire(self) -> None:
        if self._loop is not None and len(self._workers) < self.concurrency:
            worker = self._loop.create_task(self._work(), context=self._context.copy())
            self._workers.add(worker)
            worker.add_done_callback(self._dismiss)

    def _dismiss(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        # If a handler cancelled the task it ran in, another one must take over.
        if self._waiting:
            self._hire()
        elif not self._workers:
            self._on_idle()

    async def _work(self) -> None:
        worker = asyncio.current_task()
        assert worker is not None  # noqa: S101
        process, waiting, cancel_requests = self._process, self._waiting, worker.cancelling
        done, until = 0, monotonic() + _TURN
        while waiting and self._loop is not None:
            item = waiting.popleft()
            try:
                rest = process(item)
                if rest is not None:
                    await rest
            except asyncio.CancelledError:
                waiting.appendleft(item)
                raise
            # A handler cancelled this task, or TaskGroup of CPython 3.11 left its mark there: the
            # next item gets a new task.
            if cancel_requests():
                return
            done += 1
            if done >= _BURST or monotonic() > until:
                await asyncio.sleep(0)
                done, until = 0, monotonic() + _TURN
