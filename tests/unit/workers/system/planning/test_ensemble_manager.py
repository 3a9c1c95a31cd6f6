from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qt_events import ModelPromotedEvent
from tests.unit.workers.harness import MONDAY, Harness
from workers.events import Signal, SignalsGeneratedEvent, SignalsScored, SignalsScoredEvent
from workers.system.planning.ensemble_manager import (
    DISAGREEMENT_FACTOR,
    EnsembleManager,
    best,
    discounted,
)

TUESDAY = MONDAY + timedelta(1)
RISING = [100.0, 101.0]
SIGNAL = Signal(strategy_id="momentum", confidence={"A": 1.0, "B": 0.5})


@pytest.fixture(autouse=True)
def _ensemble(harness: Harness) -> None:
    EnsembleManager(harness.bus, harness.store)


async def promote(harness: Harness, name: str, hit_rate: float, version: str = "v1") -> None:
    metrics = {"hit_rate": hit_rate, "lookback": 1}
    await harness.announce(
        ModelPromotedEvent,
        MONDAY,
        model_name=name,
        old_version=None,
        new_version=version,
        metrics=metrics,
    )


async def scored(harness: Harness) -> SignalsScored:
    step = SignalsGeneratedEvent.create(
        day=TUESDAY, rests_on=await harness.rests_on(), signals=[SIGNAL]
    )
    await harness.publish(step)
    payload: SignalsScored = harness.last_payload(SignalsScoredEvent)
    return payload


async def test_the_best_model_judges(harness: Harness) -> None:
    """The highest hit rate counts, not the newest promotion."""
    await harness.store_prices(A=RISING)
    await promote(harness, "XGBoost", 0.6)
    await promote(harness, "LightGBM", 0.5)
    assert (await scored(harness)).model == "XGBoost v1"


async def test_a_promoted_model_takes_over(harness: Harness) -> None:
    """The next signals are scored by it."""
    await harness.store_prices(A=RISING)
    await promote(harness, "XGBoost", 0.6)
    assert (await scored(harness)).model == "XGBoost v1"
    await promote(harness, "LightGBM", 0.7, "v2")
    assert (await scored(harness)).model == "LightGBM v2"


async def test_signals_that_the_model_agrees_with_stay_as_they_are(harness: Harness) -> None:
    """The model expects a rise."""
    await harness.store_prices(A=RISING)
    await promote(harness, "XGBoost", 0.6)
    assert (await scored(harness)).signals == [SIGNAL]


async def test_a_model_that_expects_a_fall_lowers_the_confidence(harness: Harness) -> None:
    """All signals lose the same share; their order stays."""
    await harness.store_prices(A=RISING)
    # LightGBM expects the opposite of the last days.
    await promote(harness, "LightGBM", 0.6)
    (doubtful,) = (await scored(harness)).signals
    assert doubtful.confidence == {"A": DISAGREEMENT_FACTOR, "B": DISAGREEMENT_FACTOR / 2}
    assert doubtful.strategy_id == "momentum"


async def test_a_day_long_past_is_ignored(harness: Harness) -> None:
    """The models have changed since then."""
    await harness.store_prices(A=[*RISING, 102.0])
    await promote(harness, "XGBoost", 0.6)
    for day in (TUESDAY, TUESDAY + timedelta(1), TUESDAY):
        await harness.publish(
            SignalsGeneratedEvent.create(
                day=day, rests_on=await harness.rests_on(), signals=[SIGNAL]
            )
        )
    assert [event.payload.day for event in harness.published(SignalsScoredEvent)] == [
        TUESDAY,
        TUESDAY + timedelta(1),
    ]


async def test_the_same_step_again_has_the_same_answer_in_any_process(
    harness: Harness, other: Harness
) -> None:
    """A process that has heard of no model reads it from the database."""
    await harness.store_prices(A=RISING)
    await promote(harness, "XGBoost", 0.6)
    EnsembleManager(other.bus, other.store)
    assert await scored(harness) == await scored(other)
    assert harness.published(SignalsScoredEvent)[0].id == other.published(SignalsScoredEvent)[0].id


@given(st.permutations([("XGBoost", 0.5), ("LightGBM", 0.5), ("PatchTST", 0.4), ("N-HiTS", 0.5)]))
def test_of_equals_the_last_by_name_judges(hit_rates: list[tuple[str, float]]) -> None:
    """The order in which they became known does not matter."""
    models = [
        ModelPromotedEvent.create(
            model_name=name, old_version=None, new_version="v1", metrics={"hit_rate": rate}
        )
        for name, rate in hit_rates
    ]
    assert best(model.payload for model in models).model_name == "XGBoost"


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), max_size=5))
def test_a_doubt_never_makes_surer(confidence: dict[str, float]) -> None:
    """Every symbol keeps its place."""
    less = discounted(Signal(strategy_id="core", confidence=confidence)).confidence
    assert list(less) == list(confidence)
    assert all(less[symbol] <= confidence[symbol] + 0.0001 for symbol in confidence)
