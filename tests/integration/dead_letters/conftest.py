"""Fixtures of the tests of dead letters: a bus, and a handler that fails."""

from collections.abc import Iterator

import pytest

from qt_events.rabbitmq.bus import CeleryEventBus
from tests.integration.dead_letters.fallible import ONCE, Fallible


@pytest.fixture
def bus(amqp_url: str) -> Iterator[CeleryEventBus]:
    opened = CeleryEventBus(amqp_url, publish_timeout=20)
    yield opened
    opened.close()


@pytest.fixture
def handler(bus: CeleryEventBus) -> Fallible:
    """Return the handler of the subscription `fallible`, whose first failure is a dead letter."""
    fallible = Fallible()
    bus.subscribe("#", fallible.handle, name="fallible", retry=ONCE)
    return fallible
