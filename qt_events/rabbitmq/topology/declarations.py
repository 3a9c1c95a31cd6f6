"""Declarations: a bus's subscriptions as queues, and those that are declared already."""

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from time import monotonic
from typing import Any
from uuid import uuid4

import kombu
from amqp import Channel
from amqp import Connection as RawConnection

from qt_events.delivery.subscription import Subscription
from qt_events.errors import QtEventsError, TopologyError
from qt_events.rabbitmq.connection.forking import renew_after_fork
from qt_events.rabbitmq.connection.refusals import is_about_a_publish
from qt_events.rabbitmq.publishing.publisher import Publisher
from qt_events.rabbitmq.publishing.requests import DeclareRequest, Request
from qt_events.rabbitmq.topology.batches import NEW, STANDING, batches
from qt_events.rabbitmq.topology.known import Known
from qt_events.rabbitmq.topology.names import Topology
from qt_events.rabbitmq.topology.queues import SubscriptionQueue
from qt_events.rabbitmq.topology.registration import Registration
from qt_events.rabbitmq.topology.trust import Provenance

logger = logging.getLogger("qt_events")

_NEWS = 5.0  # seconds of declaring between two lines about it in the log
_SHARED = "shared objects"  # a name in what is Known that no subscription can have


class Declarations:
    """Preparation of every event: earlier subscriptions are declared before it is written.

    If a declaration fails, the publish that it was for fails with it, and the next one tries again.

    In a new epoch everything is declared again, not only the exchange, unless the worker of this
    process has declared it over a connection that still stands. RabbitMQ 3.10.8 confirms a binding
    before its log is on disk. Killed a second later, it may come back without it, and no publish
    would reach the queue. A subscription that could be declared before and cannot be any more is
    logged, and publishing goes on.

    A broadcast is declared once this process serves it, or is about to: `will_serve` tells. In a
    process that only publishes nobody would read its queue.
    """

    def __init__(
        self,
        topology: Topology,
        publisher: Publisher,
        prefetch: Callable[[Subscription], int],
        serves: Callable[[Subscription], bool],
        registration: Registration,
        *,
        taker: Callable[[SubscriptionQueue, Any], Any] = lambda *_: None,
        will_serve: Callable[[Subscription], bool] = lambda _: True,
    ) -> None:
        self._topology, self._publisher = topology, publisher
        self._registration = registration
        self._prefetch, self._serves, self._taker = prefetch, serves, taker
        self._will_serve = will_serve
        self._wanted: dict[str, Subscription] = {}
        # Wanted subscriptions that this epoch has yet to declare.
        self._missing: dict[str, Subscription] = {}
        # Names of those that were declared as they are, in this epoch or before.
        self._declared: set[str] = set()
        self._epoch = 0  # the publisher's, in which the exchange was declared
        self._over: RawConnection | None = None  # the publisher's in that epoch
        self._known = Known()
        self.progress = ""  #: how far subscriptions are declared; empty if none is just now
        # Ways of an outcome that have been declared, by what they are.
        self._ways: dict[str, Once] = {}
        # Bindings to remove.
        self._unbinding: set[tuple[Subscription, str]] = set()
        self._instance = _new_instance()
        self.instances: set[str] = set()  #: queues of broadcasts that this process declared
        self.unserved = False  #: there are broadcasts whose events this process does not take yet
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Become another instance. It declares what its parent may not have declared yet."""
        self._instance, self._epoch, self._ways = _new_instance(), 0, {}
        self._over, self._known, self.progress = None, Known(), ""
        self.instances = set()
        self._missing = {name: each for name, each in self._missing.items() if not each.broadcast}
        self.unserved = any(each.broadcast for each in self._wanted.values())

    def want(self, subscription: Subscription) -> None:
        """Declare a subscription that is new or has a new pattern, before the next publish."""
        self._registration.keep(subscription)
        self._declared.discard(subscription.name)
        self._wanted[subscription.name] = subscription
        if self._is_due(subscription):
            self._missing[subscription.name] = subscription
        else:
            self.unserved = True

    def serve(self) -> None:
        """Declare broadcasts too: this process serves from now on, or is about to."""
        self.unserved = False
        self._missing.update(self._due(broadcast=True))

    def heard(self, subscriptions: tuple[Subscription, ...]) -> tuple[Subscription, ...]:
        """Return those of these subscriptions that get what this process publishes now."""
        if not self.unserved:
            return subscriptions
        return tuple(each for each in subscriptions if not each.broadcast)

    def _is_due(self, subscription: Subscription) -> bool:
        return not subscription.broadcast or self._will_serve(subscription)

    def _due(self, *, broadcast: bool = False) -> dict[str, Subscription]:
        """Return what this process is to declare; with `broadcast` only broadcasts."""
        return {
            name: each
            for name, each in tuple(self._wanted.items())
            if self._is_due(each) and each.broadcast >= broadcast
        }

    def drop(self, subscription: Subscription) -> None:
        self._wanted.pop(subscription.name, None)
        self._missing.pop(subscription.name, None)
        self._declared.discard(subscription.name)
        self._ways.pop(_lasting(subscription), None)
        self._registration.drop(subscription)

    def unbind(self, subscription: Subscription, pattern: str) -> None:
        """Remove the binding by a pattern, soon, or once the subscription is declared.

        It is written down for every process of the subscription, of later releases too.
        """
        self._registration.remove(subscription, pattern)
        self._unbinding.add((subscription, pattern))
        if self._registration.has_entered(subscription) or subscription.name in self._declared:
            self._begin(Request(first=self))

    def has_unbound(self, subscription: Subscription, event_type: str) -> bool:
        """Return True if an event that the subscription does not hear came by an old binding.

        The subscription's own declarations have removed it, here, in another process, or in an
        earlier release. Else somebody may want the event.
        """
        answer = self._registration.has_unbound(subscription, event_type)
        if self._registration.begin_reading(subscription):
            ask = DeclareRequest("the register", self._registration.read)
            if not self._begin(ask):
                self._registration.not_read()
        return answer

    def _begin(self, request: Request) -> bool:
        """Have it carried out in the publisher's thread; False if that has ended."""
        try:
            self._publisher.begin(request)
        except QtEventsError as error:
            logger.debug("%s", error)
            return False
        return True

    async def made(self) -> None:
        """Return when all that was wanted so far is declared."""
        if self._missing or self._unbinding:
            await self._publisher.ask(Request(first=self))

    # As a Preparation, in the publisher's thread

    @property
    def about(self) -> str:
        waiting = f"{len(self._missing)} subscriptions" if self._missing else ""
        return self.progress or waiting or f"exchange {self._topology.events!r}"

    def needed(self, epoch: int) -> bool:
        return bool(self._missing or self._unbinding) or epoch != self._epoch

    def make(self, channel: Channel, epoch: int) -> None:
        """Declare what is wanted.

        Raises:
            TopologyError: a new declaration meets something with other arguments on the broker.
        """
        if epoch != self._epoch:
            self._begin_epoch(channel)
            self._epoch, self._over = epoch, channel.connection
        self._registration.enter(channel, self._wanted.values())
        self._declare_all(channel, tuple(self._missing.values()), self._declare_or_log)
        self._unbind(channel)

    def _begin_epoch(self, channel: Channel) -> None:
        if channel.connection is self._over:
            # The connection stands, and yet an exchange is gone.
            self.forget()
        self._missing.update(self._due())
        self._registration.try_again()
        if not self._missing:
            self._declare_base(channel)

    def _declare_base(self, channel: Channel) -> None:
        """Declare the exchange of events, which is also the first of the shared objects."""
        with self._known.lock:
            if not self._known.has(_SHARED, None, channel.connection):
                self._topology.declare_base(channel)

    def declare_over(self, channel: Channel) -> None:
        """Declare what this process needs, over a worker's connection, if nobody here has.

        A refusal closes the channel for a moment.

        Raises:
            TopologyError: something exists on the broker with other arguments, or is missing and
                may not be declared.
        """
        due = tuple(self._due().values())
        self._registration.enter(channel, self._wanted.values())
        self._declare_all(channel, due, self._declare_owned)
        self._unbind(channel)

    @property
    def _is_behind(self) -> bool:
        return bool(self._unbinding) or self._registration.is_behind

    def forget(self) -> None:
        """Have everything declared again: something is gone, though the connection stands."""
        self._known.forget()
        self._topology.forget_refusals()

    def _declare_all(
        self,
        channel: Channel,
        subscriptions: Sequence[Subscription],
        declare: Callable[[Channel, Subscription], None],
    ) -> None:
        """Declare them in batches; one by one, by `declare`, where the broker refuses something."""
        told, done = monotonic(), 0
        try:
            known = all(each.name in self._declared for each in subscriptions)
            for batch in batches(subscriptions, STANDING if known else NEW):
                self.progress = f"subscriptions (declaring {done + 1} of {len(subscriptions)})"
                if monotonic() - told > _NEWS:
                    told = monotonic()
                    logger.info("declaring %d of %d subscriptions", done + 1, len(subscriptions))
                patterns = {each: each.patterns for each in batch}
                # Others have their turn between two batches.
                with self._known.lock:
                    self._declare_batch(channel, batch, declare)
                channel.connection.heartbeat_tick()
                done += len(batch)
                for each in batch:
                    self._no_longer_missing(each, patterns[each])
        finally:
            self.progress = ""

    def _declare_batch(
        self,
        channel: Channel,
        batch: Iterable[Subscription],
        declare: Callable[[Channel, Subscription], None],
    ) -> None:
        new = [each for each in batch if not self._stands(each, channel.connection)]
        if not new:
            return
        with self._topology.turn_to_bind(channel):
            if self._declare_at_once(channel, new):
                return
            self._declare_base(channel)
            for each in new:
                declare(channel, each)

    def _declare_at_once(self, channel: Channel, subscriptions: Sequence[Subscription]) -> bool:
        """Return False if one of them must not or cannot be declared."""
        try:
            for each in subscriptions:
                self._registration.must_own(each)
        except TopologyError:
            return False
        connection = channel.connection
        hows = [self._how(each) for each in subscriptions]
        wanted = [(each, self.key(each), self._serves(each)) for each in subscriptions]
        self._note_instances(subscriptions)
        shared = not self._known.has(_SHARED, None, connection)
        if not self._topology.declare_at_once(channel, wanted, shared=shared):
            return False
        self._known.note(_SHARED, None, connection)
        for each, how in zip(subscriptions, hows, strict=True):
            self._known.note(each.name, how, connection)
        return True

    def _how(self, subscription: Subscription) -> tuple[object, ...]:
        return self.key(subscription), subscription.patterns, self._serves(subscription)

    def _stands(self, subscription: Subscription, connection: RawConnection) -> bool:
        return self._known.has(subscription.name, self._how(subscription), connection)

    def _no_longer_missing(self, subscription: Subscription, patterns: tuple[str, ...]) -> None:
        """Note that it is declared. If the patterns changed meanwhile, it must be again."""
        if subscription.patterns == patterns:
            self._missing.pop(subscription.name, None)
            self._declared.add(subscription.name)

    def _unbind(self, channel: Channel) -> None:
        """Remove what nobody here has subscribed again."""
        if not self._unbinding:
            return
        with self._known.lock, self._topology.turn_to_bind(channel):
            self._unbind_all(channel)

    def _unbind_all(self, channel: Channel) -> None:
        for each in tuple(self._unbinding):
            subscription, pattern = each
            wanted = self._wanted.get(subscription.name, subscription)
            if pattern not in wanted.patterns:
                self._topology.unbind(channel, self.key(subscription), pattern)
            self._unbinding.discard(each)

    def _declare_or_log(self, channel: Channel, subscription: Subscription) -> None:
        """Declare it. TopologyError if it never was; else the failure is logged."""
        try:
            self._declare_owned(channel, subscription)
        except TopologyError as error:
            if subscription.name not in self._declared or is_about_a_publish(error.__cause__):
                raise
            logger.error(  # noqa: TRY400
                "%s could not be declared again and may receive no events: %s",
                subscription.name,
                error,
            )

    def _declare_owned(self, channel: Channel, subscription: Subscription) -> None:
        self._registration.must_own(subscription)
        self._note_instances([subscription])
        how, connection = self._how(subscription), channel.connection
        self._topology.declare_subscription(
            channel,
            subscription,
            self.key(subscription),
            served=self._serves(subscription),
            shared=not self._known.has(_SHARED, None, connection),
        )
        self._known.note(_SHARED, None, connection)
        self._known.note(subscription.name, how, connection)

    def _note_instances(self, subscriptions: Iterable[Subscription]) -> None:
        for each in subscriptions:
            if each.broadcast:
                self.instances.add(self._topology.queue(self.key(each)))

    def _declare_to_consume(self, subscription: Subscription, connection: RawConnection) -> None:
        """Declare one on a worker's own connection, unless it stands."""
        if self._stands(subscription, connection) and not self._is_behind:
            return
        with connection.channel() as channel:
            self._registration.enter(channel, self._wanted.values())
            with self._known.lock:
                self._declare_batch(channel, [subscription], self._declare_owned)
            self._unbind(channel)

    def level(self, delay: float) -> "Once":
        """Return the Preparation of a publish into the delay level for so many seconds."""
        name, _ = self._topology.level(delay)
        return self._once(f"delay level {name!r}", self._topology.declare_level, delay)

    def lasting(self, subscription: Subscription) -> "Once":
        """Return the Preparation of a publish into its dead letters or its quarantine."""
        return self._once(_lasting(subscription), self._topology.declare_lasting, subscription)

    def _once(self, about: str, declare: Callable[..., object], *what: object) -> "Once":
        known = self._ways.get(about)
        if known is None:
            known = self._ways[about] = Once(about, lambda channel: declare(channel, *what))
        return known

    def remove(self, channel: Channel, subscriptions: list[Subscription]) -> None:
        """Delete everything. A later publish declares again what it needs."""
        self._topology.delete(channel, [(each.name, self.key(each)) for each in subscriptions])
        self._epoch, self._ways = 0, {}
        self.forget()
        self._declared.clear()
        self._registration.forget()
        self._missing.update(self._due())

    def delete_instances(self, channel: Channel) -> None:
        """Delete the queues of this process's broadcasts."""
        for queue in tuple(self.instances):
            channel.queue_delete(queue)
            self.instances.discard(queue)

    # Names and queues

    def key(self, subscription: Subscription) -> str:
        """Return the routing key that brings an event back to it.

        It is the name, for a broadcast with the instance that this process is.
        """
        name = subscription.name
        return f"{name}.{self._instance}" if subscription.broadcast else name

    def queues(self, subscription: Subscription) -> list[SubscriptionQueue]:
        """Return its queues as a worker consumes them: its own, and its quarantine if any."""
        key = self.key(subscription)
        names = [(self._topology.queue(key), False)]
        if self._topology.has_quarantine(subscription):
            names.append((self._topology.quarantine(key), True))
        return [
            self._queue(subscription, key, name, quarantined=quarantined)
            for name, quarantined in names
        ]

    def _shown_binding(
        self, subscription: Subscription, *, quarantined: bool
    ) -> tuple[kombu.Exchange, str]:
        if quarantined:
            return kombu.Exchange(self._topology.quarantined, "topic"), subscription.name
        return kombu.Exchange(self._topology.events, "topic"), ",".join(subscription.patterns)

    def _queue(
        self, subscription: Subscription, key: str, name: str, *, quarantined: bool
    ) -> SubscriptionQueue:
        return SubscriptionQueue(
            name,
            # For the eyes alone, in Celery's banner: `declare_all` binds.
            *self._shown_binding(subscription, quarantined=quarantined),
            subscription=subscription.name,
            key=key,
            quarantined=quarantined,
            origin=Provenance(self._topology, subscription.name, key).of,
            counts_returns=self._topology.queue_type == "quorum",
            declare_all=partial(self._declare_to_consume, subscription),
            prefetch=lambda: 1 if quarantined else self._prefetch(subscription),
            taker=self._taker,
        )


class Once:
    """Preparation that is made once an epoch, and again if `forget` says so."""

    def __init__(self, about: str, declare: Callable[[Channel], object]) -> None:
        self.about, self._declare = about, declare
        self._epoch = 0  # the publisher's, in which it was declared

    def needed(self, epoch: int) -> bool:
        return epoch != self._epoch

    def make(self, channel: Channel, epoch: int) -> None:
        """Declare it. TopologyError: it exists on the broker with other arguments."""
        self._declare(channel)
        self._epoch = epoch

    def forget(self) -> None:
        """Declare it again before the next publish: no queue took the last one."""
        self._epoch = 0


def _lasting(subscription: Subscription) -> str:
    return f"dead letters of {subscription.name!r}"


def _new_instance() -> str:
    return uuid4().hex[:12]
