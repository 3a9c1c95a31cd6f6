"""Fixtures of the tests on a real RabbitMQ: worker processes, remote control."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from qt_events.rabbitmq.bus import CeleryEventBus
from tests.support.fleet.fleet import Fleet
from tests.support.fleet.remote_control import RemoteControl


@pytest.fixture
def fleet(request: pytest.FixtureRequest, amqp_url: str, tmp_path: Path) -> Iterator[Fleet]:
    """Start worker processes on this test's own vhost, and kill them at the end.

    Their app makes the subscriptions that the test names by `pytest.mark.serves`, or all.
    """
    opened = Fleet(amqp_url, tmp_path)
    if (named := request.node.get_closest_marker("serves")) is not None:
        opened.serves = named.args
    yield opened
    opened.close()


@pytest.fixture
async def client(amqp_url: str) -> AsyncIterator[CeleryEventBus]:
    """Open a bus that only publishes, to the workers' subscriptions."""
    bus = CeleryEventBus(amqp_url)
    yield bus
    bus.close()


@pytest.fixture
async def remote(client: CeleryEventBus) -> RemoteControl:
    """Return Celery's remote control of the one worker that the test has started."""
    return RemoteControl(client)
