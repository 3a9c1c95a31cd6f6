"""Publisher: one connection a process, many publishes in flight, each confirmed or ended by name.

A thread of its own owns the connection, so connecting, a blocked broker and heartbeats never touch
the caller's event loop or thread. It carries out requests in turn, each after what must be declared
for it. After a lost connection it publishes again what was unconfirmed, in order. A caller whose
`publish_timeout` is over has its error, and its publish is not repeated.
"""

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

import kombu

from qt_events.errors import (
    BrokerUnreachableError,
    BusStateError,
    PublishTimeoutError,
    QtEventsError,
)
from qt_events.event_loop import running_loop
from qt_events.rabbitmq.connection.connections import LOST
from qt_events.rabbitmq.connection.forking import renew_after_fork
from qt_events.rabbitmq.connection.outage import Outage
from qt_events.rabbitmq.publishing.request_queue import RequestQueue
from qt_events.rabbitmq.publishing.requests import Request
from qt_events.rabbitmq.publishing.session import Session
from qt_events.rabbitmq.publishing.spooling.spooling import Spooling
from qt_events.rabbitmq.publishing.state import PublisherState
from qt_events.rabbitmq.publishing.waiting import AFTER, WaitingPublishes
from qt_events.rabbitmq.publishing.waiting_log import WaitingLog

logger = logging.getLogger("qt_events")

#: Seconds between attempts to connect, the last one for all further attempts.
_BACKOFF = (0.1, 0.2, 0.4, 0.8, 1.0)
_TOGETHER = 0.05  # seconds: publishes that begin to wait within this time are counted together
_TOO_LATE = 0.05  # seconds before its deadline from which a request is not begun


class Publisher:
    """Publishes and declares for one bus. Safe from any thread, any event loop, and after a fork.

    Args:
        connect: makes a kombu Connection, not connected yet; it is given the two callbacks for the
            begin and the end of an alarm.
        timeout: seconds until a caller gets its error.
        window: number of requests in flight from which further ones wait for room.
        slowest: describes the subscription that holds others up, for error texts.
        spooling: takes events while the broker is away.
    """

    def __init__(
        self,
        connect: Callable[[Callable[[str], None], Callable[[], None]], kombu.Connection],
        *,
        timeout: float,
        window: int,
        slowest: Callable[[], str] = lambda: "",
        spooling: Spooling | None = None,
    ) -> None:
        self.spooling = spooling
        self._connect, self._timeout, self._window = connect, timeout, window
        self._slowest = slowest
        self._session: Session | None = None
        self._reset()
        renew_after_fork(self)

    def _reset(self) -> None:
        self._queue = RequestQueue(self._window, late=min(_TOO_LATE, self._timeout / 10))
        self.state = PublisherState()
        self._waiting = WaitingPublishes(self._queue, self.state, slowest=self._slowest)
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._outage = Outage()
        if self.spooling is not None:
            self.spooling.attach(self._queue, self.state, self._waiting)

    def after_fork(self) -> None:
        """Start anew: connection and thread are the parent's."""
        if self._session is not None:
            self._session.disown()
            self._session = None
        if self._thread is not None:
            self._queue.hang_up()
        if self.spooling is not None:
            self.spooling.after_fork()
        self._reset()

    # For callers, from any thread and loop

    @property
    def in_flight(self) -> int:
        """Number of unfinished requests, not counting those that wait for room."""
        return self._queue.in_flight

    @property
    def in_line(self) -> int:
        return self._queue.in_line

    @property
    def waiting(self) -> dict[str, int]:
        """Number of publishes that have waited for a second, by cause; see waiting.py."""
        return {cause.value: count for cause, count in sorted(self._waiting.counts().items())}

    @property
    def spool(self) -> dict[str, Any]:
        """State and size of the spool; empty if there is none."""
        return {} if self.spooling is None else self.spooling.stats

    async def ask(
        self, request: Request, *, wait_for_room: bool = False, timeout: float | None = None
    ) -> bool:
        """Have a request carried out. Return True if it was routed.

        `timeout`: seconds to wait for an answer, if not `publish_timeout`.

        Raises:
            BackpressureError: there was no room within `publish_timeout`; it was not tried.
            BrokerError: it was refused, or there was no answer in time.
            BusStateError: the publisher is closed.
        """
        loop, timeout = running_loop(), self._timeout if timeout is None else timeout
        request.await_on(loop, self._timeout)
        self._submit(request, wait_for_room=wait_for_room)
        # asyncio.timeout takes three times as long.
        late = loop.call_later(timeout, self._give_up, request, timeout)
        try:
            return bool(await request.future)
        finally:
            late.cancel()
            if not request.ended:
                self._queue.end([request])

    async def ask_all(self, requests: Sequence[Request]) -> None:
        """Have requests carried out, in their order, without waiting for room.

        Returns when all have ended, with the first error if there is one. That is less work than a
        task and a timer for each. Raises what `ask` does.
        """
        loop, error = running_loop(), None
        for request in requests:
            request.await_on(loop, self._timeout)
        self._must_run()
        self._queue.put_all(requests)
        late = loop.call_later(self._timeout, self._give_up_all, requests)
        try:
            for request in requests:
                try:
                    await request.future
                except QtEventsError as failed:
                    error = error or failed
        except asyncio.CancelledError:
            for request in requests:
                request.drop()
            raise
        finally:
            late.cancel()
            self._queue.end(requests)
        if error is not None:
            raise error

    def _give_up_all(self, requests: Iterable[Request]) -> None:
        for request in requests:
            self._give_up(request, self._timeout)

    def _give_up(self, request: Request, timeout: float) -> None:
        if request.future.done():
            return
        try:
            error: Exception = self._waiting.error(request, timeout)
        except Exception as fault:  # noqa: BLE001  # the waiter has to hear something
            error = PublishTimeoutError(
                f"no answer within {timeout:g} s; publish the same event again ({fault!r})"
            )
        request.future.set_exception(error)

    def ask_blocking(self, request: Request, *, wait_for_room: bool = False) -> bool:
        """Do the same as `ask`, for plain threads."""
        request.await_on(None, self._timeout)
        self._submit(request, wait_for_room=wait_for_room)
        try:
            return bool(request.future.result(self._timeout))
        except TimeoutError:
            if request.future.done():
                # A named error of ours.
                raise
            raise self._waiting.error(request, self._timeout) from None
        finally:
            self._queue.end([request])

    def begin(self, request: Request) -> None:
        """Have a request carried out for which nobody waits. BusStateError: it is closed."""
        request.await_on(None, self._timeout)
        self._submit(request, wait_for_room=False)

    def close(self, timeout: float = 5.0) -> None:
        """Finish what is in flight and disconnect, within `timeout` seconds."""
        with self._starting:
            self._queue.close()
        if self._thread is not None:
            self._queue.wake()
            self._thread.join(timeout)
            if self.spooling is not None:
                self.spooling.divert()
                self.spooling.close(timeout)

    def open_spool(self) -> None:
        """Open the spool, if there is one, and send what is in it, though nobody publishes.

        Raises what a publish does that cannot begin.
        """
        if self.spooling is not None and self._thread is None:
            self._start()

    def must_be_open(self) -> None:
        self._queue.must_be_open()

    def _submit(self, request: Request, *, wait_for_room: bool) -> None:
        if self._thread is None or sys.is_finalizing():
            self._must_run()
        self._queue.put(request, wait_for_room=wait_for_room)

    def _must_run(self) -> None:
        # The thread runs no more, and may have ended with the lock.
        if sys.is_finalizing():
            message = "nothing can be published any more: the interpreter is on its way out"
            raise BusStateError(message)
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._starting:
            if self._thread is not None:
                return
            self._queue.must_be_open()
            try:
                self._queue.open()
            except OSError as error:
                raise BrokerUnreachableError(f"no connection can be opened: {error}") from error
            thread = threading.Thread(target=self._run, name="qt_events-publisher", daemon=True)
            try:
                thread.start()
                if self.spooling is not None:
                    self.spooling.start()
            # The interpreter is on its way out.
            except RuntimeError as error:
                self._queue.hang_up()
                raise BusStateError(f"nothing can be published any more: {error}") from error
            self._thread = thread

    # The thread that owns the connection

    def _run(self) -> None:
        watch = threading.Thread(target=self._watch, name="qt_events-publisher-watch", daemon=True)
        # There is no further thread while the interpreter exits.
        with suppress(RuntimeError):
            watch.start()
        failures = 0
        while not self._queue.finished:
            try:
                with Session(self._queue, self.state, self._connection()) as self._session:
                    failures = 0
                    self._note_connection()
                    self._session.serve()
            except LOST as error:
                self._note_loss(error)
            except Exception as error:
                logger.exception("publisher: this connection is given up for a new one")
                self._note_loss(error)
            if self._queue.closed.is_set():
                break
            self._queue.closed.wait(_BACKOFF[min(failures, len(_BACKOFF) - 1)])
            failures += 1
        self._session = None
        if self.spooling is not None:
            self.spooling.divert()
        self._queue.refuse_all("this bus was closed before the broker had confirmed")
        self._queue.hang_up()

    def _connection(self) -> kombu.Connection:
        connection = self._connect(self._on_blocked, self._on_unblocked)
        self.state.where = connection.places
        return connection

    def _on_blocked(self, reason: str) -> None:
        self.state.alarm_began()
        logger.warning("publisher: %s; publishing waits", reason)

    def _on_unblocked(self) -> None:
        self.state.alarm_over()
        logger.info("publisher: the broker takes publishes again")

    def _note_connection(self) -> None:
        if (seconds := self._outage.end(monotonic())) is not None:
            logger.info("publisher: connected again after %.0f s", seconds)

    def _note_loss(self, error: BaseException) -> None:
        if self._outage.note(str(error), monotonic()):
            logger.warning("publisher: no connection (%s), trying until there is one", error)
        self.state.connection_lost(error)

    # A thread beside it: that one blocks while it connects or declares

    def _watch(self) -> None:
        """Log why publishes wait. Looks once a second, and when the oldest has waited for one."""
        log, pause, before = WaitingLog(self._waiting.why), AFTER, None
        while not self._queue.closed.wait(pause):
            now, heads = monotonic(), self._queue.heads()
            age = now - min((each.asked for each in heads), default=now)
            counts = self._waiting.counts() if age >= AFTER else {}
            log.note(counts, now, moving=heads[:1] != before, ready=self.state.ready)
            before, pause = heads[:1], AFTER - age + _TOGETHER if age < AFTER else AFTER
