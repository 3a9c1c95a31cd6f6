"""FateTeller: tells those who listen what became of events, off the way of every event.

A thread of its own with a connection of its own: a broker that is slow, away or refuses holds up
no event. Fates wait meanwhile, at most so many. While nobody listens none are made; a worker asks
once it is connected, and every 30 seconds, by an empty message that comes back then.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from mmap import mmap
from time import monotonic
from typing import Any

import kombu
from amqp import Connection as RawConnection
from amqp.exceptions import ChannelError, NotFound
from celery import signals

from qt_events.delivery.middleware import MiddlewareStack
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.delivery.subscribing.subscriptions import Subscriptions
from qt_events.delivery.telling.fate_telling import (
    WaitingFates,
    is_topic,
    number_of,
    this_worker,
    topics_of,
)
from qt_events.delivery.telling.fates import (
    Columns,
    Fate,
    by_subscription,
    columns_of,
    messages_of,
    told_of,
    type_of,
)
from qt_events.events.cloudevents import CONTENT_TYPE
from qt_events.rabbitmq.compat.basic_publish import writer_to
from qt_events.rabbitmq.connection.connections import ANSWER_TIMEOUT, LOST, connect, leave, own
from qt_events.rabbitmq.connection.forking import renew_after_fork
from qt_events.rabbitmq.messages.properties import PERSISTENT, Content
from qt_events.rabbitmq.publishing.confirms import UnconfirmedPublishes

logger = logging.getLogger("qt_events")

INTERVAL = 30.0  #: seconds between two looks whether anybody listens
PAUSE = 0.2  #: seconds for which fates are gathered
_AGAIN = 1.0  # seconds until another try to reach the broker
_LAST = 2.0  # seconds to tell the rest when the worker stops
_REFUSED = "fates are not told: the broker refuses them (%s)"
_UNKNOWN, _NOBODY, _SOMEBODY = range(3)


class FateChannel:
    """Channel that tells fates to an exchange, and nothing else: a refusal closes it."""

    def __init__(self, connection: RawConnection, exchange: str) -> None:
        self._exchange, self._returned, self._is_nacked = exchange, 0, False
        self._channel = connection.channel()
        self._channel.confirm_select()
        self._unconfirmed: UnconfirmedPublishes[None] = UnconfirmedPublishes()
        self._channel.events["basic_return"].add(self._on_return)
        self._channel.events["basic_ack"].add(self._on_ack)
        self._channel.events["basic_nack"].add(self._on_nack)

    def tell(self, told: Iterable[tuple[str, Columns]]) -> bool:
        """Publish these, by subscription. Return False if they came back: nobody listens.

        Raises:
            OSError, amqp.exceptions.AMQPError: it is unknown which of them were taken.
        """
        self._returned, count, writer = 0, 0, writer_to(self._channel)
        for subscription, fates in told:
            for body in messages_of(subscription, fates, this_worker()):
                writer.write(self._exchange, type_of(subscription), _content(subscription, body))
                self._unconfirmed.add(None)
                count += 1
        writer.flush()
        # Whatever comes back is here before this answer, and so is a refusal.
        self._channel.confirm_select()
        # Nothing was told if none of these is a topic.
        return not count or self._returned < count

    def is_heard(self, subscription: str) -> bool:
        """Ask whether anybody listens, by a message without fates. Raises what `tell` does."""
        return self.tell([(subscription, columns_of([]))])

    def _on_return(self, *_: Any) -> None:
        self._returned += 1

    def _on_ack(self, tag: int, multiple: object) -> None:
        self._unconfirmed.settle(tag, multiple=bool(multiple))

    def _on_nack(self, tag: int, multiple: object) -> None:
        self._on_ack(tag, multiple)
        if not self._is_nacked:
            self._is_nacked = True
            logger.warning("fates are lost: the broker could not store them in every queue")

    def close(self) -> None:
        """Wait for all confirms, and close. Raises what `tell` does.

        RabbitMQ may lose what is not confirmed when the connection ends: it notes the end in the
        log of a quorum queue before the messages.
        """
        while self._unconfirmed:
            self._channel.connection.drain_events()
        self._channel.close()


def tell_operators(connection: RawConnection, exchange: str, fates: Sequence[Fate]) -> None:
    """Tell what an operator has done, if anybody listens. It is done, even if this is refused."""
    if not (of_each := list(topics_of(by_subscription(told_of(fates))))):
        return
    try:
        channel = FateChannel(connection, exchange)
        if channel.is_heard(of_each[0][0]):
            channel.tell(of_each)
        channel.close()
    except ChannelError as error:
        # 404: nobody has ever listened.
        if not isinstance(error, NotFound):
            logger.info(_REFUSED, error.reply_text)


def _content(subscription: str, body: bytes) -> Content:
    # Persistent: a listener may be away for as long as any subscriber.
    properties = {
        "type": type_of(subscription),
        "app_id": this_worker(),
        "content_type": CONTENT_TYPE,
        "delivery_mode": PERSISTENT,
    }
    return Content(body, properties)


class FateTeller:
    """Fates of one bus in this process. Safe from any thread, and after a fork.

    Args:
        connect: returns a connection that is not connected yet.
        exchange: to tell them to.
        subscriptions: those of the bus.
        middleware: of the bus; fates are made while this observes attempts.
    """

    def __init__(
        self,
        connect: Callable[[], kombu.Connection],
        exchange: str,
        subscriptions: Subscriptions,
        middleware: MiddlewareStack,
    ) -> None:
        self._connect, self._exchange = connect, exchange
        self._subscriptions, self._middleware = subscriptions, middleware
        self.interval = INTERVAL
        #: Number of looks whether anybody listens, those that failed included.
        self.looked = 0
        # One byte, shared with the children of a pool: the worker looks for all of them.
        self._known = mmap(-1, 1)
        self._observes = False
        self._raw: RawConnection | None = None
        self._channel: FateChannel
        self._refused = False
        self._reset()
        renew_after_fork(self)

    def _reset(self) -> None:
        self._waiting = WaitingFates(self._subscriptions, self._wake)
        self._in_hand: dict[str, Columns] = {}
        self._due, self._full, self._stopping = (threading.Event() for _ in range(3))
        self._changing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._looks, self._next_look = False, 0.0
        self._served: Iterable[Subscription] = ()
        self._is_away, self._reported = False, 0

    def after_fork(self) -> None:
        """Start anew: connection and thread are the parent's."""
        if self._raw is not None:
            if self._raw.connected:
                # The copy of the socket, without a word to the broker.
                with suppress(OSError):
                    os.close(self._raw.sock.detach())
            self._raw = None
        if self._observes:
            self._middleware.remove(self._waiting)
            self._observes = False
        self._reset()

    # For a worker

    def look(self, served: Iterable[Subscription]) -> None:
        """Find out whether anybody listens to the fates of these, now and from time to time.

        Until that is known, fates are kept.
        """
        self._served, self._looks, self._next_look = served, True, 0.0
        self._stopping.clear()
        self.follow()
        self._begin()
        self._due.set()

    def follow(self) -> None:
        """Make fates of attempts, or none any more, as it is known whether anybody listens."""
        wanted = self._known[0] != _NOBODY
        if wanted is self._observes:
            return
        with self._changing:
            if wanted is not self._observes:
                change = self._middleware.add if wanted else self._middleware.remove
                change(self._waiting)
                self._observes = wanted

    def stop(self) -> None:
        """Tell what waits, within two seconds, and disconnect. Log how many are left."""
        thread = self._thread
        self._stopping.set()
        for event in (self._full, self._due):
            event.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_LAST)
        if self._known[0] != _NOBODY and (left := self._left):
            logger.warning("%d fates were not told: the broker is away, or slow", left)

    @property
    def _left(self) -> int:
        return number_of(self._in_hand) + len(self._waiting)

    def _wake(self, count: int) -> None:
        if count == 1:
            self._begin()
            self._due.set()
        else:
            self._full.set()

    def _begin(self) -> None:
        with self._changing:
            if self._thread is not None and self._thread.is_alive():
                return
            if not self._looks:
                # A child of a pool. Nothing else tells it that it ends.
                signals.worker_process_shutdown.connect(self._stop_child, weak=False)
            self._thread = threading.Thread(target=self._run, name="qt_events-fates", daemon=True)
            # The interpreter may be on its way out.
            with suppress(RuntimeError):
                self._thread.start()

    def _stop_child(self, **_: Any) -> None:
        self.stop()

    # The thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wait()
            self._turn_safely()
        if self._known[0] == _SOMEBODY and not self._is_away:
            self._turn_safely()
            self._leave_channel()
        self._close()

    def _wait(self) -> None:
        """Return when there is something to do: fates are gathered for a while."""
        if self._is_away:
            self._stopping.wait(_AGAIN)
            return
        if self._due.wait(self._patience) and self._known[0] == _SOMEBODY:
            self._full.wait(PAUSE)
        if not self._stopping.is_set():
            self._due.clear()
            self._full.clear()

    @property
    def _patience(self) -> float | None:
        if self._looks:
            return max(0.0, self._next_look - monotonic())
        # The worker knows soon.
        return PAUSE if self._known[0] == _UNKNOWN else None

    def _turn_safely(self) -> None:
        try:
            self._turn()
        except (*LOST, ChannelError) as error:
            self._failed(error)
        except Exception:
            logger.exception("fates: %d are lost", number_of(self._in_hand))
            self._in_hand = {}
            self._close()
        else:
            self._reached()

    def _turn(self) -> None:
        if self._looks and monotonic() >= self._next_look:
            if self._known[0] != _SOMEBODY:
                self._known[0] = _SOMEBODY if self._is_heard() else _NOBODY
            self._next_look = monotonic() + self.interval
        if self._known[0] == _SOMEBODY:
            self._tell()
        elif self._known[0] == _NOBODY:
            self._close()
        self.follow()
        if self._known[0] == _NOBODY:
            self._waiting.take()

    def _is_heard(self) -> bool:
        """Ask whether anybody listens, by a message without fates."""
        self.looked += 1
        told = (each.name for each in self._served if each.tells_fates and is_topic(each.name))
        name = next(told, None)
        return name is not None and self._open().is_heard(name)

    def _tell(self) -> None:
        while fates := self._in_hand or self._waiting.take():
            self._in_hand = fates
            if not self._open().tell(topics_of(fates)):
                self._known[0] = _NOBODY
            self._in_hand = {}

    def _open(self) -> FateChannel:
        if self._raw is None:
            # Kept before anything can fail: `_close` leaves no socket open.
            raw = self._raw = connect(self._connect())
            own([raw.frames])
            raw.sock.settimeout(ANSWER_TIMEOUT)
            self._channel = FateChannel(raw, self._exchange)
        return self._channel

    def _leave_channel(self) -> None:
        """Wait until what was told is confirmed, if there is a connection."""
        if self._raw is not None:
            with suppress(*LOST, ChannelError):
                self._channel.close()

    def _close(self) -> None:
        raw, self._raw = self._raw, None
        if raw is not None:
            leave(raw)

    def _failed(self, error: BaseException) -> None:
        """Note a lost connection, or a refusal: then it is as if nobody listened."""
        self._close()
        if isinstance(error, ChannelError):
            self._known[0], self._in_hand = _NOBODY, {}
            self._next_look = monotonic() + self.interval
            self.follow()
            # 404: nobody has ever listened.
            if not (self._refused or isinstance(error, NotFound)):
                self._refused = True
                logger.info(_REFUSED, error.reply_text)
        elif not self._is_away:
            self._is_away = True
            logger.info("fates wait, at most so many: no connection (%s)", error)

    def _reached(self) -> None:
        self._is_away = False
        if (lost := self._waiting.dropped - self._reported) > 0:
            self._reported = self._waiting.dropped
            logger.warning("%d fates were dropped: the broker was away, or slow", lost)
