"""Fixtures of the fault tests: a broker to harm, and a rig on it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from qt_events.testing.broker import PrivateBroker
from tests.faults.rig import SUBSCRIPTIONS, Rig


@pytest.fixture(scope="module")
def harmed() -> Iterator[PrivateBroker]:
    """A node of this module's own: its tests kill and restart it, and leave it running."""
    with PrivateBroker() as broker:
        yield broker


@pytest.fixture
def node_url(harmed: PrivateBroker) -> Iterator[str]:
    """A vhost of this test's own on it."""
    name = f"qt-test-{uuid4().hex}"
    yield harmed.management.create_vhost(name)
    harmed.management.delete_vhost(name)


@pytest.fixture
def hears() -> Mapping[str, str]:
    """The subscriptions of the app that the module's workers serve, with what they hear."""
    return SUBSCRIPTIONS


@pytest.fixture
def rig(
    node_url: str, tmp_path: Path, hears: Mapping[str, str], request: pytest.FixtureRequest
) -> Iterator[Rig]:
    """Workers, buses and a ledger on that vhost; its account goes into the summary of the run."""
    opened = Rig(node_url, tmp_path, hears)
    yield opened
    opened.close()
    account = opened.ledger.account(opened.subscriptions)
    request.node.user_properties.append(
        ("ledger", {**account.as_dict(), "figures": opened.figures})
    )
