from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qt_events import ModelPromotedEvent
from tests.unit.workers.harness import Harness, days
from workers.events import ModelAnalyzedEvent
from workers.market.prices import PriceHistory
from workers.system.analysts.clm import (
    MODELS,
    ContinuousLearningManager,
    Version,
    forecasts_rise,
    hit_rate,
)

# Up ten days, down ten days: the last days tell the next one well, the last weeks do not.
WAVES = [100 * 1.01 ** (day % 20 if day % 20 < 10 else 20 - day % 20) for day in range(100)]


@pytest.fixture(autouse=True)
def _clm(harness: Harness) -> None:
    ContinuousLearningManager(harness.bus, harness.store)


async def test_puts_a_first_version_of_every_model_to_work(harness: Harness) -> None:
    """Each model has a version from the first day."""
    await harness.trade_days(A=[100.0])
    promoted = [event.payload for event in harness.published(ModelPromotedEvent)]
    assert [(model.model_name, model.old_version, model.new_version) for model in promoted] == [
        (name, None, "v1") for name in MODELS
    ]


async def test_a_better_challenger_takes_the_place(harness: Harness) -> None:
    """The hit rates of both count."""
    await harness.trade_days(A=WAVES)
    later = [
        event.payload
        for event in harness.published(ModelPromotedEvent)
        if event.payload.old_version
    ]
    assert later
    for model in later:
        shadow = model.shadow_performance
        assert shadow["hit_rate"] > shadow["hit_rate_at_work"]
        assert int(model.new_version[1:]) == int(str(model.old_version)[1:]) + 1


async def test_no_challenger_is_better_in_a_market_that_stands_still(harness: Harness) -> None:
    await harness.trade_days(A=[100.0] * 70)
    assert len(harness.published(ModelPromotedEvent)) == len(MODELS)


async def test_looks_once_a_month(harness: Harness) -> None:
    """Promotions come on the first day of a month only, however well a challenger does."""
    await harness.trade_days(A=WAVES)
    changes = [
        today.day
        for before, today in pairwise(
            event.payload for event in harness.published(ModelAnalyzedEvent)
        )
        if before.rests_on != today.rests_on
    ]
    assert changes
    assert {day.day for day in changes} == {1}


@pytest.mark.parametrize(("model", "rises"), [("XGBoost", True), ("LightGBM", False)])
def test_a_model_goes_on_as_the_last_days_went_or_turns_round(model: str, rises: bool) -> None:
    """One kind expects another rise after a rise, the other kind a fall."""
    history = PriceHistory()
    for day, closes in days(A=[100.0, 101.0, 102.0, 103.0]):
        history.add(day, closes)
    promoted = ModelPromotedEvent.create(
        model_name=model,
        old_version=None,
        new_version="v7",
        metrics={"lookback": 2, "hit_rate": 0.6},
    ).payload
    assert forecasts_rise(promoted, history) is rises
    assert Version.of(promoted) == Version(7, 2)


def test_going_on_is_right_while_it_goes_on() -> None:
    """All forecasts are right, or all are wrong, by direction."""
    assert hit_rate([0.01] * 40, 1, 5) == 1
    assert hit_rate([0.01] * 40, -1, 5) == 0


@given(st.lists(st.floats(-0.1, 0.1), max_size=30), st.integers(1, 5))
def test_too_few_days_tell_nothing(returns: list[float], lookback: int) -> None:
    """The hit rate of fewer than thirty forecasts is a half."""
    assert hit_rate(returns, 1, lookback) == 0.5
