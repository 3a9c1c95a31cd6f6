"""Permissions: what a component may do on the broker, and nothing beside it. Pure; see docs/security.md.

RabbitMQ asks (Access Control, 3.10 and 4.x): to declare or delete, `configure` on it; to publish, `write` on the
exchange; to consume, `read` on the queue; to bind, `write` on the queue and `read` on the exchange; to declare a queue
with dead-lettering, `read` on the queue and `write` on that exchange. Of a topic exchange also whether the user may
publish (`write`) or bind (`read`) that very routing key; but only where it has been told of that exchange at all.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from qt_events.delivery.component import Component
from qt_events.delivery.subscription import Subscription
from qt_events.rabbitmq.topology.names import INSTANCE, Topology

NOTHING = "^$"


@dataclass(frozen=True, slots=True)
class TopicPermission:
    """Which routing keys of an exchange, as regular expressions."""

    exchange: str
    write: str  #: to publish with
    read: str  #: to bind by


@dataclass(frozen=True, slots=True)
class Permissions:
    """Of one user in one vhost: regular expressions for names of exchanges and queues."""

    component: str
    configure: str
    write: str
    read: str
    topics: tuple[TopicPermission, ...]


def permissions_of(
    component: Component, topology: Topology, *, control: bool = True
) -> Permissions:
    """What the component needs where an administrator has declared the rest (`qt-events topology declare`).

    With `control` also what Celery's remote control and its events for monitors need.
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
    """Each method gives regular expressions, not anchored yet."""

    topology: Topology
    component: Component
    control: bool

    def configure(self) -> Iterable[str]:
        """A broadcast's process makes its queue itself."""
        yield from (self._queue(each) for each in self._subscriptions if each.broadcast)
        yield from self._control("pidbox queue", "pidbox", "reply", "events")

    def write(self) -> Iterable[str]:
        """Exchanges to publish to, and queues to bind."""
        t = self.topology
        if self.component.publishes:
            yield re.escape(t.events)
        if self._subscriptions:
            yield re.escape(t.dead_letters)
            yield re.escape(t.level_prefix) + "[0-9]+"
        if any(map(t.has_quarantine, self._subscriptions)):
            yield re.escape(t.quarantined)
        yield from map(self._queue, self._subscriptions)
        yield from self._control("pidbox queue", "reply", "events")

    def read(self) -> Iterable[str]:
        """Queues to consume, and exchanges to bind to."""
        t = self.topology
        if self._subscriptions:
            yield from map(re.escape, (t.events, t.redeliver))
        yield from map(self._queue, self._subscriptions)
        yield from (
            re.escape(t.quarantine(each.name))
            for each in self._subscriptions
            if t.has_quarantine(each)
        )
        yield from self._control("pidbox queue", "pidbox")

    def topics(self) -> Iterable[TopicPermission]:
        """Of every exchange with topics: one that is not named here would be open for any key."""
        t, subscriptions = self.topology, self._subscriptions
        keys = _any_of(map(_key, subscriptions))
        patterns = chain.from_iterable(each.patterns for each in subscriptions)
        publishes = _any_of(map(re.escape, self.component.publishes))
        quarantined = _any_of(
            re.escape(each.name) for each in subscriptions if t.has_quarantine(each)
        )
        yield TopicPermission(t.events, publishes, _any_of(map(re.escape, patterns)))
        yield TopicPermission(t.redeliver, NOTHING, keys)
        yield TopicPermission(
            t.dead_letters, _any_of(re.escape(each.name) for each in subscriptions), NOTHING
        )
        yield TopicPermission(t.quarantined, quarantined, NOTHING)
        yield from (TopicPermission(level, keys, NOTHING) for level in t.levels())

    @property
    def _subscriptions(self) -> tuple[Subscription, ...]:
        return self.component.subscriptions

    def _queue(self, subscription: Subscription) -> str:
        return re.escape(self.topology.queue("")) + _key(subscription)

    def _control(self, *names: str) -> Iterable[str]:
        """Celery's own names; a node has a control queue while it lives, which no other can touch: it is exclusive."""
        prefix = re.escape(self.topology.prefix)
        known = {
            "pidbox queue": rf"[^@]+@.+\.{prefix}\.pidbox",
            "pidbox": rf"{prefix}\.pidbox",
            "reply": rf"reply\.{prefix}\.pidbox",
            "events": rf"{prefix}\.celeryev",
        }
        return [known[name] for name in names] if self.control and self._subscriptions else []


def _key(subscription: Subscription) -> str:
    """What brings events back to it: of a broadcast, to one of its processes."""
    return re.escape(subscription.name) + (INSTANCE if subscription.broadcast else "")


def _any_of(patterns: Iterable[str]) -> str:
    found = sorted(set(patterns))
    return f"^({'|'.join(found)})$" if found else NOTHING
