from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qt_events import ModelPromotedEvent
from tests.unit.workers.harness import MONDAY, Scene
from workers.events import Signal, SignalsGeneratedEvent, SignalsScored, SignalsScoredEvent
from workers.system.planning.ensemble_manager import DOUBT, EnsembleManager, best, doubted

TUESDAY = MONDAY + timedelta(1)
RISING = [100.0, 101.0]
SIGNAL = Signal(strategy_id="momentum", confidence={"A": 1.0, "B": 0.5})


@pytest.fixture(autouse=True)
def _ensemble(scene: Scene) -> None:
    EnsembleManager(scene.bus, scene.store)


async def promote(scene: Scene, name: str, hit_rate: float, version: str = "v1") -> None:
    metrics = {"hit_rate": hit_rate, "lookback": 1}
    await scene.announce(
        ModelPromotedEvent, MONDAY, model_name=name, old_version=None, new_version=version, metrics=metrics
    )


async def scored(scene: Scene) -> SignalsScored:
    step = SignalsGeneratedEvent.create(day=TUESDAY, rests_on=await scene.rests_on(), signals=[SIGNAL])
    await scene.say(step)
    payload: SignalsScored = scene.last(SignalsScoredEvent)
    return payload


async def test_the_best_model_judges(scene: Scene) -> None:
    """By its hit rate; whichever was promoted last."""
    await scene.keep(A=RISING)
    await promote(scene, "XGBoost", 0.6)
    await promote(scene, "LightGBM", 0.5)
    assert (await scored(scene)).model == "XGBoost v1"


async def test_a_promoted_model_takes_over(scene: Scene) -> None:
    """With its first signal after that."""
    await scene.keep(A=RISING)
    await promote(scene, "XGBoost", 0.6)
    assert (await scored(scene)).model == "XGBoost v1"
    await promote(scene, "LightGBM", 0.7, "v2")
    assert (await scored(scene)).model == "LightGBM v2"


async def test_signals_that_the_model_agrees_with_stay_as_they_are(scene: Scene) -> None:
    """It expects the rise to go on."""
    await scene.keep(A=RISING)
    await promote(scene, "XGBoost", 0.6)
    assert (await scored(scene)).signals == [SIGNAL]


async def test_a_model_that_expects_a_fall_lowers_the_confidence(scene: Scene) -> None:
    """Of all signals, by the same share; their order stays."""
    await scene.keep(A=RISING)
    await promote(scene, "LightGBM", 0.6)  # it turns round
    (doubtful,) = (await scored(scene)).signals
    assert doubtful.confidence == {"A": DOUBT, "B": DOUBT / 2}
    assert doubtful.strategy_id == "momentum"


async def test_a_day_long_past_is_ignored(scene: Scene) -> None:
    """What a model would say of it now is not what it said then."""
    await scene.keep(A=[*RISING, 102.0])
    await promote(scene, "XGBoost", 0.6)
    for day in (TUESDAY, TUESDAY + timedelta(1), TUESDAY):
        await scene.say(SignalsGeneratedEvent.create(day=day, rests_on=await scene.rests_on(), signals=[SIGNAL]))
    assert [event.payload.day for event in scene.heard(SignalsScoredEvent)] == [TUESDAY, TUESDAY + timedelta(1)]


async def test_the_same_step_again_has_the_same_answer_in_any_process(scene: Scene, other: Scene) -> None:
    """One that has heard of no model yet looks it up."""
    await scene.keep(A=RISING)
    await promote(scene, "XGBoost", 0.6)
    EnsembleManager(other.bus, other.store)
    assert await scored(scene) == await scored(other)
    assert scene.heard(SignalsScoredEvent)[0].id == other.heard(SignalsScoredEvent)[0].id


@given(st.permutations([("XGBoost", 0.5), ("LightGBM", 0.5), ("PatchTST", 0.4), ("N-HiTS", 0.5)]))
def test_of_equals_the_last_by_name_judges(hit_rates: list[tuple[str, float]]) -> None:
    """The order in which they are known decides nothing."""
    models = [
        ModelPromotedEvent.create(model_name=name, old_version=None, new_version="v1", metrics={"hit_rate": rate})
        for name, rate in hit_rates
    ]
    assert best(model.payload for model in models).model_name == "XGBoost"


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), max_size=5))
def test_a_doubt_never_makes_surer(confidence: dict[str, float]) -> None:
    """And keeps every symbol, in its place."""
    less = doubted(Signal(strategy_id="core", confidence=confidence)).confidence
    assert list(less) == list(confidence)
    assert all(less[symbol] <= confidence[symbol] + 0.0001 for symbol in confidence)
