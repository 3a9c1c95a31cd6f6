"""Fixtures of the fault tests: a rig on the node that tests may harm."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.faults.rig import SUBSCRIPTIONS, Rig


@pytest.fixture
def hears() -> Mapping[str, str]:
    """Return the subscriptions of the app that the module's workers serve, with their patterns."""
    return SUBSCRIPTIONS


@pytest.fixture
def rig(
    node_url: str, tmp_path: Path, hears: Mapping[str, str], request: pytest.FixtureRequest
) -> Iterator[Rig]:
    """Open workers, buses and a ledger on the vhost; its account goes into the run's summary."""
    opened = Rig(node_url, tmp_path, hears)
    yield opened
    opened.close()
    account = opened.ledger.account(opened.subscriptions)
    request.node.user_properties.append(
        ("ledger", {**account.as_dict(), "figures": opened.figures})
    )
