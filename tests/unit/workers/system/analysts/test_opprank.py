import pytest

from qt_events import OpportunitiesUpdatedEvent
from tests.unit.workers.harness import Harness
from workers.system.analysts.opprank import CRITERIA, OppRank


@pytest.fixture(autouse=True)
def _opprank(harness: Harness) -> None:
    OppRank(harness.bus, harness.store)


def drifting(drift: float, days: int) -> list[float]:
    return [100 * (1 + drift) ** day for day in range(days)]


async def test_ranks_the_symbols_by_momentum(harness: Harness) -> None:
    """The best comes first, each with its score."""
    await harness.trade_days(
        WEAK=drifting(-0.01, 21), STRONG=drifting(0.01, 21), FLAT=drifting(0, 21)
    )
    (event,) = harness.published(OpportunitiesUpdatedEvent)
    assert event.payload.top_symbols == ["STRONG", "FLAT", "WEAK"]
    assert event.payload.scores.keys() == {"STRONG", "FLAT", "WEAK"}
    assert (event.payload.criteria, event.payload.excluded_count) == (CRITERIA, 0)


async def test_ranks_once_a_week(harness: Harness) -> None:
    """Twenty-one closes fill three weeks, then each Monday brings a ranking."""
    await harness.trade_days(A=drifting(0.01, 36))
    assert len(harness.published(OpportunitiesUpdatedEvent)) == 4


async def test_says_nothing_before_a_month_has_passed(harness: Harness) -> None:
    """Twenty closes are too few."""
    await harness.trade_days(A=drifting(0.01, 20))
    assert harness.published(OpportunitiesUpdatedEvent) == []
