"""Administration: the topology of a bus declared, looked at, removed and guarded."""

import secrets
from collections.abc import Iterable, Mapping

from amqp import Channel
from amqp.exceptions import ChannelError, NotFound

from qt_events.delivery.subscription import Component, Subscription
from qt_events.errors import (
    BusStateError,
    NotSupportedError,
    TopologyError,
    UnknownSubscriptionError,
)
from qt_events.rabbitmq.app.named_app import module_of
from qt_events.rabbitmq.connection.connections import visiting
from qt_events.rabbitmq.operating.inventory import Holding, Inventory, inventory
from qt_events.rabbitmq.operating.management import ManagementApi
from qt_events.rabbitmq.operating.permissions import Control, Permissions, permissions_of
from qt_events.rabbitmq.operating.target import Target
from qt_events.rabbitmq.topology.names import Topology


class Administration:
    """Administration of one prefix in one vhost, by a user who may do all that.

    Args:
        target: the bus; to declare and to guard, also the app.
        management_url: RabbitMQ's management API; None: on the broker's host, with its user.
    """

    def __init__(self, target: Target, management_url: str | None = None) -> None:
        self._target, self._management_url = target, management_url
        self.topology: Topology = target.bus.topology

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
        with visiting(self._target.connection()) as connection, connection.channel() as channel:
            self.topology.declare_for_others(channel, subscriptions)
        return subscriptions

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
        return inventory(self.topology, self._api().queues())

    def holding(self, subscription: str) -> Holding:
        """Return what stands of a subscription, with exact figures but for unacked events.

        Raises:
            UnknownSubscriptionError: nothing of it stands.
        """
        held = self.inventory().of(subscription)
        if held is None:
            raise UnknownSubscriptionError(
                f"there is no queue of a subscription {subscription!r}: `qt-events topology show` "
                "lists the subscriptions there are"
            )
        with visiting(self._target.connection()) as connection, connection.channel() as channel:
            counts = [self._depth(channel, queue) for queue in held.queues]
            held.quarantined = self._depth(channel, self.topology.quarantine(subscription))[0]
            held.dead_letters = self._depth(channel, self.topology.dead(subscription))[0]
        held.waiting = sum(waiting for waiting, _ in counts)
        held.consumers = sum(consumers for _, consumers in counts)
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
            for queue in (*held.queues, self.topology.quarantine(held.name), *dead):
                try:
                    channel.queue_delete(queue)
                except ChannelError as error:
                    raise TopologyError(f"{queue!r} is not removed: {error.reply_text}") from error

    def _api(self) -> ManagementApi:
        return self._target.management(self._management_url)
