"""Where a command gets at dead letters: by an app, or by nothing but a URL."""

from qt_events.errors import BrokerError
from qt_events.rabbitmq.app.command_line import app_with_bus
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.connection.connections import for_errands
from qt_events.rabbitmq.dead_letters.operations import RabbitMQDeadLetters
from qt_events.rabbitmq.operating.inventory import inventory
from qt_events.rabbitmq.operating.management import ManagementApi, default_api


def bus_of(app: str, url: str | None, prefix: str) -> CeleryEventBus:
    """The bus at this URL, which has no subscriptions; without one that of an app, with all of its.

    Raises:
        InvalidUrlError, InvalidOptionError: no such URL, prefix or app.
        NotSupportedError: the app has no bus.
    """
    if url:
        return CeleryEventBus(url, prefix=prefix)
    found = app_with_bus(app)
    found.loader.import_default_modules()  # those of `include` subscribe too
    bus: CeleryEventBus = found.qt_events_bus
    return bus


def make_all_known(bus: CeleryEventBus, management_url: str | None) -> None:
    """Have the bus look through the dead letters of every subscription under its prefix.

    Raises:
        BrokerError: the management API is not there, or does not let this user look.
    """
    connection = for_errands(bus.app)
    url = management_url or default_api(connection)
    api = ManagementApi(url, connection.virtual_host, bus.app.conf.broker_use_ssl)
    try:
        rows = api.queues()
    except BrokerError as error:
        message = (
            f"{error}; AMQP alone cannot list queues: give --subscription, or the --management-url"
        )
        raise type(error)(message) from error
    if isinstance(bus.dead_letters, RabbitMQDeadLetters):
        bus.dead_letters.make_known(
            each.name for each in inventory(bus.topology, rows).subscriptions
        )
