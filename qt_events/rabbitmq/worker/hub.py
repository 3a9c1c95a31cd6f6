"""HandedOverHub: Celery's event loop, stepped by asyncio.

A worker's thread connects, reconnects and shuts down, and blocks only itself in doing so. While the
connection stands, asyncio watches the hub's poller, and steps the hub whenever there is something
to do. So messages arrive, handlers run and acks leave on one thread, and no message is handed over.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import monotonic
from typing import Any

from celery.exceptions import WorkerShutdown
from celery.platforms import EX_FAILURE
from kombu.asynchronous import Hub

from qt_events.rabbitmq.compat.celery_worker import (
    descriptor_of,
    has_callbacks,
    waits_for_first_messages,
)

_LOOK = 0.2  # seconds between two calls of `look`
_TICK = 0.25  # seconds between two looks at the hub's timers: heartbeats and the like
_POLL = 0.01  # seconds between two looks at a poller that asyncio cannot watch
_TURN = 0.005  # seconds of hub cycles in a row, about, before the rest of the loop has its turn


class HandedOverHub:
    """Stands in for a hub in Celery's `asynloop`, which asks it for its loop and steps that.

    Args:
        hub: the real one.
        loop: the event loop that is to step it.
        resume: called on the loop when it has taken over.
        pause: called on the loop when it has given back, with the error that came out of the hub,
            if one did.
        look: called in Celery's thread several times a second; may raise an error to end the
            worker.
    """

    def __init__(
        self,
        hub: Hub,
        loop: asyncio.AbstractEventLoop,
        *,
        resume: Callable[[], None],
        pause: Callable[[BaseException | None], None],
        look: Callable[[], None],
    ) -> None:
        self._hub, self._loop = hub, loop
        self._resume, self._pause, self._look = resume, pause, look
        self._over = threading.Event()  # the loop steps no more
        # Error that the hub raised; it ended the stepping.
        self.error: BaseException | None = None
        # Shutdown requested by remote control; the hub is stepped until Celery's thread raises it.
        self.order: SystemExit | None = None
        self._poller: _Impatient | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._descriptor: int | None = None  # readable when the poller has something
        self._thread = 0  # of the loop, once that steps

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hub, name)

    @property
    def propagate_errors(self) -> tuple[type[BaseException], ...]:
        """Errors of callbacks that end the loop; Celery sets them."""
        return self._hub.propagate_errors  # type: ignore[no-any-return]

    @propagate_errors.setter
    def propagate_errors(self, errors: tuple[type[BaseException], ...]) -> None:
        self._hub.propagate_errors = errors

    # In Celery's thread

    def create_loop(self) -> Iterator[None]:
        """Yield once for each step of Celery's. It only waits, and raises the hub's error."""
        self._loop.call_soon_threadsafe(self._take_over)
        while True:
            if self._over.wait(_LOOK):
                raise self.error or ConnectionError(
                    "the event loop that served the connection has ended"
                )
            if self.order is not None:
                raise self.order
            self._look()
            yield

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> Any:
        """Have the hub call it.

        At first Celery lets the hub read for up to 0.1 s. This loop reads without waiting.
        """
        if waits_for_first_messages(callback):
            (connection,) = args
            callback, args = connection.transport.on_readable, (connection.connection, self)
        called = self._hub.call_soon(callback, *args)
        # From another thread it wakes the poller.
        if self._thread == threading.get_ident():
            self._loop.call_soon(self._step)
        return called

    def reset(self) -> None:
        """Forget the connection's file descriptors. Nobody may be stepping then."""
        self.take_back()
        self._hub.reset()

    def take_back(self) -> None:
        """Return once the loop has stopped stepping."""
        while not (self._over.is_set() or self._loop.is_closed()):
            # The loop may be closed just now.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._give_back, None)
            self._over.wait(_LOOK)
        if self._poller is not None and self._hub.poller is self._poller:
            self._hub.poller = self._poller.inner

    # On the loop

    def give_up(self) -> None:
        """Step no more, and end the worker with status 1, for the loop is about to be closed."""
        self._give_back(WorkerShutdown(EX_FAILURE))

    def _take_over(self) -> None:
        if self._over.is_set():
            return
        self._thread = threading.get_ident()
        self._poller = self._hub.poller = _Impatient(self._hub.poller)
        self._steps = self._hub.create_loop()
        self._descriptor = descriptor_of(self._poller.inner)
        if self._descriptor is not None:
            self._loop.add_reader(self._descriptor, self._step)
        self._resume()
        self._tick()

    def _tick(self) -> None:
        if not self._over.is_set():
            pause = _TICK if self._descriptor is not None else _POLL
            self._timer = self._loop.call_later(pause, self._tick)
            self._step()

    def _step(self) -> None:
        if self._over.is_set():
            return
        try:
            until = monotonic() + _TURN
            while monotonic() < until:
                if not self._cycle():
                    return
        # Remote control's way to shut the worker down.
        except SystemExit as order:
            self.order = order
            self._steps = self._hub.create_loop()
        except BaseException as error:  # noqa: BLE001  # it belongs to Celery's thread
            self._give_back(error)
        else:
            self._loop.call_soon(self._step)

    def _cycle(self) -> bool:
        """Run one cycle of the hub. Return True if another has something to do at once.

        asyncio learns of anything that arrived meanwhile, because the poller stays readable.
        """
        try:
            next(self._steps)
        except StopIteration:
            self._steps = self._hub.create_loop()
            return True
        # There is no other sign of frames that were read ahead.
        return has_callbacks(self._hub)

    def _give_back(self, error: BaseException | None) -> None:
        if self._over.is_set():
            return
        self.error = error
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
        if self._timer is not None:
            self._timer.cancel()
        try:
            self._pause(error)
        finally:
            self._over.set()


class _Impatient:
    """A kombu poller that never waits."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def poll(self, _timeout: float | None) -> Any:
        return self.inner.poll(0)
