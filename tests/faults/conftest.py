"""Fixtures of the fault tests: a rig on the node that tests may harm."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.faults.rig import SUBSCRIPTIONS, Rig


@pytest.fixture
def hears() -> Mapping[str, str]:
    """The subscriptions of the app that the module's workers serve, with what they hear."""
    return SUBSCRIPTIONS


@pytest.fixture
def rig(node_url: str, tmp_path: Path, hears: Mapping[str, str], request: pytest.FixtureRequest) -> Iterator[Rig]:
    """Workers, buses and a ledger on that vhost; its account goes into the summary of the run."""
    opened = Rig(node_url, tmp_path, hears)
    yield opened
    opened.close()
    account = opened.ledger.account(opened.subscriptions)
    request.node.user_properties.append(("ledger", {**account.as_dict(), "figures": opened.figures}))
