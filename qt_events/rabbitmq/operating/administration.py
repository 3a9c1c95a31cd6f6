"""Administration: the topology of a bus declared, looked at, removed and guarded."""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic, sleep
from typing import Any

from amqp import Channel
from amqp.exceptions import ChannelError, NotFound

from qt_events.dead_letters.scan import Progress
from qt_events.delivery.subscribing.starting import RECORDER
from qt_events.delivery.subscribing.subscription import Component, Subscription
from qt_events.errors import (
    BusStateError,
    InvalidOptionError,
    NotSupportedError,
    TopologyError,
    UnknownSubscriptionError,
)
from qt_events.events.topics import bindable_pattern
from qt_events.rabbitmq.app.named_app import module_of
from qt_events.rabbitmq.connection.connections import visiting
from qt_events.rabbitmq.operating.inventory import Holding, Inventory, inventory
from qt_events.rabbitmq.operating.management import ManagementApi
from qt_events.rabbitmq.operating.moving import Move, Moved
from qt_events.rabbitmq.operating.permissions import Control, Permissions, permissions_of
from qt_events.rabbitmq.operating.registered import Registered
from qt_events.rabbitmq.operating.target import Target
from qt_events.rabbitmq.starting.newcomers import Newcomers
from qt_events.rabbitmq.topology.names import Topology
from qt_events.rabbitmq.topology.ownership import describe

# Seconds for the broker to put what has expired into a queue that is new, and to show it.
_LET_GO, _POLL = 60.0, 0.5


class Administration:
    """Administration of one prefix in one vhost, by a user who may do all that.

    Args:
        target: the bus; to declare and to guard, also the app.
        management_url: RabbitMQ's management API; None: on the broker's host, with its user.
    """

    def __init__(self, target: Target, management_url: str | None = None) -> None:
        self._target, self._management_url = target, management_url
        self.topology: Topology = target.bus.topology
        self._registered = Registered(target)

    @property
    def vhost(self) -> str:
        return str(self._target.connection().virtual_host)

    # Declare

    def declare(self) -> list[Subscription]:
        """Declare everything that the app's subscriptions and components need, and return these.

        Raises:
            TopologyError: the broker refuses, or has something else by one of the names.
        """
        own = self._target.subscriptions()
        named = [each for component in self._components() for each in component.subscriptions]
        subscriptions = list({each.name: each for each in (*own, *named)}.values())
        self._declare(subscriptions)
        return subscriptions

    def _declare(self, subscriptions: list[Subscription]) -> None:
        with visiting(self._target.connection()) as connection, connection.channel() as channel:
            self._registered.declare(channel, subscriptions)
            if any(each.name == RECORDER for each in subscriptions):
                self.topology.declare_starts(channel)
            newcomers = Newcomers(self.topology, self._target.connection)
            with (
                newcomers.beginning(channel, subscriptions),
                self.topology.turn_to_bind(channel),
            ):
                self.topology.declare_for_others(channel, subscriptions)

    def hand_over(self, subscription: str) -> str:
        """Make the app the owner of its subscription, whoever declared it, and return who that is.

        Raises:
            UnknownSubscriptionError: the app has none of this name.
        """
        return describe(self._registered.hand_over(self._of_the_app(subscription)))

    def unbind(self, subscription: str, patterns: Sequence[str], *, undeclared: bool) -> list[str]:
        """Remove bindings of its queue, for good, and return the patterns.

        Args:
            subscription: whose queue it is.
            patterns: of the bindings.
            undeclared: remove also those that the app does not declare.

        Raises:
            UnknownSubscriptionError: nothing of it stands.
            InvalidOptionError: the app declares a pattern, so it would be bound again.
        """
        held = self._held(subscription)
        if self.topology.queue(subscription) not in held.queues:
            raise InvalidOptionError(
                f"{subscription!r} has no lasting queue: those of a broadcast end by themselves"
            )
        found = [bindable_pattern(each) for each in patterns]
        self._must_not_declare(subscription, found)
        if undeclared:
            self._of_the_app(subscription)
            found += [each for each in held.undeclared if each not in found]
        if found:
            self._registered.unbind(subscription, found)
        return found

    def _must_not_declare(self, subscription: str, patterns: Iterable[str]) -> None:
        for each in self._target.subscriptions():
            for pattern in patterns:
                if each.name == subscription and pattern in each.patterns:
                    raise InvalidOptionError(
                        f"the app declares {pattern!r} of {subscription!r}, and its workers would "
                        "bind it again: take it out of the code first"
                    )

    def renamed(self) -> list[tuple[str, str]]:
        """Return former and present name of the app's subscriptions that have queues by both."""
        found = self.inventory().subscriptions
        return [(each.name, each.renamed_to) for each in found if each.renamed_to is not None]

    def move(
        self,
        source: str,
        destination: str,
        on_progress: Callable[[Progress], object],
        *,
        force: bool = False,
        remove: bool = False,
    ) -> Moved:
        """Move what a subscription's queues hold into another's; the old one collects no more.

        Args:
            source: name of the one.
            destination: name of the other; it is declared if the app has it.
            on_progress: called after each message.
            force: do it even while a worker serves the old one.
            remove: delete the old queues afterwards. Retries that wait for it go to `lost` then.

        Raises:
            UnknownSubscriptionError, BusStateError: see Move.
        """
        held = self._held(source)
        for each in (held, self.inventory().of(destination)):
            if each is not None and each.old is not None:
                raise BusStateError(
                    f"{each.name!r} is still in its past, {each.old} old events wait for it: move "
                    "it once these are handled"
                )
        declared = [each for each in self._target.subscriptions() if each.name == destination]
        self._declare(declared)
        patterns = declared[0].patterns if declared else None
        with visiting(self._target.connection()) as connection:
            move = Move(self.topology, connection, source, destination, patterns)
            move.check(force=force)
            self._make_room(connection, held, move)
            with connection.channel() as channel:
                for pattern in held.patterns if patterns is None else patterns:
                    self.topology.unbind(channel, source, pattern)
            moved = move.run(on_progress)
            if remove:
                move.remove()
        if remove:
            self._registered.forget(source)
        return moved

    def _make_room(self, connection: Any, source: Holding, move: Move) -> None:
        """Declare what the new name needs for what the old one has."""
        destination = move.moved.destination
        with connection.channel() as channel:
            self._let_go(channel, source)
            self.topology.declare_dead_letters(channel, destination)
            if move.has_quarantine:
                self._registered.note_quarantines(channel, [destination])
                self.topology.declare_quarantine(channel, destination)

    def _let_go(self, channel: Channel, held: Holding) -> None:
        """Have the broker put expired events of a subscription among its dead letters.

        Raises:
            TopologyError: it does not.
        """
        if not held.expired:
            return
        self.topology.declare_dead_letters(channel, held.name)
        deadline = monotonic() + _LET_GO
        while self._held(held.name).expired:
            if monotonic() > deadline:
                raise TopologyError(
                    f"{held.expired} events of {held.name!r} have expired, and the broker does not "
                    "put them among its dead letters: try again"
                )
            sleep(_POLL)

    def _of_the_app(self, name: str) -> Subscription:
        for each in self._target.subscriptions():
            if each.name == name:
                return each
        raise UnknownSubscriptionError(
            f"the app {self._target.name!r} has no subscription {name!r}"
        )

    # Guard

    def permissions(self) -> list[Permissions]:
        """Return the permissions that each component needs.

        Raises:
            NotSupportedError: the app's module does not name its components.
        """
        components, app = self._components(), self._target.app
        if not components or app is None:
            raise NotSupportedError(
                f"{self._target.name!r} does not say who publishes what: beside its app it needs a "
                "function components() that returns qt_events.Component objects; see "
                "docs/security.md"
            )
        conf = app.conf
        control = (
            Control(conf.control_exchange, conf.event_exchange)
            if conf.worker_enable_remote_control
            else None
        )
        return [permissions_of(each, self.topology, control=control) for each in components]

    def _components(self) -> list[Component]:
        if self._target.app is None:
            return []
        components = getattr(module_of(self._target.name), "components", None)
        return list(components()) if callable(components) else []

    def user(self, permissions: Permissions) -> str:
        return f"{self.topology.prefix}-{permissions.component}"

    def apply(
        self, permissions: Iterable[Permissions], *, create_users: bool = False
    ) -> Mapping[str, str]:
        """Set them all, and return the passwords of the users that were created for it.

        Raises:
            TopologyError: there are no such users, and none are to be created.
            BrokerError: the management API refuses, or is away.
        """
        api = self._api()
        wanted = {self.user(each): each for each in permissions}
        known = api.users()
        missing = [user for user in wanted if user not in known]
        if missing and not create_users:
            raise TopologyError(
                f"there are no users {', '.join(missing)}: create them, or give --create-users"
            )
        passwords = {user: secrets.token_urlsafe(24) for user in missing}
        for user, password in passwords.items():
            api.create_user(user, password)
        for user, each in wanted.items():
            # Topics first: an exchange is open for any routing key until it has some.
            for topic in each.topics:
                api.permit_topic(user, topic.exchange, topic.write, topic.read)
            api.permit(user, each.configure, each.write, each.read)
        return passwords

    # Look and remove

    def inventory(self) -> Inventory:
        """List what stands under the prefix; the figures are some seconds old."""
        api = self._api()
        found = inventory(self.topology, api.queues(), api.bindings())
        found.compare(self._target.subscriptions(), self._target.service)
        return found

    def holding(self, subscription: str) -> Holding:
        """Return what stands of a subscription, with exact figures but for unacked events.

        Raises:
            UnknownSubscriptionError: nothing of it stands.
        """
        held = self._held(subscription)
        with visiting(self._target.connection()) as connection, connection.channel() as channel:
            counts = [self._depth(channel, queue) for queue in held.queues]
            held.quarantined = self._depth(channel, self.topology.quarantine(subscription))[0]
            held.dead_letters = self._depth(channel, self.topology.dead(subscription))[0]
            if held.old is not None:
                held.old, consumers = self._depth(channel, self.topology.old(subscription))
                counts.append((0, consumers))
        held.waiting = sum(waiting for waiting, _ in counts)
        held.consumers = sum(consumers for _, consumers in counts)
        return held

    def _held(self, subscription: str) -> Holding:
        held = self.inventory().of(subscription)
        if held is None:
            raise UnknownSubscriptionError(
                f"there is no queue of a subscription {subscription!r}: `qt-events topology show` "
                "lists the subscriptions there are"
            )
        return held

    def _depth(self, channel: Channel, queue: str) -> tuple[int, int]:
        try:
            return self.topology.depth(channel, queue)
        except NotFound:
            # The broker closed the channel for it; py-amqp opens it again.
            return 0, 0

    def remove(
        self, held: Holding, *, with_dead_letters: bool = False, force: bool = False
    ) -> None:
        """Delete its queues with what is in them. Waiting retries go to the queue `lost` then.

        Raises:
            BusStateError: it has consumers, and `force` is not given.
            TopologyError: this user may not delete it.
        """
        if held.is_served and not force:
            raise BusStateError(
                f"{held.name!r} is served, by {held.consumers} consumers: stop its workers first, "
                "for they would declare it again; --force removes it all the same"
            )
        dead = [self.topology.dead(held.name)] if with_dead_letters else []
        with visiting(self._target.connection()) as connection, connection.channel() as channel:
            if not with_dead_letters:
                self._let_go(channel, held)
            others = (self.topology.old(held.name), self.topology.quarantine(held.name))
            for queue in (*held.queues, *others, *dead):
                try:
                    channel.queue_delete(queue)
                except ChannelError as error:
                    raise TopologyError(f"{queue!r} is not removed: {error.reply_text}") from error
        self._registered.forget(held.name)

    def _api(self) -> ManagementApi:
        return self._target.management(self._management_url)
