"""AsyncioPool: a Celery worker pool whose handlers are coroutines on one event loop, a lane a subscription."""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any

from amqp import Channel
from amqp.exceptions import ChannelError
from celery.concurrency.base import BasePool, apply_target

from qt_events.delivery.lane import Lane
from qt_events.delivery.outcome import Done, Outcome
from qt_events.delivery.threads import DaemonThreads
from qt_events.errors import BrokerError, BusStateError
from qt_events.rabbitmq.handling.attempt import PAUSE, Begun, begin_attempt, finish_attempt, isolate
from qt_events.rabbitmq.handling.quarantine import NextStep, next_step
from qt_events.rabbitmq.pools.acks import Acks
from qt_events.rabbitmq.pools.asyncio_delivery import Delivery
from qt_events.rabbitmq.pools.exclusive_gate import ExclusiveGate
from qt_events.rabbitmq.pools.loop_thread import LoopThread
from qt_events.rabbitmq.runtime import Runtime
from qt_events.shutdown import Shutdown

logger = logging.getLogger("qt_events")

_COMPANY = 30.0  # seconds that handlers have to end for one that is to be alone
_TRIAL = 300.0  # seconds that it has before they go on
_ACQUITTAL = 2.0  # seconds at the end, for the broker's confirm
_COPY = 1.0  # seconds for the broker to deliver a copy; behind many others it takes longer, and they are not to wait


class AsyncioPool(BasePool):
    """Async handlers on the loop of `run_forever` (in a worker process: of a thread of its own), sync ones in threads.

    Celery's `concurrency` is the number of threads for sync handlers; how many events of a subscription
    are handled at a time is the subscription's own `concurrency`.
    """

    signal_safe = False
    task_join_will_block = False
    body_can_be_buffer = True

    loop: asyncio.AbstractEventLoop

    def on_start(self) -> None:
        """Celery starts the pool."""
        self.runtime: Runtime = self.app.qt_events_runtime
        callers_loop = self.runtime.loop
        self._own_loop = None if callers_loop else LoopThread()
        self.loop = callers_loop if self._own_loop is None else self._own_loop.start()
        self.executor = DaemonThreads(self.limit)
        self._lanes: dict[tuple[str, bool], Lane[Delivery]] = {}
        self._gate = ExclusiveGate()
        self._context = copy_context()
        self._running = False
        self._acks: Acks | None = None  # of the channel that deliveries come by
        self._spawned: set[Future[None]] = set()

    def on_stop(self) -> None:
        """End the threads, once what was to be finished is finished; see `drain`.

        Celery's handler of a second signal calls it while the connection stands, which is too
        early: what is held has to be given back first.
        """
        if self._running:
            return
        self.executor.shutdown(wait=False)
        if self._own_loop is not None:
            self._own_loop.stop()

    on_terminate = on_stop

    def on_apply(self, target: Any, args: Any = None, kwargs: Any = None, callback: Any = None,
                 accept_callback: Any = None, **_: Any) -> None:  # fmt: skip
        """A plain Celery task of the same app: in a thread."""
        self.executor.submit(self._apply, target, args, kwargs, callback, accept_callback)

    def _apply(self, *call: Any) -> None:
        self.app.set_current()  # Celery looks the task up in its thread's app
        try:
            apply_target(*call)
        except Exception:
            logger.exception("a task of %r has no result", self.app.main)

    # Its size

    @property
    def num_processes(self) -> int:
        """Threads for sync handlers, at most."""
        return self.limit  # type: ignore[no-any-return]

    def grow(self, n: int = 1) -> None:
        """`control pool_grow`: so many more threads for sync handlers."""
        self.limit += n
        self.executor.resize(self.limit)

    def shrink(self, n: int = 1) -> None:
        """`control pool_shrink`: so many threads fewer, when they are done with what they do; one stays."""
        self.grow(max(1, self.limit - n) - self.limit)

    @property
    def info(self) -> dict[str, Any]:
        """Facts for `inspect stats`: a lane is a subscription that had something to do here."""
        lanes = {
            f"{name} (quarantine)" if quarantined else name: {
                "waiting": len(lane),
                "handling": lane.busy,
                "concurrency": lane.concurrency,
            }
            for (name, quarantined), lane in tuple(self._lanes.items())
        }
        return {
            **super().info,
            "threads": len(self.executor),
            "held": self.held,
            "lanes": lanes,
        }

    # Deliveries

    def acks_of(self, channel: Channel) -> Acks:
        """The acknowledgements of a channel that messages are about to come by: one a connection."""
        if self._acks is None or self._acks.channel is not channel:
            if self._acks is not None:
                self._acks.end()
            self._acks = Acks(channel, self.loop.call_soon)
        return self._acks

    def admit(self, delivery: Delivery) -> None:
        """Queue a delivery in its subscription's lane."""
        if threading.get_ident() == getattr(self, "_thread", None):
            self._push(delivery)
        else:  # Celery's own thread, while it sets the consumers up
            self.loop.call_soon_threadsafe(self._push, delivery)

    def _push(self, delivery: Delivery) -> None:
        key = (delivery.envelope.subscription, delivery.envelope.quarantined)
        concurrency = 1 if delivery.envelope.quarantined else delivery.task.subscription.concurrency
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(concurrency, self._process)
            if self._running:
                lane.start(self.loop, self._context)
        lane.concurrency = concurrency  # another, if it was unsubscribed and subscribed again
        lane.push(delivery)

    def _process(self, delivery: Delivery) -> Coroutine[Any, Any, None] | None:
        """As a Lane wants it. Most wait for nothing: they are done with when this returns."""
        if delivery.envelope.is_on_trial:
            return self._process_alone(delivery)
        return self._process_when_open(delivery) if self._gate.closed else self._begin(delivery)

    async def _process_when_open(self, delivery: Delivery) -> None:
        await self._gate.opened()
        await self._handle(delivery)

    async def _process_alone(self, delivery: Delivery) -> None:
        """Nothing else is handled meanwhile, unless it or the others take long: then nobody waits any more."""
        envelope = delivery.envelope
        about = (envelope.subscription, envelope.event_id)
        if self._gate.reserved_for != about and not await self._gate.begin(_COMPANY):
            await self._handle(delivery)  # it counts all the same: there has to be an end
            return
        with self._gate.at_most(_TRIAL):
            await self._handle(delivery)
        if (
            delivery.acknowledged and next_step(envelope) is NextStep.TRY_ALONE
        ):  # a marked copy is on its way here
            self._gate.reserve(about, _COPY)

    async def _handle(self, delivery: Delivery) -> None:
        rest = self._begin(delivery)
        if rest is not None:
            await rest

    def _begin(self, delivery: Delivery) -> Coroutine[Any, Any, None] | None:
        """Handle it as far as that comes without waiting; what is to be awaited for the rest."""
        if delivery.is_void():
            delivery.forget()
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
        except Exception as error:  # noqa: BLE001  # `_finish` tells of it
            begun = _fails(error)
        if not isinstance(begun, Done):
            return self._finish(delivery, begun)
        delivery.settle(begun)
        return None

    async def _finish(self, delivery: Delivery, begun: Begun) -> None:
        self._gate.enter()
        delivery.goes_on()
        try:
            outcome = await finish_attempt(
                delivery.envelope,
                self.runtime,
                begun,
                is_void=delivery.is_void,
                on_retry=delivery.tell_retry,
            )
        except Exception as error:  # noqa: BLE001  # told of; the broker delivers it again
            _log_return(delivery, error)
            if not isinstance(error, BusStateError):
                await asyncio.sleep(PAUSE)  # it would be the same at once
            self._return(delivery)
        else:
            if delivery.is_void():
                delivery.forget()
            else:
                delivery.settle(outcome)
        finally:
            self._gate.leave()

    def _return(self, delivery: Delivery) -> None:
        if delivery.is_void():
            delivery.forget()
        else:
            self.runtime.survived.grant(delivery.envelope)
            delivery.give_back()

    def give_back(self, subscription: str) -> None:
        """What waits for it goes back to its queue; what is being handled is finished."""
        for quarantined in (False, True):
            lane = self._lanes.get((subscription, quarantined))
            for delivery in lane.clear() if lane is not None else ():
                delivery.give_back()

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run something beside the handlers, until `drain`; from any thread."""
        if not self.loop.is_closed():
            future = asyncio.run_coroutine_threadsafe(work(), self.loop)
            self._spawned.add(future)
            future.add_done_callback(self._spawned.discard)

    @property
    def serving(self) -> bool:
        """The connection is the loop's: nobody else may use it."""
        return self._running

    @property
    def is_in_charge(self) -> bool:
        """This is the loop's thread, and the connection is its own."""
        return self._running and threading.get_ident() == self._thread

    # The connection comes and goes; on the loop's thread

    def resume(self) -> None:
        """The connection is the loop's: handle what waits."""
        self._thread = threading.get_ident()
        self._running = True
        for lane in self._lanes.values():
            lane.start(self.loop, self._context)

    def pause(self, error: BaseException | None) -> None:
        """The connection is gone: what waits was its, and the broker delivers it again; what runs goes on.

        None of its delivery tags is used any more: on another channel it would be somebody else's.
        """
        if not isinstance(
            error, ChannelError
        ):  # what was handled need not be, again, if the connection still takes it
            self._tell_acks()
        self.void()
        for lane in self._lanes.values():
            lane.pause()
            for delivery in lane.clear():
                self._abandon(delivery)

    def void(self) -> None:
        """What came by this channel is none of ours any more, though the connection may stand: the broker closed it."""
        self._running = False
        if self._acks is not None:
            self._acks.end()
            self._acks = None

    def _tell_acks(self) -> None:
        if self._acks is not None:
            self._acks.flush()

    async def drain(self, shutdown: Shutdown, grace: float) -> None:
        """Finish what is held within `grace` seconds, unless the shutdown hurries; give back the rest.

        Handlers that still run then are cancelled.
        """
        await shutdown.finish(self._settled(), grace)
        if self.held:
            logger.warning("stopping: %d events are given back to their queues", self.held)
        for future in tuple(self._spawned):
            future.cancel()
        await asyncio.gather(*(lane.cancel() for lane in self._lanes.values()))
        for (_, quarantined), lane in tuple(self._lanes.items()):
            for delivery in lane.clear():
                if quarantined:
                    await self._acquit(delivery)
                self._abandon(delivery)
        self._tell_acks()

    async def _settled(self) -> None:
        while self.held:
            await asyncio.gather(*(lane.settled() for lane in self._lanes.values()))

    def _abandon(self, delivery: Delivery) -> None:
        """Leave it to the broker, which delivers it again. That is no fault of the event: this process lives."""
        self.runtime.survived.grant(delivery.envelope)
        delivery.forget()

    async def _acquit(self, delivery: Delivery) -> None:
        """Take back the trial of an event that was being handled alone when this process was to stop."""
        envelope = delivery.envelope
        if not envelope.trials or envelope.returns or delivery.is_void():
            return
        try:
            async with asyncio.timeout(_ACQUITTAL):
                await isolate(envelope, self.runtime, envelope.trials - 1)
        except (BrokerError, BusStateError, TimeoutError) as error:
            message = "%s: event %s is tried once more: %s"
            logger.info(message, delivery.name, envelope.event_id, error)
        else:
            delivery.replace()

    def slowest(self) -> tuple[str, int]:
        """The subscription with most events waiting in this process, and how many."""
        waiting = {name: len(lane) + lane.busy for (name, _), lane in tuple(self._lanes.items())}
        name = max(waiting, key=lambda key: waiting[key], default="")
        return name, waiting.get(name, 0)

    @property
    def held(self) -> int:
        """Events that wait or are being handled in this process."""
        return sum(len(lane) + lane.busy for lane in tuple(self._lanes.values()))


def _log_return(delivery: Delivery, error: Exception) -> None:
    """Why an event has no outcome."""
    envelope = delivery.envelope
    if isinstance(error, BusStateError):
        level, why, fault = logging.INFO, str(error), None
    elif isinstance(error, BrokerError):
        level, why, fault = logging.WARNING, str(error), None
    else:
        level, why, fault = logging.ERROR, "a fault of this library", error
    message, about = (
        "%s: event %s goes back to its queue: %s",
        (delivery.name, envelope.event_id, why),
    )
    logger.log(level, message, *about, exc_info=fault, extra=envelope.log_fields())


async def _fails(error: Exception) -> Outcome:
    """In place of the rest of an attempt: it could not begin."""
    raise error
