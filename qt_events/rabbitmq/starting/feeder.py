"""Feeder: the thread by which a recorder serves newcomers, while its worker runs."""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

import kombu
from amqp.basic_message import Message as RawMessage
from amqp.exceptions import AccessRefused, AMQPError

from qt_events.delivery.subscribing.starting import RECORDER, RecordedEvents
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.errors import QtEventsError
from qt_events.rabbitmq.connection.connections import ANSWER_TIMEOUT, LOST, connect, leave, own
from qt_events.rabbitmq.connection.forking import renew_after_fork
from qt_events.rabbitmq.messages.envelope import body_of
from qt_events.rabbitmq.starting.feeding import Feeding
from qt_events.rabbitmq.starting.line import Line, NotStored, Stopped
from qt_events.rabbitmq.starting.requests import StartRequest, message
from qt_events.rabbitmq.topology.names import REQUEST, Topology

logger = logging.getLogger("qt_events")

T = TypeVar("T")

_AGAIN = 1.0  # seconds before another try to reach the broker
_PAUSE = 0.2  # seconds before a start is looked at again that could not go on
_LAST = 5.0  # seconds to stop


class Feeder:
    """Old events for newcomers, from the history of this process; nothing without one.

    `connect` returns a connection with heartbeats that is not connected yet.
    """

    def __init__(self, topology: Topology, connect: Callable[[], kombu.Connection]) -> None:
        self._topology, self._connect = topology, connect
        self.past: RecordedEvents | None = None
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Start anew: the thread is the parent's."""
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_away = False

    def serves(self, served: Iterable[Subscription]) -> bool:
        """Return True if the recorder is among these."""
        return self.past is not None and any(each.name == RECORDER for each in served)

    def begin(self, served: Iterable[Subscription]) -> None:
        """Serve newcomers from now on if the recorder is among these."""
        if self._thread is None and self.serves(served):
            self._stopping = threading.Event()
            self._thread = threading.Thread(target=self._run, name="qt_events-starts", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop. What is not done another recorder does, or this one when it runs again."""
        thread, self._thread = self._thread, None
        self._stopping.set()
        if thread is not None:
            thread.join(_LAST)

    # The thread

    def _run(self) -> None:
        stopping = self._stopping
        with asyncio.Runner() as runner:
            while not stopping.is_set():
                try:
                    self._serve(runner, stopping)
                except Stopped:
                    break
                except (*LOST, AMQPError, NotStored, QtEventsError) as error:
                    self._failed(error)
                except Exception:
                    logger.exception("newcomers wait for their old events, again in %g s", _AGAIN)
                stopping.wait(_AGAIN)

    def _failed(self, error: BaseException) -> None:
        if not self._is_away:
            self._is_away = True
            advice = ""
            if isinstance(error, AccessRefused):
                advice = ": run `qt-events topology permissions --apply` as an administrator"
            logger.warning("newcomers wait for their old events: %s%s", error, advice)

    def _serve(self, runner: asyncio.Runner, stopping: threading.Event) -> None:
        raw = connect(self._connect())
        try:
            own([raw.frames])
            raw.sock.settimeout(ANSWER_TIMEOUT)
            line = Line(raw, self._topology, stopping)
            line.begin()
            self._is_away = False
            while True:
                self._turn(line, line.request(), runner)
        finally:
            leave(raw)

    def _turn(self, line: Line, raw: RawMessage, runner: asyncio.Runner) -> None:
        assert self.past is not None  # noqa: S101
        try:
            request = StartRequest.decode(body_of(raw))
        except ValueError as error:
            logger.warning("%r held something else: %s", self._topology.starts, error)
            line.done(raw)
            return

        def run(work: Coroutine[Any, Any, T]) -> T:
            return runner.run(_beating(work, line))

        if not Feeding(request, line, self.past, self._topology, run).turn():
            # Others have their turn.
            line.publish(self._topology.starting, [(REQUEST, message(request))])
            run(asyncio.sleep(_PAUSE))
        line.done(raw)


async def _beating(work: Coroutine[Any, Any, T], line: Line) -> T:
    """Await something while the connection stays alive."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait([task], timeout=_PAUSE))[0]:
            line.beat(0)
        return task.result()
    finally:
        task.cancel()
