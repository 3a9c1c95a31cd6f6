"""Fixtures: a bus that keeps what it publishes, and a broker to harm."""

from collections.abc import Iterator

import pytest

from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.broker import PrivateBroker
from tests.integration.conftest import Make
from tests.integration.publisher.scene import keeping


@pytest.fixture
def bus(make_bus: Make, amqp_url: str) -> CeleryEventBus:
    """Bus on the shared broker whose one subscription keeps every event: nobody serves it."""
    return keeping(make_bus(amqp_url))


@pytest.fixture(scope="module")
def node() -> Iterator[PrivateBroker]:
    """A broker that may be harmed."""
    with PrivateBroker() as started:
        yield started


@pytest.fixture
def harmed(node: PrivateBroker) -> Iterator[PrivateBroker]:
    """Broker that is unharmed again afterwards."""
    yield node
    node.resume()
    if node.management.is_alarmed():
        node.unblock()


@pytest.fixture
def node_url(node: PrivateBroker, request: pytest.FixtureRequest) -> str:
    """URL of this test's own vhost on it."""
    return node.management.create_vhost(request.node.name)
