import pytest

from qt_events import OpportunitiesUpdatedEvent
from tests.unit.workers.harness import Scene
from workers.system.analysts.opprank import CRITERIA, OppRank


@pytest.fixture(autouse=True)
def _opprank(scene: Scene) -> None:
    OppRank(scene.bus, scene.store)


def drifting(drift: float, days: int) -> list[float]:
    return [100 * (1 + drift) ** day for day in range(days)]


async def test_ranks_the_symbols_by_momentum(scene: Scene) -> None:
    """Best first, each with its score."""
    await scene.market(WEAK=drifting(-0.01, 21), STRONG=drifting(0.01, 21), FLAT=drifting(0, 21))
    (event,) = scene.heard(OpportunitiesUpdatedEvent)
    assert event.payload.top_symbols == ["STRONG", "FLAT", "WEAK"]
    assert event.payload.scores.keys() == {"STRONG", "FLAT", "WEAK"}
    assert (event.payload.criteria, event.payload.excluded_count) == (CRITERIA, 0)


async def test_ranks_once_a_week(scene: Scene) -> None:
    """Twenty-one closes fill three weeks, then each Monday brings a ranking."""
    await scene.market(A=drifting(0.01, 36))
    assert len(scene.heard(OpportunitiesUpdatedEvent)) == 4


async def test_says_nothing_before_a_month_has_passed(scene: Scene) -> None:
    """Twenty closes are too few."""
    await scene.market(A=drifting(0.01, 20))
    assert scene.heard(OpportunitiesUpdatedEvent) == []
