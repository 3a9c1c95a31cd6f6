"""Permissions: the rights that a component needs on the broker, and no others. Pure.

See docs/security.md. RabbitMQ (Access Control, 3.10 and 4.x) asks for these rights:

    declare, delete                    configure on it
    publish                            write on the exchange
    consume                            read on the queue
    bind                               write on the queue, read on the exchange
    declare a queue with dead letters  read on the queue, write on their exchange

If the user has a topic permission for an exchange, the routing key must match it, too: `write` to
publish, `read` to bind.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from qt_events.delivery.subscribing.starting import NOW, RECORDER
from qt_events.delivery.subscribing.subscription import Component, Subscription
from qt_events.delivery.telling.fates import type_of
from qt_events.rabbitmq.topology.names import Topology
from qt_events.rabbitmq.topology.object_names import INSTANCE

NOTHING = "^$"
_ANYTHING = ".*"


@dataclass(frozen=True, slots=True)
class TopicPermission:
    """Routing keys of one exchange, as regular expressions."""

    exchange: str
    write: str  #: to publish with
    read: str  #: to bind by


@dataclass(frozen=True, slots=True)
class Permissions:
    """Rights of one user in one vhost: regular expressions for names of exchanges and queues."""

    component: str
    configure: str
    write: str
    read: str
    topics: tuple[TopicPermission, ...]


@dataclass(frozen=True, slots=True)
class Control:
    """Names of Celery's remote control and events, as the app is configured."""

    exchange: str = "celery"  #: setting control_exchange
    events: str = "celeryev"  #: setting event_exchange


def permissions_of(
    component: Component, topology: Topology, *, control: Control | None
) -> Permissions:
    """Return the rights of a component, given that an administrator has declared the rest.

    He does so by `qt-events topology declare`. With `control` there are also the rights for
    Celery's remote control and its events for monitors.
    """
    rights = _Rights(topology, component, control=control)
    return Permissions(
        component.name,
        configure=_any_of(rights.configure()),
        write=_any_of(rights.write()),
        read=_any_of(rights.read()),
        topics=tuple(rights.topics()),
    )


@dataclass(frozen=True, slots=True)
class _Rights:
    """Rights as regular expressions, not anchored yet."""

    topology: Topology
    component: Component
    control: Control | None

    def configure(self) -> Iterable[str]:
        """Yield queues of broadcasts, which their processes make, and of old events.

        Whoever has handled the last old event deletes their queue.
        """
        yield from (self._queue(each) for each in self._subscriptions if each.broadcast)
        yield from self._old()
        yield from self._control("pidbox queue", "pidbox", "reply", "events")

    def write(self) -> Iterable[str]:
        """Yield exchanges to publish to, and queues to bind."""
        t = self.topology
        if self.component.publishes:
            yield re.escape(t.events)
        if self._subscriptions:
            yield re.escape(t.dead_letters)
            yield re.escape(t.level_prefix) + "[0-9]+"
            yield re.escape(t.fates)
        if any(map(t.has_quarantine, self._subscriptions)):
            yield re.escape(t.quarantined)
        if self._records:
            yield from map(re.escape, (t.starting, t.redeliver))
        yield from map(self._queue, self._subscriptions)
        yield from self._control("pidbox queue", "reply", "events")

    def read(self) -> Iterable[str]:
        """Yield queues to consume, and exchanges to bind to."""
        t = self.topology
        if self._subscriptions:
            yield from map(re.escape, (t.events, t.redeliver))
        if any(each.hears_fates for each in self._subscriptions):
            yield re.escape(t.fates)
        yield from map(self._queue, self._subscriptions)
        yield from self._old()
        if self._records:
            # For each newcomer, it takes what the history has sent out of the newcomer's own queue.
            yield re.escape(t.starts)
            yield from (f"{re.escape(each)}.+" for each in (t.queue(""), t.old("")))
        yield from (
            re.escape(t.quarantine(each.name))
            for each in self._subscriptions
            if t.has_quarantine(each)
        )
        yield from self._control("pidbox queue", "pidbox")

    def topics(self) -> Iterable[TopicPermission]:
        """Yield a permission for every topic exchange. One left out would be open for any key."""
        t, subscriptions = self.topology, self._subscriptions
        keys = _any_of(map(_key, subscriptions))
        patterns = chain.from_iterable(each.patterns for each in subscriptions)
        publishes = _any_of(map(re.escape, self.component.publishes))
        quarantined = _any_of(
            re.escape(each.name) for each in subscriptions if t.has_quarantine(each)
        )
        yield TopicPermission(t.events, publishes, _any_of(map(re.escape, patterns)))
        yield TopicPermission(t.redeliver, _ANYTHING if self._records else NOTHING, keys)
        if self._records:
            yield TopicPermission(t.starting, _ANYTHING, NOTHING)
        told = (re.escape(type_of(each.name)) for each in subscriptions if each.tells_fates)
        heard = any(each.hears_fates for each in subscriptions)
        yield TopicPermission(t.fates, _any_of(told), _any_of(["#"] if heard else ()))
        yield TopicPermission(
            t.dead_letters, _any_of(re.escape(each.name) for each in subscriptions), NOTHING
        )
        yield TopicPermission(t.quarantined, quarantined, NOTHING)
        yield from (TopicPermission(level, keys, NOTHING) for level in t.levels())

    @property
    def _subscriptions(self) -> tuple[Subscription, ...]:
        return self.component.subscriptions

    @property
    def _records(self) -> bool:
        """True for a component that records events, and serves newcomers."""
        return any(each.name == RECORDER for each in self._subscriptions)

    def _old(self) -> Iterable[str]:
        """Yield queues of old events."""
        newcomers = (each for each in self._subscriptions if each.start != NOW)
        yield from (re.escape(self.topology.old(each.name)) for each in newcomers)

    def _queue(self, subscription: Subscription) -> str:
        return re.escape(self.topology.queue("")) + _key(subscription)

    def _control(self, *names: str) -> Iterable[str]:
        """Return Celery's own names.

        A node has a control queue while it lives. It is exclusive, so no other node can touch it.
        """
        if self.control is None or not self._subscriptions:
            return []
        exchange = re.escape(self.control.exchange)
        known = {
            "pidbox queue": rf"[^@]+@.+\.{exchange}\.pidbox",
            "pidbox": rf"{exchange}\.pidbox",
            "reply": rf"reply\.{exchange}\.pidbox",
            "events": re.escape(self.control.events),
        }
        return [known[name] for name in names]


def _key(subscription: Subscription) -> str:
    """Return the routing key that brings events back to it; of a broadcast, to one process."""
    return re.escape(subscription.name) + (INSTANCE if subscription.broadcast else "")


def _any_of(patterns: Iterable[str]) -> str:
    found = sorted(set(patterns))
    return f"^({'|'.join(found)})$" if found else NOTHING
