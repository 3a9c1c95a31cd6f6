from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise

import pytest

from qt_events import Stage, StrategyPromotedEvent
from tests.unit.workers.harness import MONDAY, Harness
from workers.events import StrategyAnalyzedEvent
from workers.market.ranking import DAYS as MONTH
from workers.system.analysts.sg_ai import TRIED_DAYS, StrategyGenerator

DAYS = 130
#: First day with enough days before it.
FIRST = TRIED_DAYS + MONTH


@pytest.fixture(autouse=True)
def _sg_ai(harness: Harness) -> None:
    StrategyGenerator(harness.bus, harness.store)


async def show(harness: Harness, first: int, last: int, **paths: Sequence[float]) -> None:
    """Close days number `first` to `last`; earlier ones are in the database."""
    await harness.store_prices(**{symbol: path[: first - 1] for symbol, path in paths.items()})
    for number in range(first - 1, last):
        await harness.close_day(
            MONDAY + timedelta(number), **{symbol: path[number] for symbol, path in paths.items()}
        )


def moves(harness: Harness) -> list[tuple[str, Stage, Stage]]:
    told = [event.payload for event in harness.published(StrategyPromotedEvent)]
    return [(move.strategy_id, move.from_stage, move.to_stage) for move in told]


def changes(harness: Harness) -> set[date]:
    """Return the days with a promotion."""
    done = [event.payload for event in harness.published(StrategyAnalyzedEvent)]
    return {today.day for before, today in pairwise(done) if before.rests_on != today.rests_on}


def diverging() -> dict[str, list[float]]:
    """Return ten symbols with a constant drift each."""
    return {
        f"S{rank}": [100 * (1 + 0.002 * (5 - rank)) ** day for day in range(DAYS)]
        for rank in range(10)
    }


async def test_moves_strategies_by_what_they_earned_on_paper(harness: Harness) -> None:
    """Mean reversion moves down if the strong stay strong; momentum is at the top already."""
    await show(harness, FIRST, FIRST, **diverging())
    assert moves(harness) == [("mean_reversion", Stage.SHADOW, Stage.RETIRED)]
    move = harness.last_payload(StrategyPromotedEvent)
    assert move.metrics["edge"] < 0
    assert move.reason == f"{move.metrics['edge']:+.2%} against the market in {TRIED_DAYS} days"


async def test_what_turns_out_well_goes_up_a_stage_a_month(harness: Harness) -> None:
    """Mean reversion goes live if the strong fall and the weak rise each month; momentum leaves."""
    waves = {
        f"S{rank}": [100 + 30 * _wave(day + 14 * (rank % 2)) for day in range(DAYS)]
        for rank in range(10)
    }
    await show(harness, FIRST, DAYS, **waves)
    assert ("mean_reversion", Stage.SHADOW, Stage.LIVE) in moves(harness)
    assert ("momentum", Stage.LIVE, Stage.SHADOW) in moves(harness)
    stages = {"momentum": Stage.LIVE, "mean_reversion": Stage.SHADOW, "core": Stage.SHADOW}
    for strategy_id, before, after in moves(harness):
        assert stages[strategy_id] is before
        stages[strategy_id] = after
    # Reviews come on the first day of each month.
    assert {day.day for day in changes(harness)} == {1}


def _wave(day: int) -> float:
    """Return prices that fall and rise again in 28 days, so that the strong are about to fall."""
    return abs(day % 28 - 14) / 14


async def test_a_day_told_twice_moves_nothing_twice(harness: Harness) -> None:
    """A strategy moves one stage a month."""
    waves = {
        f"S{rank}": [100 + 30 * _wave(day + 14 * (rank % 2)) for day in range(DAYS)]
        for rank in range(10)
    }
    await show(harness, FIRST, FIRST, **waves)
    once = moves(harness)
    day = MONDAY + timedelta(FIRST - 1)
    await harness.close_day(day, **{symbol: path[FIRST - 1] for symbol, path in waves.items()})
    assert ("momentum", Stage.LIVE, Stage.SHADOW) in once
    assert moves(harness) == once


async def test_what_is_retired_stays_so_while_it_loses(harness: Harness) -> None:
    """RETIRED has no lower stage."""
    await show(harness, FIRST, DAYS, **diverging())
    assert len(moves(harness)) == 1


async def test_moves_nothing_in_a_market_without_differences(harness: Harness) -> None:
    path = [100 * 1.001**day for day in range(DAYS)]
    await show(harness, FIRST, DAYS, A=path, B=path)
    assert moves(harness) == []


async def test_says_nothing_before_it_has_tried(harness: Harness) -> None:
    """Paper trading comes before promotion."""
    await show(harness, FIRST - 10, FIRST - 1, **diverging())
    assert moves(harness) == []
