"""EventConsumer: Celery's consumer, with its event loop handed to asyncio and nothing of Celery's own on the broker."""

import asyncio
import logging
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from functools import partial
from typing import Any

import kombu
from amqp import Channel, spec
from amqp.exceptions import (
    AccessRefused,
    ChannelError,
    NotAllowed,
    RecoverableConnectionError,
    ResourceLocked,
)
from celery.app.trace import build_tracer
from celery.exceptions import CPendingDeprecationWarning, WorkerShutdown
from celery.platforms import EX_FAILURE
from celery.worker import state
from celery.worker.consumer import Consumer
from celery.worker.loops import asynloop, synloop
from kombu.common import ignore_errors

from qt_events.errors import BusStateError, LoginRefusedError, QtEventsError, TopologyError
from qt_events.rabbitmq.app.selection import Selection, patterns_from
from qt_events.rabbitmq.compat.prefork import remembering
from qt_events.rabbitmq.connection.connections import ANSWER_TIMEOUT
from qt_events.rabbitmq.messages.envelope import Envelope
from qt_events.rabbitmq.pools.asyncio_delivery import Arrivals
from qt_events.rabbitmq.pools.asyncio_pool import AsyncioPool
from qt_events.rabbitmq.pools.names import check_options, pool_name
from qt_events.rabbitmq.pools.subscription_task import is_plain
from qt_events.rabbitmq.runtime import Runtime
from qt_events.rabbitmq.topology.queues import ENVELOPE, SubscriptionQueue
from qt_events.rabbitmq.worker import remote_control
from qt_events.rabbitmq.worker.hub import HandedOverHub
from qt_events.rabbitmq.worker.rate_limits import hand_over, wait_in
from qt_events.rabbitmq.worker.serving import Serving

logger = logging.getLogger("qt_events")

_LOOK = 0.2  # seconds between two looks at whether to wait any longer

_REFUSED_PAUSE = 2.0  # seconds before another try to log in

_NAME_TRIES = 10  # the worker that had the name may be ending just now
_NAME_PAUSE = 0.3  # seconds between them

# DelayedDelivery adds bindings `#.<key>` as soon as a queue is a quorum queue: other subscriptions' events would come.
_LEFT_OUT = (":DelayedDelivery", ":Mingle", ":Gossip")


remote_control.guard()


class _Strategies(dict[str, Any]):
    """How to take each task's messages; made for a task that was registered after the connection was set up."""

    def __init__(self, consumer: "EventConsumer") -> None:
        super().__init__()
        self._consumer = consumer

    def __missing__(self, name: str) -> Any:
        app = self._consumer.app
        task = app.tasks[name]  # a KeyError for a task that there is not
        task.__trace__ = build_tracer(name, task, app.loader, self._consumer.hostname, app=app)
        strategy = self[name] = task.start_strategy(app, self._consumer)
        return strategy


def _give_up_connection(error: Exception) -> None:
    message = f"the broker closed the channel: {error}"
    raise RecoverableConnectionError(message) from error


class EventConsumer(Consumer):
    """Set as `worker_consumer`. On Celery's own pools it is Celery's consumer, less some steps."""

    class Blueprint(Consumer.Blueprint):
        """Celery's steps but those that make queues or bindings of their own."""

        default_steps = [  # noqa: RUF012
            step for step in Consumer.Blueprint.default_steps if not step.endswith(_LEFT_OUT)
        ]

    _flush_is_due = False  # monitors are told at the end of this turn of the pool's loop

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(
            *args, **kwargs, without_mingle=True, without_gossip=True
        )  # other steps require them
        self.runtime: Runtime = self.app.qt_events_runtime
        self.strategies, self._arrivals = _Strategies(self), Arrivals(self)
        self.selection = self._selection(**(kwargs.get("worker_options") or {}))
        self._serving: Serving = self.app.qt_events_serving
        self._shutdown = self._serving.shutdown
        check_options(pool_name(type(self.pool)), self.controller)
        self._serving.take_part(self)
        self.selection.leave_others()
        # An app that the bus made has only tasks that some library gives to every app: nobody would publish to Celery's
        # own queue.
        if not (
            self.runtime.settings.app_is_users
            and any(is_plain(task) for task in self.app.tasks.values())
        ):
            self.app.amqp.queues.deselect(self.app.conf.task_default_queue)

    def _selection(self, subscriptions: Sequence[str] = (), **_: Any) -> Selection:
        """From the worker's options. InvalidOptionError if a pattern fits nothing."""
        names = (each.name for each in self.runtime.subscriptions)
        return Selection(self.runtime, patterns_from(subscriptions, names))

    def loop(self, *args: Any) -> None:
        """Celery calls this once a connection, with all consumers made; it returns when the connection ends.

        A channel that the broker closed (an event that nobody settled within its `consumer_timeout`, say) ends that
        alone: Celery would end the worker. TopologyError: a queue must not be read.
        """
        try:
            self._loop(*args)
        except ChannelError as error:
            if isinstance(error, AccessRefused) and error.method_sig == spec.Basic.Consume:
                message = (
                    f"a queue must not be read by this user ({error.reply_text}): give it the rights that "
                    "`qt-events topology permissions` prints"
                )
                raise TopologyError(message) from error
            _give_up_connection(error)

    def _loop(self, *args: Any) -> None:
        if not isinstance(self.pool, AsyncioPool):
            try:
                (asynloop if self.hub else synloop)(*args)
            finally:
                self._remember_what_is_held()
            return
        hub = HandedOverHub(
            self.hub,
            self.pool.loop,
            resume=self.pool.resume,
            pause=self.pool.pause,
            look=self._maybe_stop,
        )
        before, after = (
            args[:4],
            args[5:],
        )  # consumer, connection, task consumer, blueprint; the hub; qos, ...
        self._cancel, self.task_consumer.cancel = (
            self.task_consumer.cancel,
            self._cancel_from_any_thread,
        )
        try:
            asynloop(*before, hub, *after)
        except (
            SystemExit
        ):  # a signal, remote control or bus.stop(); the connection still stands, and the loop's
            self._drain(hub)
            raise
        finally:
            self._remember_what_is_held()
            hub.take_back()
            self.task_consumer.cancel = self._cancel

    def _remember_what_is_held(self) -> None:
        """This process lives: that its connection ends is nobody's fault."""
        for request in tuple(state.reserved_requests):
            if getattr(request.task, "runtime", None) is self.runtime:
                self.runtime.survived.grant(request.envelope)

    def on_send_event_buffered(self) -> None:
        """Celery's own tells monitors at its hub's next step: on an idle asyncio pool a quarter of a second later."""
        if not (isinstance(self.pool, AsyncioPool) and self.pool.is_in_charge):
            super().on_send_event_buffered()  # from another thread it wakes the hub
        elif not self._flush_is_due:
            self._flush_is_due = True
            self.pool.loop.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        self._flush_is_due = False
        # Else the dispatcher is Celery's thread's again, which takes over what waits.
        if self.pool.serving and self.event_dispatcher:
            self.event_dispatcher.flush()

    def _maybe_stop(self) -> None:
        if self._shutdown.wanted:
            raise WorkerShutdown(0)

    def _cancel_from_any_thread(self) -> None:
        """Celery's handler of a second signal cancels from the main thread, while the connection is the loop's."""
        self.pool.loop.call_soon_threadsafe(ignore_errors, self.connection, self._cancel)

    def _drain(self, hub: HandedOverHub) -> None:
        """Take no more, and finish what is held within the grace period; a second signal ends the waiting."""
        finishing = asyncio.run_coroutine_threadsafe(self._finish(), self.pool.loop)
        while not (wait([finishing], timeout=_LOOK).done or self.pool.loop.is_closed()):
            if self._must_hurry() or hub.lost:
                self.pool.loop.call_soon_threadsafe(self.pool.hurry)
        if finishing.done() and not finishing.cancelled() and finishing.exception() is not None:
            logger.error("what was held is given back", exc_info=finishing.exception())

    async def _finish(self) -> None:
        ignore_errors(self.connection, self._cancel)
        if self.pool.held:
            logger.info(
                "stopping: %d events to finish within %g s",
                self.pool.held,
                self.runtime.settings.grace,
            )
        idle = (
            not self.pool.serving
        )  # told to stop while it connected: nothing is being handled, all is given back
        await self.pool.drain(0 if idle or self._must_hurry() else self.runtime.settings.grace)

    def _must_hurry(self) -> bool:
        return self._shutdown.hurry or state.should_terminate not in (None, False)

    # Queues that come and go while the worker runs; on the thread that owns the connection

    def taker(
        self, subscription: str, channel: Channel
    ) -> Callable[[str, int, Envelope], None] | None:
        """What takes the messages of its queue that come by this channel; None on Celery's own pools."""
        if not isinstance(self.pool, AsyncioPool):
            return None
        acks = self.pool.acks_of(channel)

        def take(id: str, tag: int, envelope: Envelope) -> None:
            self._arrivals[subscription](id, tag, envelope, acks)

        return take

    def take_up(self, queues: Sequence[SubscriptionQueue]) -> None:
        """Consume from the queues of a subscription that is new, or has a new pattern."""
        if isinstance(self.pool, AsyncioPool):
            self.pool.spawn(partial(self._declare_and_consume, queues))
        elif self.connection is not None:
            for queue in queues:
                queue.declare(channel=self.connection.default_channel)
            self._consume(queues)

    async def _declare_and_consume(self, queues: Sequence[SubscriptionQueue]) -> None:
        """New queues take the broker its time: the publisher's thread waits for them, not this loop."""
        try:
            await self.runtime.declarations.made()
            for queue in queues:
                if self.pool.serving:  # else the next connection consumes from all queues there are
                    self._consume([queue])
                await asyncio.sleep(
                    0
                )  # each is a round trip or two: let the handlers run in between
        except QtEventsError:
            logger.exception("%s is not served", queues[0].subscription)
        except (*self.connection_errors, *self.channel_errors) as error:
            logger.info("%s: consumed from after reconnecting (%s)", queues[0].subscription, error)
            self.pool.void()  # py-amqp opens a closed channel again by itself: its tags begin anew, nobody consumes
            self.hub.call_soon(_give_up_connection, error)

    def _consume(self, queues: Sequence[SubscriptionQueue]) -> None:
        if self.task_consumer is None:
            return  # it stops
        for queue in queues:
            for known in (self.strategies, self._arrivals):
                known.pop(
                    queue.subscription, None
                )  # of another subscription that had the name before
        self.task_consumer.auto_declare = (
            False  # they stand; declaring again would hold up the loop
        )
        try:
            for queue in queues:
                if queue.name in self.app.amqp.queues:  # not unsubscribed meanwhile
                    self.add_task_queue(queue.name)
        finally:
            self.task_consumer.auto_declare = True

    def drop(self, queues: Sequence[SubscriptionQueue]) -> None:
        """Consume from them no more, and give back what was taken from them and not begun."""
        for queue in queues:
            if self.task_consumer is not None:
                self.cancel_task_queue(queue.name)
            if isinstance(self.pool, AsyncioPool):
                self.pool.give_back(queue.subscription)

    def update_strategies(self) -> None:
        """Celery asks for it once a connection. Each is made when its first message comes: some tasks come later."""
        self.strategies.clear()
        self._arrivals.clear()
        self.selection.declare_others(self.connection.default_channel)

    def on_unknown_task(self, body: Any, message: kombu.Message, exc: Exception) -> None:
        """What came from a subscription's queue goes back there; Celery would drop it."""
        if ENVELOPE in message.headers:
            logger.warning(
                "%s is not served here (any more): an event goes back to its queue",
                message.headers["task"],
            )
            message.requeue()
        else:
            super().on_unknown_task(body, message, exc)

    def add_task_queue(self, queue: str, *args: Any, **kwargs: Any) -> None:
        """Remote control's add_consumer too: it adds subscriptions' queues, and never makes one of Celery's own."""
        if queue not in self.app.amqp.queues and not self.app.conf.task_queues:
            logger.error(
                "no subscription of this worker has a queue %r: nothing is consumed from it", queue
            )
            return
        super().add_task_queue(queue, *args, **kwargs)

    def limits_rate(self, request: Any) -> bool:
        """Whether its task has a rate limit: then it goes to the pool when that lets it."""
        bucket = self.task_buckets[request.name]
        if bucket is None:
            return False
        wait_in(bucket, request, self)
        return True

    def reset_rate_limits(self) -> None:
        """Remote control's rate_limit: what waits for the old one goes by the new one."""
        buckets = [bucket for bucket in self.task_buckets.values() if bucket is not None]
        super().reset_rate_limits()
        for bucket in buckets:
            while bucket.contents:
                request, _tokens = bucket.pop()
                if not self.limits_rate(request):
                    hand_over(request, self)

    def start(self) -> None:
        """Celery's own. What ends a worker process by its own name needs no traceback; run_forever raises it."""
        try:
            super().start()
        except (LoginRefusedError, TopologyError) as error:
            if self.runtime.loop is not None:
                raise
            logger.critical("%s: %s", type(error).__name__, error)
            raise WorkerShutdown(EX_FAILURE) from error

    def stop(self) -> None:
        """The worker stops: what a child process has is finished."""
        with remembering(self.pool):
            super().stop()

    def connect(self) -> kombu.Connection:
        """Celery's own, with a name for a refused login; one refused later may be allowed again, so that is retried."""
        self.runtime.topology.ask_again()
        try:
            connection = super().connect()
        except (AccessRefused, NotAllowed) as error:
            where = self.conninfo.as_uri()
            if not self.restart_count:
                message = f"{where} does not let us in ({error.reply_text}): check user, password and virtual host"
                raise LoginRefusedError(message) from error
            logger.warning(
                "worker: %s does not let us in (%s), again in %g s",
                where,
                error.reply_text,
                _REFUSED_PAUSE,
            )
            self._pause()
            raise ConnectionRefusedError(str(error)) from error
        if self.app.conf.worker_enable_remote_control:
            self._claim_name(connection)
        return connection

    def _pause(self) -> None:
        """Before another try to log in; whoever stops the worker does not wait for it."""
        until = time.monotonic() + _REFUSED_PAUSE
        while time.monotonic() < until:
            self._give_up_if_stopping()
            time.sleep(_LOOK)

    def _claim_name(self, connection: kombu.Connection) -> None:
        """Have the node's control queue before any event: it is exclusive, and tells of another worker of this name."""
        for _ in range(_NAME_TRIES):
            try:
                with connection.channel() as channel:
                    self.app.control.mailbox.get_queue(self.hostname)(channel).queue_declare()
                return
            except ResourceLocked as error:
                refusal = error
            time.sleep(_NAME_PAUSE)
            self._give_up_if_stopping()
        if (
            self.restart_count
        ):  # our own lost connection has it, until the broker misses its heartbeat
            raise ConnectionRefusedError(str(refusal)) from refusal
        taken = BusStateError(
            f"a worker named {self.hostname} is running already: give this one a name of its own, such as "
            f"-n {self.hostname.partition('@')[0]}2@%h, or none, and it gets a unique one"
        )
        logger.critical("%s: %s", type(taken).__name__, taken)
        raise WorkerShutdown(EX_FAILURE) from taken

    def ensure_connected(self, conn: kombu.Connection) -> kombu.Connection:
        """Try until there is a connection, or the worker is to stop; soon again, for events wait."""
        connected = conn.ensure_connection(
            partial(self._on_connection_refused, conn),
            self.app.conf.broker_connection_max_retries,
            interval_start=0.2,
            interval_step=0.4,
            interval_max=2.0,
            callback=self._give_up_if_stopping,
        )
        self.first_connection_attempt = False
        connected.stays_lost = True
        connected.connection.sock.settimeout(
            ANSWER_TIMEOUT
        )  # no heartbeats are looked at until all is set up
        return connected

    def _on_connection_refused(
        self, conn: kombu.Connection, error: Exception, interval: float
    ) -> None:
        self._serving.note_refusal(error)
        logger.warning(
            "worker: no connection to %s (%s), again in %.1f s", conn.as_uri(), error, interval
        )

    def _give_up_if_stopping(self) -> None:
        state.maybe_shutdown()
        if self._shutdown.wanted:
            raise WorkerShutdown(0)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Celery's own, less its announcement of another default in Celery 6."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CPendingDeprecationWarning)
            super().on_connection_error_after_connected(exc)
        if self.event_dispatcher is not None and self.event_dispatcher.connection is not None:
            self.event_dispatcher.connection.collect()  # Celery would say goodbye, and wait for an answer without end
