"""EventConsumer: Celery's consumer with subscriptions that come and go, and no queue of its own."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from signal import SIGTERM
from typing import Any, NoReturn

import kombu
from amqp import Channel, spec
from amqp.exceptions import (
    AccessRefused,
    ChannelError,
    ConsumerCancelled,
    NotFound,
    RecoverableConnectionError,
)
from celery.app.trace import build_tracer
from celery.concurrency.solo import TaskPool as SoloPool
from celery.exceptions import WorkerShutdown
from celery.platforms import EX_FAILURE
from celery.worker import state
from celery.worker.consumer import Consumer
from celery.worker.loops import asynloop, synloop

from qt_events.errors import LoginRefusedError, NoRecorderError, TopologyError
from qt_events.rabbitmq.app import task_registration
from qt_events.rabbitmq.app.configuration import must_not_unpickle
from qt_events.rabbitmq.app.selection import Selection, patterns_from
from qt_events.rabbitmq.compat.celery_worker import remembering
from qt_events.rabbitmq.connection.connections import NOBODY, own
from qt_events.rabbitmq.connection.defaults import chosen
from qt_events.rabbitmq.messages.envelope import Envelope
from qt_events.rabbitmq.pools.asyncio_delivery import Arrivals
from qt_events.rabbitmq.pools.asyncio_pool import AsyncioPool
from qt_events.rabbitmq.pools.names import check_options, pool_name
from qt_events.rabbitmq.pools.task_events import TaskEvents
from qt_events.rabbitmq.topology.queues import ENVELOPE, SubscriptionQueue
from qt_events.rabbitmq.worker import remote_control
from qt_events.rabbitmq.worker.asyncio_loop import AsyncioLoop
from qt_events.rabbitmq.worker.celery_flags import is_hurried
from qt_events.rabbitmq.worker.connecting import ConnectingConsumer
from qt_events.rabbitmq.worker.consuming_anew import ConsumingAnew
from qt_events.rabbitmq.worker.old_events import OldEvents
from qt_events.rabbitmq.worker.quarantines import Quarantines
from qt_events.rabbitmq.worker.rate_limits import RateLimitedConsumer
from qt_events.rabbitmq.worker.second_signal import heed_second_signal
from qt_events.rabbitmq.worker.serving import Take
from qt_events.rabbitmq.worker.unknown_tasks import UnknownTasks, has_expired
from qt_events.shutdown import State, Trigger

logger = logging.getLogger("qt_events")

# Mingle is left to be required by another step, if the app has tasks of its own. DelayedDelivery is
# replaced: see PlainQueuesDelayed; and Control: see AnsweringControl.
_LEFT_OUT = (":Mingle", ":Gossip", ":DelayedDelivery", ":Control")

remote_control.guard()


class Strategies(dict[str, Any]):
    """Celery's way to take each task's messages, made when a task's first message comes.

    Celery makes all of them once a connection. A subscription may come later than that.
    """

    def __init__(self, consumer: Consumer) -> None:
        super().__init__()
        self._consumer = consumer

    def __missing__(self, name: str) -> Any:
        app = self._consumer.app
        # A KeyError for a task that does not exist: Celery reports it.
        task = app.tasks[name]
        task.__trace__ = build_tracer(name, task, app.loader, self._consumer.hostname, app=app)
        strategy = self[name] = task.start_strategy(app, self._consumer)
        return strategy


class EventConsumer(ConnectingConsumer, RateLimitedConsumer):
    """Consumer of every worker that serves a bus, named by the setting `worker_consumer`."""

    class Blueprint(Consumer.Blueprint):
        """Celery's steps without those that make queues or bindings of their own."""

        default_steps = [  # noqa: RUF012
            *(step for step in Consumer.Blueprint.default_steps if not step.endswith(_LEFT_OUT)),
            "qt_events.rabbitmq.worker.delayed_tasks:PlainQueuesDelayed",
            "qt_events.rabbitmq.worker.remote_control:AnsweringControl",
        ]

    # Monitors are told at the end of this turn of the pool's loop.
    _flush_is_due = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        app = kwargs["app"]
        self.runtime = app.qt_events_runtime
        must_not_unpickle(app)
        app.events.dispatcher_cls = TaskEvents
        kwargs.setdefault("amqheartbeat", chosen(app, "broker_heartbeat"))
        if self.runtime.topology.queue_type == "classic":
            # Before RabbitMQ 4, it would hold for all queues of a channel together.
            kwargs.update(initial_prefetch_count=0, prefetch_multiplier=0)
        has_plain_tasks = task_registration.has_plain_tasks(self.runtime)
        # A worker that mingles asks the others for the tasks that were revoked.
        options = kwargs.get("worker_options") or {}
        mingles = has_plain_tasks and not options.get("without_mingle")
        super().__init__(*args, **kwargs, without_mingle=not mingles, without_gossip=True)
        self.strategies, self._arrivals = Strategies(self), Arrivals(self)
        self._unknown_tasks = UnknownTasks(self, self.runtime)
        self.selection = self._selection(**options)
        self._serving = self.app.qt_events_serving
        self._consuming_anew = ConsumingAnew(self, self._serving)
        self._old_events = OldEvents(self, self.runtime, self._consuming_anew)
        self.quarantines = Quarantines(self, self.runtime)
        self._shutdown = self._serving.shutdown
        check_options(pool_name(type(self.pool)), self.controller)
        self._serving.take_part(self)
        self.selection.leave_others()
        self.runtime.declarations.serve()
        if not has_plain_tasks:
            self.app.amqp.queues.deselect(self.app.conf.task_default_queue)

    def _selection(self, subscriptions: Sequence[str] = (), **_: Any) -> Selection:
        """Return the selection of `--subscriptions`. InvalidOptionError: a pattern fits nothing."""
        names = (each.name for each in self.runtime.subscriptions)
        return Selection(self.runtime, patterns_from(subscriptions, names))

    # One connection

    def loop(self, *args: Any) -> None:
        """Serve one connection until it ends. Celery calls this with all consumers made.

        If the broker closes a channel, for example over an event that nobody settled within its
        `consumer_timeout`, the connection ends. Celery would end the worker.

        Raises:
            TopologyError: this user may not read a queue.
        """
        try:
            self._loop(*args)
        except ChannelError as error:
            if isinstance(error, AccessRefused) and error.method_sig == spec.Basic.Consume:
                raise TopologyError(
                    f"this user has no right to read a queue ({error.reply_text}): "
                    "give it the rights that `qt-events topology permissions` prints"
                ) from error
            self._give_up(error)
        except ConsumerCancelled:
            # Its queue was deleted, or is away.
            self.runtime.declarations.forget()
            raise

    def _loop(self, *args: Any) -> None:
        looks = self.quarantines.begin()
        self.runtime.fates.look(self.selection)
        self.runtime.publisher.open_spool()
        self.runtime.feeder.begin(self.selection)
        try:
            if isinstance(self.pool, AsyncioPool):
                prefetches = self._consuming_anew.begin()
                try:
                    self._asyncio_loop().run(*args)
                finally:
                    prefetches.cancel()
            else:
                (asynloop if self.hub else synloop)(*args)
        finally:
            looks.cancel()
            self._old_events.end()
            self._remember_what_is_held()

    def _asyncio_loop(self) -> AsyncioLoop:
        return AsyncioLoop(self, self._shutdown, self.runtime.settings.grace)

    def _remember_what_is_held(self) -> None:
        """Count no returns against what is held: this process outlives its connection."""
        for request in tuple(state.reserved_requests):
            if getattr(request.task, "runtime", None) is self.runtime:
                self.runtime.survived.grant(request.envelope)

    def on_send_event_buffered(self) -> None:
        """Tell monitors soon. Celery would at its hub's next step, up to 0.25 s later."""
        if not (isinstance(self.pool, AsyncioPool) and self.pool.is_in_charge):
            # From another thread Celery's way wakes the hub.
            super().on_send_event_buffered()
        elif not self._flush_is_due:
            self._flush_is_due = True
            self.pool.loop.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        self._flush_is_due = False
        # Else the dispatcher belongs to Celery's thread again, which takes over what waits.
        if self.pool.serving and self.event_dispatcher:
            self.event_dispatcher.flush()

    # Start and stop

    def start(self) -> None:
        """Connect and serve, again and again.

        An error that ends a worker process by its own name needs no traceback. run_forever raises
        it.
        """
        if self.runtime.loop is None:
            heed_second_signal(self.controller, is_hurried)
        try:
            super().start()
        except (LoginRefusedError, NoRecorderError, TopologyError) as error:
            if self.runtime.loop is not None:
                raise
            logger.critical("%s: %s", type(error).__name__, error)
            raise WorkerShutdown(EX_FAILURE) from error
        except SystemExit:
            # Without a connection at the moment, handlers may run all the same.
            pool = self.pool
            if isinstance(pool, AsyncioPool) and (pool.held or pool.plain_tasks.running):
                self._asyncio_loop().finish()
            raise

    def stop(self) -> None:
        """Stop consuming. Child processes finish what they have."""
        # From here on Celery's thread waits, and one that its pool starts acknowledges.
        own(self.frames(), NOBODY)
        with remembering(self.pool):
            super().stop()

    def cancel_active_requests(self) -> None:
        """End what runs after a second signal, where the pool can. Celery calls it.

        Celery would stop at the first request that the pool cannot end, and leave out the rest of
        the shutdown.

        Raises:
            KeyboardInterrupt: on solo, to interrupt the handler or task, which runs in this thread.
        """
        is_interrupted = False
        for request in tuple(state.active_requests):
            late = request.task.acks_late
            if late and (request.acknowledged or request.id in state.successful_requests):
                continue
            if isinstance(self.pool, SoloPool):
                # A third signal is to interrupt nothing.
                state.active_requests.discard(request)
                is_interrupted = True
            else:
                # By threads, for one: the process ends without them.
                with suppress(NotImplementedError):
                    request.cancel(self.pool, emit_retry=not late)
        if is_interrupted:
            raise KeyboardInterrupt
        if pool_name(type(self.pool)) == "prefork":
            # What a child has just begun is not active yet, and Celery would wait for its end.
            for pid in self.pool.info["processes"]:
                self.pool.terminate_job(pid, SIGTERM)

    def shutdown(self) -> None:
        """Close the connection. Celery calls this last of all, when its pool has ended."""
        super().shutdown()
        self._unknown_tasks.stop()
        self.runtime.fates.stop()
        self.runtime.feeder.stop()
        # run_forever() may be called again, and whoever is told twice to end does not wait.
        if self.runtime.loop is None and self._shutdown.state is not State.GIVING_BACK:
            self.runtime.leave()
        self._shutdown.tell(Trigger.DONE)

    # Queues that come and go while the worker runs; on the thread that owns the connection

    def taker(self, queue: SubscriptionQueue, channel: Channel) -> Take | None:
        """Return what takes a queue's messages by this channel; None on Celery's own pools."""
        queue.on_cancelled = self._consuming_anew.take_up_again
        if not isinstance(self.pool, AsyncioPool):
            return None
        acks, subscription = self.pool.acks_of(channel), queue.subscription

        def take(id: str, tag: int, envelope: Envelope) -> None:
            self._arrivals[subscription](id, tag, envelope, acks)

        return self._consuming_anew.counting(queue, take)

    def take_up(self, queues: Sequence[SubscriptionQueue]) -> None:
        """Consume from the queues of a subscription that is new, or has a new pattern."""
        if isinstance(self.pool, AsyncioPool):
            self._consuming_anew.declare_and(queues, lambda queue: self._consume([queue]))
        elif self.connection is not None:
            for queue in queues:
                queue.declare(channel=self.connection.default_channel)
            self._consume(queues)

    def give_up_connection(self, error: Exception) -> None:
        """Begin anew: py-amqp opens a closed channel again, with new tags, and nobody consumes."""
        self.pool.void()
        self._give_up(error)

    def _give_up(self, error: Exception) -> NoReturn:
        if isinstance(error, NotFound):
            # Else the next connection trusts the queue as well, and so does the publisher.
            self.runtime.declarations.forget()
        raise RecoverableConnectionError(f"the broker closed the channel: {error}") from error

    def _consume(self, queues: Sequence[SubscriptionQueue]) -> None:
        if self.task_consumer is None:
            # The worker stops.
            return
        for queue in queues:
            # Another subscription may have had the name before.
            for known in (self.strategies, self._arrivals):
                known.pop(queue.subscription, None)
        # The queues are declared: doing it again would hold up the loop.
        self.task_consumer.auto_declare = False
        try:
            for queue in queues:
                # It may have been unsubscribed meanwhile.
                if queue.name in self.app.amqp.queues:
                    self.add_task_queue(queue.name)
        finally:
            self.task_consumer.auto_declare = True

    def drop(self, queues: Sequence[SubscriptionQueue]) -> None:
        """Stop consuming from these queues, and give back what was taken and not begun."""
        for queue in queues:
            self._old_events.drop(queue.subscription)
            if self.task_consumer is not None:
                self.cancel_task_queue(queue.name)
            if isinstance(self.pool, AsyncioPool):
                self.pool.lanes.give_back(queue.subscription)
            for known in (self.strategies, self._arrivals, self.task_buckets):
                known.pop(queue.subscription, None)

    def add_task_queue(self, queue: str, *args: Any, **kwargs: Any) -> None:
        """Consume from a subscription's queue, also for remote control's add_consumer.

        Celery would make a queue of its own for a name that it does not know, as it does for an app
        with tasks.
        """
        is_known = queue in self.app.amqp.queues or self.app.conf.task_queues
        if not (is_known or task_registration.has_plain_tasks(self.runtime)):
            message = "no subscription of this worker has a queue %r: nothing is consumed from it"
            logger.error(message, queue)
            return
        known = self.app.amqp.queues.get(queue)
        if self.task_consumer is not None and not isinstance(known, SubscriptionQueue):
            # Not the prefetch of the last subscription: Celery limits its channel.
            self.task_consumer.channel.basic_qos(0, 0, False)  # noqa: FBT003  # a_global
        super().add_task_queue(queue, *args, **kwargs)

    # Messages

    def update_strategies(self) -> None:
        """Forget the strategies of the last connection, and declare what is not known to stand.

        Celery calls it before it declares each queue that is consumed from.
        """
        self.strategies.clear()
        self._arrivals.clear()
        channel = self.connection.default_channel
        if self.runtime.feeder.serves(self.selection):
            self.runtime.topology.declare_starts(channel)
        self.runtime.declarations.declare_over(channel)
        self.runtime.newcomers.look_again(channel)
        self.quarantines.know()

    def on_unknown_task(self, body: Any, message: kombu.Message, exc: Exception) -> None:
        """Give back an event that nobody serves here, and a task that another worker may know.

        Celery would drop them.
        """
        if ENVELOPE in message.headers:
            text = "%s is not served here (any more): an event goes back to its queue"
            logger.warning(text, message.headers["task"])
            message.requeue()
        elif has_expired(message):
            super().on_unknown_task(body, message, exc)
        else:
            self._unknown_tasks.give_back(message, str(exc.args[0]))
