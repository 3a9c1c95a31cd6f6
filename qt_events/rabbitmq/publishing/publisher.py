"""Publisher: one connection a process, many publishes in flight, each confirmed by the broker or ended by name.

A thread of its own owns the connection, so that connecting, a blocked broker and heartbeats never touch
the caller's event loop or thread. It takes orders in turn, each with what must be declared before it. After
a lost connection it publishes what was unconfirmed again, in order; a caller whose `publish_timeout` has
passed has its error, and its publish is not repeated.
"""

import asyncio
import logging
import math
import socket
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic

import kombu

from qt_events.errors import (
    BackpressureError,
    BrokerBlockedError,
    BrokerUnreachableError,
    BusStateError,
    PublishTimeoutError,
)
from qt_events.rabbitmq.connection.connections import LOST
from qt_events.rabbitmq.connection.forking import renew_after_fork
from qt_events.rabbitmq.publishing.requests import Request, resolve
from qt_events.rabbitmq.publishing.session import Session

logger = logging.getLogger("qt_events")

_BACKOFF = (
    0.1,
    0.2,
    0.4,
    0.8,
    1.0,
)  # seconds between attempts to connect, the last one for all further ones
_TOO_LATE = 0.05  # seconds before its deadline from which an order is not begun


class Publisher:
    """See the module. Safe from any thread, any event loop, and after a fork.

    Args:
        connect: makes a kombu Connection, not connected yet; called with the two callbacks for a blocked broker.
        timeout: seconds until a caller gets its error.
        window: orders in flight before those that wait for room wait.
        slowest: says, for an error's text, what the room is lacking for.
    """

    def __init__(
        self,
        connect: Callable[[Callable[[str], None], Callable[[], None]], kombu.Connection],
        *,
        timeout: float,
        window: int,
        slowest: Callable[[], str] = lambda: "the broker is slow",
    ) -> None:
        self._connect, self._timeout, self._window, self._slowest = (
            connect,
            timeout,
            window,
            slowest,
        )
        self._session: Session | None = None
        self._reset()
        renew_after_fork(self)

    def _reset(self) -> None:
        self._lock = (
            threading.Lock()
        )  # held for a few steps at a time, never while waiting for anything
        self._outbox: OrderedDict[Request, None] = OrderedDict()  # in flight, not written yet
        self._waiting_for_room: OrderedDict[Request, None] = OrderedDict()  # not in flight yet
        self._in_flight = 0
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._connected = False
        self._alarmed = False  # the broker has said so, and confirmed nothing since
        self._alarm_ended = -math.inf  # or was last known to be on; by time.monotonic()
        self._last_error: BaseException | None = None
        self._told: set[str] = set()  # why there is no connection
        self._places = ""
        self._called = False  # a byte for the thread is on its way
        self.session = 0  #: number of the channel that is, or was last, published on
        self.epoch = 0  #: another begins with each connection, and where something was missing: what stood may be gone

    def after_fork(self) -> None:
        """Connection and thread are the parent's."""
        if self._session is not None:
            self._session.disown()
            self._session = None
        if self._thread is not None:
            self.reader.close()
            self._writer.close()
        self._reset()

    # For callers, from any thread and loop

    @property
    def in_flight(self) -> int:
        """Orders without an end."""
        return self._in_flight

    async def ask(self, request: Request, *, wait_for_room: bool = False) -> bool:
        """Have it done; whether it was routed.

        Raises:
            BackpressureError: no room within `publish_timeout`; it was not tried.
            BrokerError: refused, or no answer within `publish_timeout`.
            BusStateError: the publisher is closed.
        """
        loop = asyncio.get_running_loop()
        request.await_on(loop, self._timeout)
        self._submit(request, wait_for_room=wait_for_room)
        late = loop.call_later(
            self._timeout, self._give_up, request
        )  # asyncio.timeout takes three times as long
        try:
            return bool(await request.future)
        finally:
            late.cancel()
            if not request.ended:
                self.end([request])

    def _give_up(self, request: Request) -> None:
        if request.future.done():
            return
        try:
            error: Exception = self._timeout_error(request)
        except Exception as fault:  # noqa: BLE001  # whoever waits has to hear something
            error = PublishTimeoutError(
                f"no answer within {self._timeout:g} s; publish the same event again ({fault!r})"
            )
        request.future.set_exception(error)

    def ask_blocking(self, request: Request, *, wait_for_room: bool = False) -> bool:
        """`ask`, for plain threads."""
        request.await_on(None, self._timeout)
        self._submit(request, wait_for_room=wait_for_room)
        try:
            return bool(request.future.result(self._timeout))
        except TimeoutError:
            if request.future.done():
                raise  # a named error of ours
            raise self._timeout_error(request) from None
        finally:
            self.end([request])

    def close(self, timeout: float = 5.0) -> None:
        """Finish what is in flight, at most `timeout` seconds if the broker is there, and disconnect."""
        with self._lock:
            self._closing.set()
            thread = self._thread
        if thread is not None:
            self._call()
            thread.join(timeout)

    def must_be_open(self) -> None:
        """BusStateError after close()."""
        if self._closing.is_set():
            message = "this bus is closed: nothing more can be published on it"
            raise BusStateError(message)

    def _submit(self, request: Request, *, wait_for_room: bool) -> None:
        if sys.is_finalizing():  # the thread runs no more, and may have ended with the lock
            message = "nothing can be published any more: the interpreter is on its way out"
            raise BusStateError(message)
        with self._lock:
            self.must_be_open()
            if self._thread is None:
                self._start()
            if wait_for_room and self._in_flight >= self._window:
                self._waiting_for_room[request] = None
            else:
                self._admit(request)
        self._call()

    def _admit(self, request: Request) -> None:
        request.admitted = True
        self._outbox[request] = None
        self._in_flight += 1

    def _start(self) -> None:
        try:
            self.reader, self._writer = socket.socketpair()
        except OSError as error:  # no file descriptors left
            raise BrokerUnreachableError(f"no connection can be opened: {error}") from error
        thread = threading.Thread(target=self._run, name="qt_events-publisher", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            self._close_pair()
            message = (
                f"nothing can be published any more: {error}"  # the interpreter is on its way out
            )
            raise BusStateError(message) from error
        self._thread = thread

    def _call(self) -> None:
        """Have the thread look at the outbox, from whatever thread: what was submitted before is seen then."""
        if not self._called:
            self._called = True
            with suppress(OSError):  # closed: the thread has ended, after a last look
                self._writer.send(b"\0")

    def _timeout_error(self, request: Request) -> PublishTimeoutError | BackpressureError:
        if not request.admitted:
            return BackpressureError(
                f"no room for {self._timeout:g} s: {self._in_flight} publishes are in flight "
                f"(max_queue_size={self._window}); {self._slowest()}"
            )
        where = self._places or self._connection().places
        again = "whether it arrived is unknown: publish the same event again"
        if not self._connected:
            why = self._last_error or "no answer"
            return BrokerUnreachableError(
                f"no connection to {where} in {self._timeout:g} s ({why}): is RabbitMQ running there, "
                f"and are user, password and virtual host right? {again}"
            )
        if self._alarmed:
            return BrokerBlockedError(
                f"{where} takes no publishes (an alarm for memory or disk is on): none in {self._timeout:g} s; {again}"
            )
        if self._alarm_ended > request.deadline - self._timeout:
            return BrokerBlockedError(
                f"{where} took no publishes for a part of the last {self._timeout:g} s (an alarm for memory or disk "
                f"was on), and has not confirmed this one; {again}"
            )
        return PublishTimeoutError(f"{where} has not confirmed within {self._timeout:g} s; {again}")

    # For the session, in the thread

    @property
    def finished(self) -> bool:
        """Nothing more will come."""
        return self._closing.is_set() and not self._in_flight

    def next_request(self) -> Request | None:
        """The next one somebody still waits for."""
        with self._lock:
            return self._outbox.popitem(last=False)[0] if self._outbox else None

    def heard(self) -> None:
        """Take the call off the line. First that, then the flag: what is submitted in between is seen in the outbox."""
        self.reader.recv(64)
        self._called = False

    def give_back(self, requests: Iterable[Request]) -> None:
        """To the head of the outbox, in order: those somebody still waits for."""
        with self._lock:
            for request in reversed(tuple(requests)):
                if not request.ended:
                    self._outbox[request] = None
                    self._outbox.move_to_end(request, last=False)

    def end(self, requests: Iterable[Request]) -> None:
        """Tell the waiters, and let others in. Ended twice is ended once."""
        ending = [request for request in requests if not request.ended]
        if not ending:
            return
        with self._lock:
            for request in ending:
                self._count_out(request)
            admitted = self._admit_waiting()
        resolve(ending)
        if admitted:
            self._call()

    def _count_out(self, request: Request) -> None:
        if request.ended:
            return
        request.ended = True
        self._outbox.pop(request, None)
        self._waiting_for_room.pop(request, None)
        self._in_flight -= request.admitted

    def _admit_waiting(self) -> bool:
        admitted, late = False, monotonic() + min(_TOO_LATE, self._timeout / 10)
        while self._waiting_for_room and self._in_flight < self._window:
            request, _ = self._waiting_for_room.popitem(last=False)
            if request.deadline > late:  # else it is not tried any more, and its waiter is told so
                self._admit(request)
                admitted = True
        return admitted

    def confirmed_something(self) -> None:
        """Whatever alarm there was is over, unless this connection is blocked: what it took before is confirmed yet."""
        self._alarmed = self._session is not None and self._session.blocked

    # The thread

    def _run(self) -> None:
        failures = 0
        while not self.finished:
            try:
                with Session(self, self._connection()) as self._session:
                    self._connected, failures = True, 0
                    self._session.serve()
            except LOST as error:
                self._note_loss(error)
            except Exception as error:
                logger.exception(
                    "publisher: this connection is given up; what is unconfirmed goes over a new one"
                )
                self._note_loss(error)
            if self._closing.is_set():
                break
            self._closing.wait(_BACKOFF[min(failures, len(_BACKOFF) - 1)])
            failures += 1
        self._session = None
        self._refuse_the_rest()

    def _connection(self) -> kombu.Connection:
        connection = self._connect(self._on_blocked, self._on_unblocked)
        self._places = (
            connection.places
        )  # kept for errors: making one takes long, and thousands may fail at a time
        return connection

    def _on_blocked(self, reason: str) -> None:
        self._alarmed = True
        if self._session is not None:
            self._session.blocked = True
        logger.warning("publisher: %s; publishing waits", reason)

    def _on_unblocked(self) -> None:
        self._alarm_ended, self._alarmed = (
            monotonic(),
            False,
        )  # in this order: others look without the lock
        if self._session is not None:
            self._session.blocked = False
        logger.info("publisher: the broker takes publishes again")

    def _note_loss(self, error: BaseException) -> None:
        if self._connected:
            self._told = set()
        if str(error) not in self._told:  # each reason once an outage
            self._told.add(str(error))
            logger.warning("publisher: no connection (%s), trying until there is one", error)
        if self._alarmed and self._connected:
            self._alarm_ended = monotonic()
        self._connected, self._last_error = False, error

    def _refuse_the_rest(self) -> None:
        """After closing: nothing comes in any more."""
        with self._lock:
            rest = [*self._outbox, *self._waiting_for_room]
        for request in rest:
            request.error = BusStateError("this bus was closed before the broker had confirmed")
        self.end(rest)
        self._close_pair()

    def _close_pair(self) -> None:
        self.reader.close()
        self._writer.close()
