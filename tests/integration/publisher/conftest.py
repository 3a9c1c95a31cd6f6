"""Fixtures of the tests of publishing: a bus that keeps its events, and a place for a spool."""

from pathlib import Path

import pytest

from qt_events.rabbitmq.bus import CeleryEventBus
from tests.integration.publisher.numbered_events import keeping
from tests.support.buses import MakeBus


@pytest.fixture
def bus(make_bus: MakeBus, amqp_url: str) -> CeleryEventBus:
    """Return a bus on the shared broker whose one subscription keeps every event."""
    return keeping(make_bus(amqp_url))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a spool that is not there yet."""
    return tmp_path / "spool.db"
