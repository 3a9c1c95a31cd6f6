import pytest

from qt_events import OpportunitiesUpdatedEvent, Stage, StrategyPromotedEvent
from tests.unit.workers.harness import MONDAY, Harness
from workers.events import SignalsGenerated, SignalsGeneratedEvent, TradingOpenedEvent
from workers.market.strategies import FIRST_STAGES
from workers.system.planning.strategy_runtime_engine import StrategyRuntimeEngine, signal

RANKING = ["A", "B", "C", "D"]


@pytest.fixture(autouse=True)
def _engine(harness: Harness) -> None:
    StrategyRuntimeEngine(harness.bus, harness.store)


async def rank(harness: Harness) -> None:
    await harness.announce(
        OpportunitiesUpdatedEvent, top_symbols=RANKING, scores=dict.fromkeys(RANKING, 0.0)
    )


async def promote(harness: Harness, strategy_id: str, stage: Stage) -> None:
    await harness.announce(
        StrategyPromotedEvent, strategy_id=strategy_id, from_stage=Stage.SHADOW, to_stage=stage
    )


async def generated(harness: Harness) -> SignalsGenerated:
    await harness.publish(TradingOpenedEvent.create(day=MONDAY, rests_on=await harness.rests_on()))
    payload: SignalsGenerated = harness.last_payload(SignalsGeneratedEvent)
    return payload


async def live(harness: Harness) -> list[str]:
    return [each.strategy_id for each in (await generated(harness)).signals]


async def test_a_live_strategy_says_what_it_would_hold(harness: Harness) -> None:
    """All symbols of the ranking are there, with less confidence for each next one."""
    await rank(harness)
    (momentum,) = (await generated(harness)).signals
    assert momentum == {
        "strategy_id": "momentum",
        "confidence": {"A": 1.0, "B": 0.75, "C": 0.5, "D": 0.25},
    }
    assert list(momentum.confidence) == RANKING


async def test_the_others_are_not_asked(harness: Harness) -> None:
    """Momentum alone is live at first."""
    await rank(harness)
    assert (
        await live(harness)
        == ["momentum"]
        == [name for name, stage in FIRST_STAGES.items() if stage is Stage.LIVE]
    )


async def test_stages_are_those_announced(harness: Harness) -> None:
    """One strategy goes live, another leaves."""
    await rank(harness)
    await promote(harness, "core", Stage.LIVE)
    assert await live(harness) == ["momentum", "core"]
    await promote(harness, "momentum", Stage.SHADOW)
    assert await live(harness) == ["core"]


async def test_a_younger_process_knows_the_stages_too(harness: Harness, other: Harness) -> None:
    """Earlier announcements are in the database."""
    await rank(harness)
    await promote(harness, "core", Stage.LIVE)
    StrategyRuntimeEngine(other.bus, other.store)
    assert (await generated(other)) == (await generated(harness))


async def test_without_a_ranking_there_is_no_signal(harness: Harness) -> None:
    """The day goes on with an empty step."""
    assert (await generated(harness)).signals == []


async def test_the_same_step_again_has_the_same_answer(harness: Harness) -> None:
    """The event has the same id and hands on what the step rests on."""
    await rank(harness)
    await generated(harness)
    await generated(harness)
    first, second = harness.published(SignalsGeneratedEvent)
    assert (first.id, first.payload) == (second.id, second.payload)
    assert first.payload.rests_on == await harness.rests_on()


@pytest.mark.parametrize(
    ("strategy_id", "first"), [("momentum", "A"), ("mean_reversion", "D"), ("core", "B")]
)
def test_each_strategy_is_surest_of_its_own_first_choice(strategy_id: str, first: str) -> None:
    confidence = signal(strategy_id, RANKING).confidence
    assert max(confidence, key=confidence.__getitem__) == next(iter(confidence)) == first
