from datetime import timedelta

import pytest

from tests.unit.workers.harness import MONDAY, Harness
from workers.store.history import MarketHistory, NoPricesError

TUESDAY, SUNDAY = MONDAY + timedelta(1), MONDAY + timedelta(6)
WEEK = [100.0, 101.0, 102.0, 103.0, 104.0, 105.0, 106.0]


async def test_holds_all_days_up_to_the_one_asked_for(harness: Harness) -> None:
    """Days are read on request, each once."""
    await harness.store_prices(A=WEEK)
    history = await MarketHistory(harness.store.prices).at(SUNDAY)
    assert history
    assert ([closes["A"] for closes in history.closes], history.days[0]) == (WEEK, MONDAY)


async def test_one_that_reads_on_knows_what_one_that_begins_reads(
    harness: Harness, other: Harness
) -> None:
    """Day by day or all at once, the figures are the same."""
    reader = MarketHistory(harness.store.prices)
    for days in range(1, 8):
        await harness.store_prices(A=WEEK[:days])
        history = await reader.at(MONDAY + timedelta(days - 1))
    late = await MarketHistory(other.store.prices).at(SUNDAY)
    assert history
    assert late
    for one, same in (
        (history.days, late.days),
        (history.closes, late.closes),
        (history.returns, late.returns),
    ):
        assert list(one) == list(same)


async def test_a_process_that_has_gone_on_has_nothing_more_to_say_of_a_day(
    harness: Harness,
) -> None:
    """The last day can be asked for again."""
    await harness.store_prices(A=WEEK[:2])
    market = MarketHistory(harness.store.prices)
    assert await market.at(TUESDAY) is await market.at(TUESDAY) is not None
    assert await market.at(MONDAY) is None


async def test_one_that_has_not_gone_on_sees_no_more_than_was_there_to_see(
    harness: Harness,
) -> None:
    """Later days in the database do not change the decision on an earlier day."""
    await harness.store_prices(A=WEEK)
    history = await MarketHistory(harness.store.prices).at(TUESDAY)
    assert history
    assert list(history.days) == [MONDAY, TUESDAY]


async def test_a_day_is_past_when_the_market_has_a_later_one(harness: Harness) -> None:
    """The database knows it, even if this process has not read the later day."""
    await harness.store_prices(A=WEEK[:2])
    market = MarketHistory(harness.store.prices)
    assert (await market.is_past(MONDAY), await market.is_past(TUESDAY)) == (True, False)


async def test_the_components_of_a_process_read_each_day_once(
    harness: Harness, other: Harness
) -> None:
    """Components of one process share what was read; another process reads for itself."""
    await harness.store_prices(A=WEEK[:1])
    assert harness.store.market is not other.store.market
    assert await harness.store.market.at(MONDAY) is await harness.store.market.at(MONDAY)


async def test_a_day_that_nobody_kept_is_named(harness: Harness) -> None:
    """The database may be another one than the feed's."""
    history = MarketHistory(harness.store.prices)
    with pytest.raises(NoPricesError, match="QT_DATABASE_URL"):
        await history.at(MONDAY)
    await harness.store_prices(A=WEEK[:1])
    with pytest.raises(NoPricesError, match=str(TUESDAY)):
        await history.at(TUESDAY)
