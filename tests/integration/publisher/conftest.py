"""A bus that keeps what it publishes, and a broker to harm."""

from collections.abc import Iterator

import pytest

from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.broker import PrivateBroker
from tests.integration.publisher.numbered_events import keeping
from tests.support.buses import MakeBus


@pytest.fixture
def bus(make_bus: MakeBus, amqp_url: str) -> CeleryEventBus:
    """A bus on the shared broker whose one subscription keeps every event: nobody serves it."""
    return keeping(make_bus(amqp_url))


@pytest.fixture(scope="module")
def node() -> Iterator[PrivateBroker]:
    """A broker that may be harmed."""
    with PrivateBroker() as started:
        yield started


@pytest.fixture
def harmed(node: PrivateBroker) -> Iterator[PrivateBroker]:
    """The same, unharmed again afterwards."""
    yield node
    node.resume()
    if node.management.is_alarmed():
        node.unblock()


@pytest.fixture
def node_url(node: PrivateBroker, request: pytest.FixtureRequest) -> str:
    """A vhost of its own on it."""
    return node.management.create_vhost(request.node.name)
