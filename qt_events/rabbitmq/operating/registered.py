"""Registered: the register of subscriptions, as an administrator reads and changes it."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from qt_events.delivery.subscribing.handler_names import identity_of
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.errors import TopologyError
from qt_events.rabbitmq.connection.connections import visiting
from qt_events.rabbitmq.operating.target import Target
from qt_events.rabbitmq.topology.register import Owner, Register
from qt_events.rabbitmq.topology.register_queue import RegisterError, RegisterQueue
from qt_events.rabbitmq.topology.registration import Registration

T = TypeVar("T")


class Registered:
    """Register of a target's prefix.

    Each call raises:
        TopologyError: this user may not have it, or others had it for too long.
    """

    def __init__(self, target: Target) -> None:
        self._target, self._topology = target, target.bus.topology
        self._queue = RegisterQueue(self._topology, target.connection)

    def declare(self, channel: Any, subscriptions: Iterable[Subscription]) -> None:
        """Write subscriptions of the app down. SubscriptionTakenError: one is another service's."""
        declared = list(subscriptions)
        registration = Registration(self._target.service, self._queue)
        for each in declared:
            registration.keep(each)
        registration.enter(channel, declared)
        for each in declared:
            registration.must_own(each)
        self.note_quarantines(
            channel, (each.name for each in declared if self._topology.has_quarantine(each))
        )

    def note_quarantines(self, channel: Any, names: Iterable[str]) -> None:
        """Write down that the quarantines of these are made, for their workers to consume them."""
        made = list(names)
        self._change(channel.connection, lambda register: register.note_quarantine(*made))

    def unbind(self, name: str, patterns: Iterable[str]) -> None:
        """Write down that bindings are removed, and remove them."""
        wanted = list(patterns)

        def note(register: Register) -> None:
            for pattern in wanted:
                register.of(name).mark(pattern, bound=False)

        with visiting(self._target.connection()) as connection, connection.channel() as channel:
            self._change(connection, note)
            with self._topology.turn_to_bind(channel):
                for pattern in wanted:
                    self._topology.unbind(channel, name, pattern)

    def hand_over(self, subscription: Subscription) -> Owner:
        """Make the app the only owner of its subscription, and return it as that."""
        owner = Owner(self._target.service or "", identity_of(subscription.handler))
        with visiting(self._target.connection()) as connection:
            self._change(
                connection, lambda register: register.of(subscription.name).hand_over(owner)
            )
        return owner

    def forget(self, name: str) -> None:
        """Forget a subscription that was removed."""
        with visiting(self._target.connection()) as connection:
            self._change(connection, lambda register: register.entries.pop(name, None))

    def _change(self, connection: Any, change: Callable[[Register], T]) -> T:
        try:
            return self._queue.change(connection, change)[1]
        except RegisterError as error:
            raise TopologyError(f"{self._topology.register!r} is not changed: {error}") from error
