"""Target: the bus that a command works with, found by an app, by a URL, or by both."""

from dataclasses import dataclass

import celery

from qt_events.dead_letters.operations import DeadLetters
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.errors import BrokerError, InvalidOptionError
from qt_events.rabbitmq.app.named_app import app_with_bus, import_modules
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.connection.connections import BrokerConnection, for_errands
from qt_events.rabbitmq.dead_letters.operations import RabbitMQDeadLetters
from qt_events.rabbitmq.operating.inventory import inventory
from qt_events.rabbitmq.operating.management import ManagementApi, default_api

_NOWHERE = (
    "give --url amqp://user:password@host:port/vhost (or QT_BROKER_URL), the broker; or --app "
    "MODULE (or QT_APP), the module whose attribute `app` is the Celery app"
)

_MONITORED_BY = ("control_exchange", "event_exchange", "event_queue_prefix")


@dataclass(frozen=True, slots=True)
class Target:
    """Bus on the broker in question, and the app, if one is named, that says what is declared."""

    bus: CeleryEventBus
    app: celery.Celery | None = None
    name: str = ""  #: of the app's module, as `celery -A` takes it

    @property
    def service(self) -> str | None:
        """Name of the app's service; None without an app."""
        return None if self.app is None else self.app.qt_events_bus.service

    def connection(self) -> BrokerConnection:
        """Return a connection of its own to the broker, not connected yet."""
        connection: BrokerConnection = for_errands(self.bus.app)
        return connection

    def management(self, url: str | None = None) -> ManagementApi:
        """Return the management API at this URL, or on the broker's host with the broker's user.

        Raises:
            InvalidUrlError: `url` is no URL of http or https.
        """
        connection = self.connection()
        tls = self.bus.app.conf.broker_use_ssl
        return ManagementApi(url or default_api(connection), connection.virtual_host, tls)

    def subscriptions(self) -> list[Subscription]:
        """Subscriptions of the app, those of its `include` modules too; none without an app.

        Raises:
            UsageError: one of these modules cannot be imported.
        """
        if self.app is None:
            return []
        import_modules(self.app, self.name)
        return list(self.app.qt_events_bus.subscriptions)

    def dead_letters(
        self, subscription: str | None, management_url: str | None = None
    ) -> DeadLetters:
        """Dead letters of a subscription; without one, of the app's, or of all on the broker.

        AMQP cannot list queues. The management API is asked if there is no app to name its
        subscriptions, or if `management_url` is given.

        Raises:
            BrokerError: the management API does not answer, or does not let this user look.
        """
        letters = self.bus.dead_letters
        if isinstance(letters, RabbitMQDeadLetters):
            letters.make_known(each.name for each in self.subscriptions())
            if subscription is None and (management_url or self.app is None):
                letters.make_known(self._on_the_broker(management_url))
        return letters

    def _on_the_broker(self, management_url: str | None) -> list[str]:
        try:
            rows = self.management(management_url).queues()
        except BrokerError as error:
            advice = "AMQP alone cannot list queues: give --subscription, or --management-url"
            raise type(error)(f"{error}; {advice}") from error
        return [each.name for each in inventory(self.bus.topology, rows).subscriptions]


def find_target(app: str | None, url: str | None, prefix: str | None) -> Target:
    """Find the bus of an app, or make one at a URL.

    With both, the URL is the broker, and the app says what is declared and by which names.

    Raises:
        InvalidOptionError: neither is given, there is no such app, or its prefix is another one.
        InvalidUrlError: `url` is no URL of a broker.
        NotSupportedError: the app has no bus.
        UsageError: the app's module cannot be imported.
    """
    if not app:
        if not url:
            raise InvalidOptionError(_NOWHERE)
        return Target(CeleryEventBus(url, prefix=prefix or "qt"))
    found = app_with_bus(app)
    names = found.qt_events_bus.topology
    if prefix and prefix != names.prefix:
        raise InvalidOptionError(
            f"--prefix {prefix}: the app {app!r} has the prefix {names.prefix!r}; leave out "
            "--prefix, or --app"
        )
    if not url:
        return Target(found.qt_events_bus, found, app)
    bus = CeleryEventBus(url, prefix=names.prefix, queue_type=names.queue_type)
    # Flower and remote control reach the app's workers by them.
    bus.app.conf.update({name: found.conf[name] for name in _MONITORED_BY})
    return Target(bus, found, app)
