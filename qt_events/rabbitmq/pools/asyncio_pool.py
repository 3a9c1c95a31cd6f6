"""AsyncioPool: a Celery worker pool with one event loop, and a lane for each subscription."""

import asyncio
import logging
import math
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from typing import Any

from amqp import Channel
from amqp.exceptions import ChannelError
from celery.concurrency.base import BasePool
from celery.worker import state

from qt_events.delivery.ending import bind_end
from qt_events.delivery.outcome import Done
from qt_events.delivery.threads import DaemonThreads
from qt_events.delivery.waiting.lanes import Lane, cancel_all
from qt_events.errors import BrokerError, BusStateError
from qt_events.rabbitmq.handling.attempt import PAUSE, Begun, begin_attempt, fails, finish_attempt
from qt_events.rabbitmq.handling.copies import isolate
from qt_events.rabbitmq.handling.quarantine import NextStep, next_step
from qt_events.rabbitmq.pools.acks import Acks
from qt_events.rabbitmq.pools.asyncio_delivery import Delivery
from qt_events.rabbitmq.pools.batches import PoolBatches
from qt_events.rabbitmq.pools.exclusive_gate import ExclusiveGate
from qt_events.rabbitmq.pools.loop_thread import LoopThread
from qt_events.rabbitmq.pools.plain_tasks import PlainTasks
from qt_events.rabbitmq.pools.pool_lanes import PoolLanes
from qt_events.rabbitmq.pools.redeliveries import Redeliveries
from qt_events.rabbitmq.runtime import Runtime
from qt_events.shutdown import Shutdown

logger = logging.getLogger("qt_events")

# Seconds that handlers have to end for one that is to be handled alone.
_COMPANY = 30.0
# Seconds that this one has before the others go on.
_TRIAL = 300.0
# Seconds for the broker's confirm when the worker stops.
_ACQUITTAL = 2.0
# Seconds that the others wait for the broker to deliver a copy; behind many others it takes longer.
_COPY = 1.0


class AsyncioPool(BasePool):
    """Pool that calls async handlers on one event loop, and sync ones in threads.

    The loop is that of `run_forever`, in a worker process one in a thread of its own. Celery's
    `concurrency` is the number of threads for sync handlers; how many events of a subscription are
    handled at a time is the subscription's own `concurrency`.
    """

    signal_safe = False
    task_join_will_block = False
    body_can_be_buffer = True

    loop: asyncio.AbstractEventLoop

    def on_start(self) -> None:
        """Begin without a connection, see `resume`. Celery calls it."""
        self.runtime: Runtime = self.app.qt_events_runtime
        callers_loop = self.runtime.loop
        self._own_loop = None if callers_loop else LoopThread(self._die)
        #: Called when the loop has ended by itself. Nobody may use the connection there any more.
        self.on_death: Callable[[], object] = lambda: None
        self.loop = callers_loop if self._own_loop is None else self._own_loop.start()
        self.executor = DaemonThreads(self.limit)
        self.plain_tasks = PlainTasks(self.app, self.executor)
        self._gate = ExclusiveGate()
        self._running = self._ended = False
        self._context = copy_context()
        self._context.run(bind_end, lambda: self._ended)
        # Of the channel that deliveries come by.
        self._acks: Acks | None = None
        known = self.runtime.unacknowledged
        self.redeliveries = Redeliveries(known, self._finish_again, self._start)
        about = (self.runtime, self.executor, self._gate, self.redeliveries)
        batches = PoolBatches(*about, self._finish)
        self.lanes, self.haste = PoolLanes(batches.lane), batches.haste
        self._spawned: set[Future[None]] = set()

    def on_stop(self) -> None:
        """End the threads, once what was to be finished is finished; see `drain`.

        Celery's handler of a second signal calls it while the connection stands, which is too
        early: what is held has to be given back first. A loop that was closed gives nothing back.
        """
        if self._running and not self.loop.is_closed():
            return
        self._ended = True
        self.executor.shutdown(wait=False)
        if self._own_loop is not None:
            self._own_loop.stop()

    on_terminate = on_stop

    @property
    def is_dead(self) -> bool:
        """Tell whether the loop has ended by itself."""
        return self._own_loop is not None and self._own_loop.is_dead

    def _die(self) -> None:
        self._ended = True
        self.pause(None)
        self.on_death()

    def on_apply(self, target: Any, args: Any = None, kwargs: Any = None, **options: Any) -> None:
        """Run a plain Celery task of the same app in a thread."""
        self.plain_tasks.submit(target, args, kwargs, options)

    def flush(self) -> None:
        """Forget plain tasks that have not begun. Celery calls it when the connection is lost."""
        self.plain_tasks.flush()

    # Its size

    @property
    def num_processes(self) -> int:
        """Most threads for sync handlers."""
        return self.limit  # type: ignore[no-any-return]

    def grow(self, n: int = 1) -> None:
        """Add `n` threads for sync handlers (`control pool_grow`)."""
        self.limit += n
        self.executor.resize(self.limit)

    def shrink(self, n: int = 1) -> None:
        """Remove `n` threads once they are idle (`control pool_shrink`); at least one stays."""
        self.grow(max(1, self.limit - n) - self.limit)

    @property
    def info(self) -> dict[str, Any]:
        """Facts for `inspect stats`: a lane is a subscription that had something to do here."""
        lanes = self.lanes.describe()
        return {**super().info, "threads": len(self.executor), "held": self.held, "lanes": lanes}

    # Deliveries

    def acks_of(self, channel: Channel) -> Acks:
        """Return the acks of the channel that messages are about to come by."""
        if self._acks is None or self._acks.channel is not channel:
            if self._acks is not None:
                self._acks.end()
            on_unheard = partial(self.runtime.unacknowledged.add, outcome=None)
            self._acks = Acks(channel, self.loop.call_soon, on_unheard)
        return self._acks

    def admit(self, delivery: Delivery) -> None:
        """Queue a delivery in its subscription's lane."""
        if threading.get_ident() == getattr(self, "_thread", None):
            self._push(delivery)
        # Celery's own thread, while it sets the consumers up.
        else:
            self.loop.call_soon_threadsafe(self._push, delivery)

    def _push(self, delivery: Delivery) -> None:
        self.lanes.of(delivery, self._process, self._start).push(delivery)

    def _start(self, lane: Lane[Delivery]) -> None:
        if self._running:
            lane.start(self.loop, self._context)

    def _process(self, delivery: Delivery) -> Coroutine[Any, Any, None] | None:
        """Process a delivery of a lane. Most wait for nothing and end here, with None."""
        if delivery.outcome is not None:
            # It was put back while that was being stored.
            return self._finish_again(delivery)
        if delivery.envelope.is_on_trial:
            return self._process_alone(delivery)
        return self._process_when_open(delivery) if self._gate.closed else self._begin(delivery)

    async def _process_when_open(self, delivery: Delivery) -> None:
        await self._gate.opened()
        await self._handle(delivery)

    async def _process_alone(self, delivery: Delivery) -> None:
        """Handle it while nothing else is handled, unless it or the others take too long."""
        envelope = delivery.envelope
        about = (envelope.subscription, envelope.event_id)
        if self._gate.reserved_for != about and not await self._gate.begin(_COMPANY):
            # It counts all the same, so that there is an end.
            await self._handle(delivery)
            return
        with self._gate.at_most(_TRIAL):
            await self._handle(delivery)
        # A copy that is to be handled alone is on its way here.
        if delivery.acknowledged and next_step(envelope) is NextStep.TRY_ALONE:
            self._gate.reserve(about, _COPY)

    async def _handle(self, delivery: Delivery) -> None:
        rest = self._begin(delivery)
        if rest is not None:
            await rest

    def _begin(self, delivery: Delivery) -> Coroutine[Any, Any, None] | None:
        """Handle it as far as that comes without waiting; return what must be awaited, if any."""
        if delivery.is_void():
            self.redeliveries.end(delivery)
            return None
        delivery.started()
        envelope = delivery.envelope
        begun: Begun
        try:
            begun = begin_attempt(
                envelope,
                delivery.task.subscription,
                self.runtime,
                self.executor,
                is_revoked=delivery.revoked(),
            )
            if isinstance(begun, Done):
                self.runtime.concluded(envelope, begun)
        except Exception as error:  # noqa: BLE001  # logged by `_finish`
            begun = fails(error)
        if not isinstance(begun, Done):
            return self._finish(delivery, begun)
        delivery.settle(begun)
        return None

    async def _finish(self, delivery: Delivery, begun: Begun) -> None:
        if isinstance(begun, Coroutine):
            begun = self._gate.inside(begun)
        delivery.goes_on()
        try:
            outcome = await finish_attempt(
                delivery.envelope,
                self.runtime,
                begun,
                is_void=delivery.check_void,
                on_outcome=delivery.decided,
                patience=_endless,
                on_retry=delivery.tell_retry,
            )
        except Exception as error:  # noqa: BLE001  # logged; the broker delivers it again
            delivery.log_return(error)
            # At once it would fail again.
            if not (isinstance(error, BusStateError) or self._ended):
                await asyncio.sleep(PAUSE)
            self.redeliveries.give_back(delivery)
        else:
            if delivery.is_void():
                self.redeliveries.end(delivery, outcome, safe=not delivery.was_void)
            else:
                delivery.settle(outcome)

    def _finish_again(self, delivery: Delivery) -> Coroutine[Any, Any, None]:
        """Finish it by its outcome, or by the step that its message asks for instead of one."""
        return self._finish(delivery, delivery.outcome or next_step(delivery.envelope))

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run something beside the handlers, until `drain`. Safe from any thread."""
        if not self.loop.is_closed():
            future = asyncio.run_coroutine_threadsafe(work(), self.loop)
            self._spawned.add(future)
            future.add_done_callback(self._spawned.discard)

    @property
    def serving(self) -> bool:
        """Tell whether the loop owns the connection, which nobody else may use then."""
        return self._running

    @property
    def is_in_charge(self) -> bool:
        """Tell whether this is the loop's thread, and it owns the connection."""
        return self._running and threading.get_ident() == self._thread

    # The connection comes and goes; on the loop's thread

    def resume(self) -> None:
        """Own the connection, and handle what waits."""
        self._thread = threading.get_ident()
        self._running = True
        self.redeliveries.resume()
        for lane in self._all_lanes:
            lane.start(self.loop, self._context)

    def pause(self, error: BaseException | None) -> None:
        """Forget what waits, for the connection is gone and the broker delivers it again.

        Running handlers go on. No delivery tag is used any more: on another channel it would mean
        another message.
        """
        # If the connection still takes acks, what was handled is not delivered again.
        if self._acks is not None and not isinstance(error, ChannelError):
            self._acks.flush()
        self.void()
        for lane in self._all_lanes:
            lane.pause()
            for delivery in lane.clear():
                self.redeliveries.abandon(delivery)
        own = (each for each in tuple(state.active_requests) if isinstance(each, Delivery))
        self.redeliveries.go_on(each for each in own if each.task.runtime is self.runtime)

    def cut_off(self, subscription: str, *, quarantined: bool) -> None:
        """Forget what waits of a queue whose consumer is gone, for the broker delivers it again.

        Running handlers go on, as in `pause`.
        """
        if self._acks is not None:
            self._acks.flush()
        key = (subscription, quarantined)
        self.redeliveries.cut_off(key)
        waiting, running = self.lanes.cut_off(self.runtime, key)
        for delivery in waiting:
            self.redeliveries.abandon(delivery)
        self.redeliveries.go_on(running)

    def void(self) -> None:
        """Use the channel no more: the broker closed it, though the connection may stand."""
        self._running = False
        if self._acks is not None:
            self._acks.end()
            self._acks = None

    async def drain(self, shutdown: Shutdown, grace: float) -> None:
        """Finish what is held within `grace` seconds, unless the shutdown hurries.

        Handlers that still run then are cancelled, and the rest is given back. Plain tasks have
        their grace without a connection, too: most of them are acknowledged by then.
        """
        until = self.loop.time() + grace
        self.plain_tasks.close()
        await shutdown.finish(self._settled(shutdown, until), grace)
        self._ended = True
        if self.held:
            message = "stopping: %d events are given back to their queues; handlers that run: %s"
            logger.warning(message, self.held, ", ".join(self.lanes.running) or "none")
        for future in tuple(self._spawned):
            future.cancel()
        named = ((name, lane) for (name, *_), lane in self.lanes.items())
        await cancel_all([*named, *self.redeliveries.lanes.items()])
        for lane in self._all_lanes:
            for delivery in lane.clear():
                await self._acquit(delivery)
                self.redeliveries.abandon(delivery)
        if self._acks is not None:
            self._acks.flush()
        await self.plain_tasks.ended(shutdown, until)
        self.plain_tasks.abandon()

    async def _settled(self, shutdown: Shutdown, until: float) -> None:
        while self.held:
            await asyncio.gather(*(lane.settled() for lane in self._all_lanes))
        await self.plain_tasks.ended(shutdown, until)

    async def _acquit(self, delivery: Delivery) -> None:
        """Take back the trial of an event that was handled alone when the worker stopped."""
        envelope = delivery.envelope
        is_trial = envelope.trials and not envelope.returns
        if not is_trial or delivery.outcome is not None or delivery.is_void():
            return
        try:
            async with asyncio.timeout(_ACQUITTAL):
                await isolate(envelope, self.runtime, envelope.trials - 1)
        except (BrokerError, BusStateError, TimeoutError) as error:
            message = "%s: event %s is tried once more: %s"
            logger.info(message, delivery.name, envelope.event_id, error)
        else:
            delivery.replace()

    @property
    def held(self) -> int:
        """Number of events that wait or are being handled in this process."""
        return sum(lane.to_do for lane in self._all_lanes)

    @property
    def _all_lanes(self) -> list[Lane[Delivery]]:
        return [*self.lanes.values(), *self.redeliveries.lanes.values()]


def _endless() -> float:
    return math.inf
