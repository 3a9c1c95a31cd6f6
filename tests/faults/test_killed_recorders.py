"""Recorders of a history that are killed under load: no event is lost, none is there twice."""

import random
from pathlib import Path

import pytest

from tests.support.history_load import HistoryLoad

KILLS = 10
EVENTS = 300  # between two kills
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/events.db"
    return str(request.getfixturevalue("postgres_url"))


async def test_killed_recorders_lose_nothing_and_record_nothing_twice(
    amqp_url: str, store_url: str
) -> None:
    """SIGKILL at ten random points of a transaction's life; each time another one goes on."""
    async with HistoryLoad(amqp_url, store_url) as load:
        for _ in range(KILLS):
            await load.publish_and_kill(EVENTS, random.uniform(0, 0.3))
        account = await load.account()
    assert account.published == KILLS * EVENTS
    assert (account.lost, account.doubled, account.dead_letters) == (0, 0, 0)
