"""Declarations: a bus's subscriptions as queues, and those that are declared already."""

import logging
from collections.abc import Callable, Collection, Iterable
from functools import partial
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
from qt_events.rabbitmq.topology.names import Topology
from qt_events.rabbitmq.topology.once import Once
from qt_events.rabbitmq.topology.queues import SubscriptionQueue
from qt_events.rabbitmq.topology.registration import Registration
from qt_events.rabbitmq.topology.standing import Standing, Wanted
from qt_events.rabbitmq.topology.trust import Provenance

logger = logging.getLogger("qt_events")


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
        self._standing = Standing(topology, registration.must_own)
        # Ways of an outcome that have been declared, by what they are.
        self._ways: dict[str, Once] = {}
        # Bindings to remove.
        self._unbinding: set[tuple[Subscription, str]] = set()
        self._instance = _new_instance()
        self.unserved = False  #: there are broadcasts whose events this process does not take yet
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Become another instance. It declares what its parent may not have declared yet."""
        self._instance, self._epoch, self._ways = _new_instance(), 0, {}
        self._over, self._standing = None, Standing(self._topology, self._registration.must_own)
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
        self._standing.drop(subscription.name)
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
        match tuple(self._missing):
            case ():
                waiting = f"exchange {self._topology.events!r}"
            case (name,):
                waiting = f"subscription {name!r}"
            case names:
                waiting = f"{len(names)} subscriptions"
        return self.progress or waiting

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
        due = [self._wanted_as(each) for each in tuple(self._missing.values())]
        self._enter(channel)
        self._declare(channel, due, self._declare_or_log)

    def _begin_epoch(self, channel: Channel) -> None:
        if channel.connection is self._over:
            # The connection stands, and yet an exchange is gone.
            self.forget()
        self._missing.update(self._due())
        self._registration.try_again()
        if not self._missing:
            self._standing.declare_base(channel)

    def declare_over(self, channel: Channel) -> None:
        """Declare what this process needs, over a worker's connection, if nobody here has.

        A refusal closes the channel for a moment.

        Raises:
            TopologyError: something exists on the broker with other arguments, or is missing and
                may not be declared.
        """
        due = [self._wanted_as(each) for each in self._due().values()]
        self._enter(channel)
        self._declare(channel, due, self._standing.declare_alone)

    def forget(self) -> None:
        """Have everything declared again: something is gone, though the connection stands."""
        self._standing.forget()
        self._topology.forget_refusals()

    def _declare(
        self, channel: Channel, due: Iterable[Wanted], alone: Callable[[Channel, Wanted], None]
    ) -> None:
        """Declare what was planned before the register had it; what came later has its own turn."""
        wanted = tuple(due)
        known = all(each.name in self._declared for each in wanted)
        for batch in self._standing.declare(channel, wanted, alone, known=known):
            for each in batch:
                self._no_longer_missing(each)
        self._unbind(channel)

    def _wanted_as(self, subscription: Subscription) -> Wanted:
        return Wanted(
            subscription, self.key(subscription), self._serves(subscription), subscription.patterns
        )

    def _enter(self, channel: Channel) -> None:
        """Write down what is new. What somebody had unbound is to be bound again."""
        for name in self._registration.enter(channel, self._wanted.values()):
            self._standing.drop(name)

    def _no_longer_missing(self, wanted: Wanted) -> None:
        """Note that it is declared. If the patterns changed meanwhile, it must be again."""
        if wanted.subscription.patterns == wanted.patterns:
            self._missing.pop(wanted.name, None)
            self._declared.add(wanted.name)

    def _unbind(self, channel: Channel) -> None:
        """Remove what nobody here has subscribed again."""
        for each in tuple(self._unbinding):
            subscription, pattern = each
            wanted = self._wanted.get(subscription.name, subscription)
            if pattern not in wanted.patterns:
                self._standing.unbind(channel, self._wanted_as(subscription), pattern)
            self._unbinding.discard(each)

    def _declare_or_log(self, channel: Channel, wanted: Wanted) -> None:
        """Declare it. TopologyError if it never was; else the failure is logged."""
        try:
            self._standing.declare_alone(channel, wanted)
        except TopologyError as error:
            if wanted.name not in self._declared or is_about_a_publish(error.__cause__):
                raise
            logger.error(  # noqa: TRY400
                "%s could not be declared again and may receive no events: %s", wanted.name, error
            )

    def _declare_to_consume(self, subscription: Subscription, connection: RawConnection) -> None:
        """Declare one on a worker's own connection, unless it stands."""
        wanted = self._wanted_as(subscription)
        is_behind = self._unbinding or self._registration.is_behind
        if self._standing.has(wanted, connection) and not is_behind:
            return
        with connection.channel() as channel:
            self._enter(channel)
            self._declare(channel, [wanted], self._standing.declare_alone)

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

    @property
    def instances(self) -> Collection[str]:
        """Queues of broadcasts that this process declared."""
        return self._standing.instances

    def delete_instances(self, channel: Channel) -> None:
        """Delete the queues of this process's broadcasts."""
        self._standing.delete_instances(channel)

    @property
    def progress(self) -> str:
        """How far subscriptions are declared; empty if none is just now."""
        return self._standing.progress

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
        if subscription.hears_fates:
            return kombu.Exchange(self._topology.fates, "topic"), "#"
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
            origin=Provenance(self._topology, subscription.name, key, subscription.hears_fates).of,
            counts_returns=self._topology.queue_type == "quorum",
            declare_all=partial(self._declare_to_consume, subscription),
            prefetch=lambda: 1 if quarantined else self._prefetch(subscription),
            taker=self._taker,
        )


def _lasting(subscription: Subscription) -> str:
    return f"dead letters of {subscription.name!r}"


def _new_instance() -> str:
    return uuid4().hex[:12]
