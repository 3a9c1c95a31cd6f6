"""Declarations: a bus's subscriptions as queues, and those that are declared already."""

import logging
from collections.abc import Callable, Collection, Iterable
from typing import Any
from uuid import uuid4

from amqp import Channel
from amqp import Connection as RawConnection

from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.errors import QtEventsError, TopologyError
from qt_events.rabbitmq.connection.forking import renew_after_fork
from qt_events.rabbitmq.connection.refusals import is_about_a_publish
from qt_events.rabbitmq.publishing.publisher import Publisher
from qt_events.rabbitmq.publishing.requests import DeclareRequest, Request
from qt_events.rabbitmq.topology.consumed_queues import ConsumedQueues
from qt_events.rabbitmq.topology.names import Topology
from qt_events.rabbitmq.topology.queues import SubscriptionQueue
from qt_events.rabbitmq.topology.registration import Registration
from qt_events.rabbitmq.topology.standing import NO_NEWCOMERS, Newcomers, Standing, Wanted
from qt_events.rabbitmq.topology.ways import Ways

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
        on_quarantine: Callable[[], None] = lambda: None,
        newcomers: Newcomers = NO_NEWCOMERS,
    ) -> None:
        self._topology, self._publisher = topology, publisher
        self._registration = registration
        self._serves, self._will_serve = serves, will_serve
        self._on_quarantine = on_quarantine
        self._consumed = ConsumedQueues(topology, prefetch, taker, self._declare_here, newcomers)
        self._wanted: dict[str, Subscription] = {}
        # Wanted subscriptions that this epoch has yet to declare.
        self._missing: dict[str, Subscription] = {}
        # Names of those that were declared as they are, in this epoch or before.
        self._declared: set[str] = set()
        self._quarantined: set[str] = set()  # names of those whose quarantine was declared here
        self._epoch = 0  # the publisher's, in which the exchange was declared
        self._over: RawConnection | None = None  # the publisher's in that epoch
        self._standing = Standing(topology, registration.must_own, newcomers)
        self.ways = Ways(topology, self._make_quarantine)
        self._unbinding: set[tuple[Subscription, str]] = set()  # bindings to remove
        self._instance = uuid4().hex[:12]
        self.unserved = False  #: there are broadcasts whose events this process does not take yet
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Become another instance. It declares what its parent may not have declared yet."""
        self._instance, self._epoch, self._over = uuid4().hex[:12], 0, None
        self.ways.forget()
        self._standing.after_fork()
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
        for known in (self._declared, self._quarantined):
            known.discard(subscription.name)
        self.ways.drop(subscription.name)
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
        ask = DeclareRequest("the register", self._registration.read)
        if self._registration.begin_reading(subscription) and not self._begin(ask):
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

    def misses(self, name: str) -> bool:
        """Return True if this subscription is still to be declared."""
        return name in self._missing

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

    def doubt(self, name: str) -> None:
        """Have one subscription declared again: its queue may be gone."""
        self._standing.drop(name)
        subscription = self._wanted.get(name)
        if subscription is not None and self._is_due(subscription):
            self.ways.drop(name)
            self._missing[name] = subscription

    def _declare(
        self, channel: Channel, due: Iterable[Wanted], alone: Callable[[Channel, Wanted], None]
    ) -> None:
        """Declare what was planned before the register had it; what came later has its own turn."""
        # The register has just been read.
        wanted = [each._replace(lasting=self._is_lasting(each.subscription)) for each in due]
        known = all(each.name in self._declared for each in wanted)
        for batch in self._standing.declare(channel, wanted, alone, known=known):
            for each in batch:
                self._no_longer_missing(each)
        self._unbind(channel)

    def _wanted_as(self, subscription: Subscription) -> Wanted:
        return Wanted(
            subscription,
            self.key(subscription),
            self._serves(subscription),
            self._is_lasting(subscription),
            subscription.patterns,
        )

    def _is_lasting(self, subscription: Subscription) -> bool:
        """Return True if its dead letters and its quarantine are not made when first needed.

        A classic queue does not keep what it cannot drop, nor does that of a broadcast for long.
        """
        return (
            not self._topology.has_quarantine(subscription)
            # A worker here consumes it, whatever others have deleted.
            or subscription.name in self._quarantined
            or self._registration.has_quarantine(subscription.name)
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
        if wanted.lasting and self._topology.has_quarantine(wanted.subscription):
            self._note_quarantine(wanted.name)

    def _note_quarantine(self, name: str) -> None:
        if name not in self._quarantined:
            self._quarantined.add(name)
            self._on_quarantine()

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

    def _declare_here(self, subscription: Subscription, connection: RawConnection) -> None:
        """Declare one on a worker's own connection, unless it stands."""
        wanted = self._wanted_as(subscription)
        is_behind = self._unbinding or self._registration.is_behind
        if self._standing.has(wanted, connection) and not is_behind:
            return
        with connection.channel() as channel:
            self._enter(channel)
            self._declare(channel, [wanted], self._standing.declare_alone)

    def _make_quarantine(self, channel: Channel, name: str) -> None:
        self._registration.note_quarantine(channel, name)
        self._topology.declare_quarantine(channel, name)
        self._note_quarantine(name)

    def may_expire(self, name: str) -> None:
        """Note that events of a subscription may expire, for which the broker needs its queue."""
        dead_letters = self.ways.dead_letters(name)
        if dead_letters.is_due():
            self._begin(Request(first=dead_letters))

    def begin_to_look(self) -> None:
        """Have quarantines declared, soon, that other processes have made."""
        self._begin(DeclareRequest("the register", self.look_for_quarantines))

    def look_for_quarantines(self, channel: Channel) -> None:
        """Declare those that other processes have made since the register was last read."""
        self._registration.read(channel)
        found = [
            each
            for each in tuple(self._wanted.values())
            if each.name in self._declared - self._quarantined
            and self._topology.has_quarantine(each)
            and self._registration.has_quarantine(each.name)
        ]
        if found:
            self._declare(channel, map(self._wanted_as, found), self._declare_or_log)

    def remove(self, channel: Channel, subscriptions: list[Subscription]) -> None:
        """Delete everything. A later publish declares again what it needs."""
        self._topology.delete(channel, [(each.name, self.key(each)) for each in subscriptions])
        self._epoch = 0
        self.ways.forget()
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
        """Progress of declaring subscriptions; empty if none is being declared."""
        return self._standing.progress

    # Names and queues

    def key(self, subscription: Subscription) -> str:
        """Return the key that brings events back: the name, a broadcast's with the instance."""
        name = subscription.name
        return f"{name}.{self._instance}" if subscription.broadcast else name

    def queues(self, subscription: Subscription) -> list[SubscriptionQueue]:
        """Return its queues as a worker consumes them: its own, and a quarantine that is made."""
        own = self._consumed.own(subscription, self.key(subscription))
        return [own, *self.quarantines([subscription])]

    def quarantines(self, subscriptions: Iterable[Subscription]) -> list[SubscriptionQueue]:
        """Return the quarantines of these that this process has declared."""
        made = (each for each in subscriptions if each.name in self._quarantined)
        return list(map(self._consumed.quarantine, made))
