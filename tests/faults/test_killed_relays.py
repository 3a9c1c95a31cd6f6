"""Relays that are killed under load: no event is lost, and one that comes twice has the same id."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.outbox_load import OutboxLoad

KILLS = 5  # of two relays each
TRANSACTIONS = 10  # between two kills
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/shop.db"
    return str(request.getfixturevalue("postgres_url"))


async def test_killed_relays_lose_nothing_and_invent_nothing(
    amqp_url: str, store_url: str, record_property: Callable[[str, object], None]
) -> None:
    """SIGKILL at random points of ten relays' work, between a confirm and its mark, too.

    What comes twice has the same id, and each key's events come first in the order of their adding.
    """
    async with OutboxLoad(amqp_url, store_url) as load:
        for _ in range(KILLS):
            await load.place_and_kill(TRANSACTIONS, random.uniform(0, 0.05))
        account = await load.account()
    # In words: xdist sends no objects.
    record_property("orders", str(account))
    assert account.orders > KILLS * TRANSACTIONS
    assert (account.lost, account.invented, account.disordered, account.dead) == (0, 0, 0, 0)
