"""Undeclared subscriptions, found by a look that declares nothing and needs no right to do so."""

from collections.abc import Iterable

from amqp import Channel
from amqp.exceptions import AccessRefused, NotFound

from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.connection.connections import for_errands, visiting


def undeclared(bus: CeleryEventBus, names: Iterable[str]) -> list[str]:
    """Return those subscriptions whose queue does not stand on the bus's broker, in their order.

    One that is refused to this user counts as standing. RabbitMQ from 4.3 on refuses a user without
    any right on the queue, whether it stands or not; earlier ones answer everybody.

    Args:
        bus: its broker and its prefix; it need not run.
        names: of lasting subscriptions. A broadcast's queues have names of their processes.

    Raises:
        BrokerUnreachableError: there is no broker, or it fell silent.
    """
    with visiting(for_errands(bus.app)) as connection, connection.channel() as channel:
        return [name for name in names if not _stands(channel, bus.topology.queue(name))]


def _stands(channel: Channel, queue: str) -> bool:
    # The broker closes the channel over a refusal; py-amqp opens it again.
    try:
        channel.queue_declare(queue, passive=True)
    except NotFound:
        return False
    except AccessRefused:
        return True
    return True
