"""Administration: an app's topology, declared, looked at, removed and guarded, by who may do all that."""

import importlib
import secrets
from collections.abc import Iterable, Mapping

import celery
from amqp import Channel
from amqp.exceptions import ChannelError, NotFound
from celery.utils.imports import cwd_in_path

from qt_events.delivery.component import Component
from qt_events.delivery.subscription import Subscription
from qt_events.errors import (
    BusStateError,
    NotSupportedError,
    TopologyError,
    UnknownSubscriptionError,
)
from qt_events.rabbitmq.app.command_line import app_with_bus
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.connection.connections import for_errands, visiting
from qt_events.rabbitmq.operating.inventory import Holding, Inventory, inventory
from qt_events.rabbitmq.operating.management import ManagementApi, default_api
from qt_events.rabbitmq.operating.permissions import Permissions, permissions_of
from qt_events.rabbitmq.topology.names import Topology


class Administration:
    """Of one app's prefix and vhost.

    Args:
        name: of the module with the Celery app, as `celery -A` takes it.
        management_url: of RabbitMQ's management API; None: on the broker's host, with the broker's user.
        url: of a broker, instead of the app's; the app still says what is declared, and by which names.

    Raises:
        InvalidOptionError: there is no such app.
        InvalidUrlError: `url` is none.
        NotSupportedError: it has no bus.
    """

    def __init__(
        self, name: str, management_url: str | None = None, *, url: str | None = None
    ) -> None:
        self.app = app_with_bus(name)
        self.topology: Topology = self.app.qt_events_bus.topology
        self._connecting = _app_at(url, self.topology) if url else self.app  # whose broker it is
        self._name, self._management_url = name, management_url

    @property
    def vhost(self) -> str:
        """That the broker's URL names."""
        return str(for_errands(self._connecting).virtual_host)

    # Declare

    def declare(self) -> list[Subscription]:
        """Declare all that the app's subscriptions and components need; those that now stand. TopologyError."""
        subscriptions = self._subscriptions()
        with visiting(for_errands(self._connecting)) as connection, connection.channel() as channel:
            self.topology.declare_for_others(channel, subscriptions)
        return subscriptions

    def _subscriptions(self) -> list[Subscription]:
        self.app.loader.import_default_modules()  # those of `include` subscribe too
        own = list(self.app.qt_events_bus.subscriptions)
        named = [each for component in self._told() for each in component.subscriptions]
        return list({each.name: each for each in (*own, *named)}.values())

    # Guard

    def permissions(self) -> list[Permissions]:
        """What each component needs.

        Raises:
            NotSupportedError: the app's module does not tell of components.
        """
        components = self._told()
        if not components:
            message = (
                f"{self._name!r} does not tell who publishes what: beside its app it needs a function components() "
                "that gives qt_events.Component objects; see docs/security.md"
            )
            raise NotSupportedError(message)
        control = bool(self.app.conf.worker_enable_remote_control)
        return [permissions_of(each, self.topology, control=control) for each in components]

    def _told(self) -> list[Component]:
        with cwd_in_path():
            module = importlib.import_module(self._name.partition(":")[0])
        components = getattr(module, "components", None)
        return list(components()) if callable(components) else []

    def user(self, permissions: Permissions) -> str:
        """The broker's user of a component."""
        return f"{self.topology.prefix}-{permissions.component}"

    def apply(
        self, permissions: Iterable[Permissions], *, create_users: bool = False
    ) -> Mapping[str, str]:
        """Set them all; the passwords of the users that were made for it, which nobody else knows.

        Raises:
            TopologyError: there are no such users, and none are to be made.
            BrokerError: the management API refuses, or is away.
        """
        api = self._api()
        wanted = {self.user(each): each for each in permissions}
        known = api.users()
        missing = [user for user in wanted if user not in known]
        if missing and not create_users:
            message = f"there are no users {', '.join(missing)}: make them, or have them made with --create-users"
            raise TopologyError(message)
        passwords = {user: secrets.token_urlsafe(24) for user in missing}
        for user, password in passwords.items():
            api.create_user(user, password)
        for user, each in wanted.items():
            _permit(api, user, each)
        return passwords

    # Look and remove

    def inventory(self) -> Inventory:
        """What stands under the prefix; figures are some seconds old."""
        return inventory(self.topology, self._api().queues())

    def holding(self, subscription: str) -> Holding:
        """What stands of a subscription, with exact figures but for what its consumers hold.

        Raises:
            UnknownSubscriptionError: nothing.
        """
        held = self.inventory().of(subscription)
        if held is None:
            message = f"nothing of a subscription {subscription!r} stands: `qt-events topology show` lists what does"
            raise UnknownSubscriptionError(message)
        with visiting(for_errands(self._connecting)) as connection, connection.channel() as channel:
            counts = [self._depth(channel, queue) for queue in held.queues]
            held.quarantined = self._depth(channel, self.topology.quarantine(subscription))[0]
            held.dead_letters = self._depth(channel, self.topology.dead(subscription))[0]
        held.waiting, held.consumers = (
            (sum(each) for each in zip(*counts, strict=True)) if counts else (0, 0)
        )
        return held

    def _depth(self, channel: Channel, queue: str) -> tuple[int, int]:
        try:
            return self.topology.depth(channel, queue)
        except NotFound:  # that closed the channel; py-amqp opens it again
            return 0, 0

    def remove(
        self, held: Holding, *, with_dead_letters: bool = False, force: bool = False
    ) -> None:
        """Delete its queues with what is in them. Retries that wait come to `lost` then.

        Raises:
            BusStateError: somebody consumes from it, and `force` is not given.
            TopologyError: this user may not delete it.
        """
        if held.is_served and not force:
            message = (
                f"{held.name!r} is served, by {held.consumers} consumers: stop its workers first, for they would "
                "declare it again; --force removes it all the same"
            )
            raise BusStateError(message)
        dead = [self.topology.dead(held.name)] if with_dead_letters else []
        with visiting(for_errands(self._connecting)) as connection, connection.channel() as channel:
            for queue in (*held.queues, self.topology.quarantine(held.name), *dead):
                try:
                    channel.queue_delete(queue)
                except ChannelError as error:
                    raise TopologyError(f"{queue!r} is not removed: {error.reply_text}") from error

    def _api(self) -> ManagementApi:
        connection = for_errands(self._connecting)
        url = self._management_url or default_api(connection)
        return ManagementApi(url, connection.virtual_host, self._connecting.conf.broker_use_ssl)


def _app_at(url: str, topology: Topology) -> celery.Celery:
    """One that connects there as a bus does: TLS and all that the URL's parameters say are the URL's own."""
    return CeleryEventBus(url, prefix=topology.prefix, queue_type=topology.queue_type).app


def _permit(api: ManagementApi, user: str, permissions: Permissions) -> None:
    """First the topics: an exchange is open for any key until there are some."""
    for topic in permissions.topics:
        api.permit_topic(user, topic.exchange, topic.write, topic.read)
    api.permit(user, permissions.configure, permissions.write, permissions.read)
