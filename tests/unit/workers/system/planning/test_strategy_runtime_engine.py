import pytest

from qt_events import OpportunitiesUpdatedEvent, Stage, StrategyPromotedEvent
from tests.unit.workers.harness import MONDAY, Scene
from workers.events import SignalsGenerated, SignalsGeneratedEvent, TradingOpenedEvent
from workers.market.strategies import FIRST_STAGES
from workers.system.planning.strategy_runtime_engine import StrategyRuntimeEngine, signal

RANKING = ["A", "B", "C", "D"]


@pytest.fixture(autouse=True)
def _engine(scene: Scene) -> None:
    StrategyRuntimeEngine(scene.bus, scene.store)


async def rank(scene: Scene) -> None:
    await scene.announce(OpportunitiesUpdatedEvent, top_symbols=RANKING, scores=dict.fromkeys(RANKING, 0.0))


async def promote(scene: Scene, strategy_id: str, stage: Stage) -> None:
    await scene.announce(StrategyPromotedEvent, strategy_id=strategy_id, from_stage=Stage.SHADOW, to_stage=stage)


async def generated(scene: Scene) -> SignalsGenerated:
    await scene.say(TradingOpenedEvent.create(day=MONDAY, rests_on=await scene.rests_on()))
    payload: SignalsGenerated = scene.last(SignalsGeneratedEvent)
    return payload


async def live(scene: Scene) -> list[str]:
    return [each.strategy_id for each in (await generated(scene)).signals]


async def test_a_live_strategy_says_what_it_would_hold(scene: Scene) -> None:
    """All symbols of the ranking, its favourites first, less sure of each one after."""
    await rank(scene)
    (momentum,) = (await generated(scene)).signals
    assert momentum == {"strategy_id": "momentum", "confidence": {"A": 1.0, "B": 0.75, "C": 0.5, "D": 0.25}}
    assert list(momentum.confidence) == RANKING


async def test_the_others_are_not_asked(scene: Scene) -> None:
    """At first momentum alone is live."""
    await rank(scene)
    assert await live(scene) == ["momentum"] == [name for name, stage in FIRST_STAGES.items() if stage is Stage.LIVE]


async def test_stages_are_those_announced(scene: Scene) -> None:
    """One goes live, another leaves."""
    await rank(scene)
    await promote(scene, "core", Stage.LIVE)
    assert await live(scene) == ["momentum", "core"]
    await promote(scene, "momentum", Stage.SHADOW)
    assert await live(scene) == ["core"]


async def test_a_younger_process_knows_the_stages_too(scene: Scene, other: Scene) -> None:
    """Announced before it was there."""
    await rank(scene)
    await promote(scene, "core", Stage.LIVE)
    StrategyRuntimeEngine(other.bus, other.store)
    assert (await generated(other)) == (await generated(scene))


async def test_without_a_ranking_there_is_no_signal(scene: Scene) -> None:
    """The day goes on all the same: a step with nothing in it."""
    assert (await generated(scene)).signals == []


async def test_the_same_step_again_has_the_same_answer(scene: Scene) -> None:
    """One event, by its id; and it hands on what it rests on."""
    await rank(scene)
    await generated(scene)
    await generated(scene)
    first, second = scene.heard(SignalsGeneratedEvent)
    assert (first.id, first.payload) == (second.id, second.payload)
    assert first.payload.rests_on == await scene.rests_on()


@pytest.mark.parametrize(("strategy_id", "first"), [("momentum", "A"), ("mean_reversion", "D"), ("core", "B")])
def test_each_strategy_is_surest_of_its_own_first_choice(strategy_id: str, first: str) -> None:
    """In its own order."""
    confidence = signal(strategy_id, RANKING).confidence
    assert max(confidence, key=confidence.__getitem__) == next(iter(confidence)) == first
