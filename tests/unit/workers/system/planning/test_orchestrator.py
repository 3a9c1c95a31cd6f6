import pytest

from qt_events import PolicyUpdatedEvent
from tests.unit.workers.harness import MONDAY, Scene, policy
from workers.events import Plan, Signal, SignalsScoredEvent, TradingPlannedEvent
from workers.system.planning.orchestrator import PLANS, Orchestrator

CONFIDENCE = {"A": 0.9, "B": 0.8}


@pytest.fixture(autouse=True)
def _orchestrator(scene: Scene) -> None:
    Orchestrator(scene.bus, scene.store)


async def plan(scene: Scene, *strategies: str) -> Plan:
    """For signals of these strategies."""
    signals = [Signal(strategy_id=strategy, confidence=CONFIDENCE) for strategy in strategies]
    step = SignalsScoredEvent.create(day=MONDAY, rests_on=await scene.rests_on(), signals=signals, model="XGBoost v1")
    await scene.say(step)
    planned: Plan = scene.last(TradingPlannedEvent)
    return planned


async def test_plans_by_the_strategy_that_the_policy_puts_first(scene: Scene) -> None:
    """Of those that have a signal; in the policy's order, not in theirs."""
    await scene.announce(PolicyUpdatedEvent, **policy(allowed_strategies=["core", "momentum"]))
    assert await plan(scene, "mean_reversion", "momentum", "core") == {
        "day": MONDAY,
        "rests_on": await scene.rests_on(),
        "strategy_id": "core",
        "model": "XGBoost v1",
        "confidence": CONFIDENCE,
    }
    assert (await plan(scene, "mean_reversion", "momentum")).strategy_id == "momentum"


async def test_a_strategy_that_is_not_allowed_is_not_traded(scene: Scene) -> None:
    """Nothing is to be held then: a plan of nothing, not of the second best."""
    await scene.announce(PolicyUpdatedEvent, **policy(allowed_strategies=["core"]))
    planned = await plan(scene, "momentum")
    assert (planned.strategy_id, planned.confidence) == (None, {})


async def test_without_a_policy_nothing_is_planned_to_be_held(scene: Scene) -> None:
    """Silence is no permission; the day goes on."""
    planned = await plan(scene, "momentum")
    assert (planned.strategy_id, planned.confidence, planned.model) == (None, {}, "XGBoost v1")


async def test_a_new_policy_is_followed_from_the_next_step(scene: Scene) -> None:
    """It is heard by broadcast."""
    await scene.announce(PolicyUpdatedEvent, **policy(allowed_strategies=["momentum"]))
    assert (await plan(scene, "momentum", "core")).strategy_id == "momentum"
    await scene.announce(PolicyUpdatedEvent, **policy(allowed_strategies=["core"]))
    assert (await plan(scene, "momentum", "core")).strategy_id == "core"


async def test_a_younger_process_plans_the_same(scene: Scene, other: Scene) -> None:
    """It looks the policy up; the event has the same id."""
    await scene.announce(PolicyUpdatedEvent, **policy())
    Orchestrator(other.bus, other.store)
    assert await plan(other, "momentum") == await plan(scene, "momentum")
    assert other.heard(TradingPlannedEvent)[0].id == scene.heard(TradingPlannedEvent)[0].id


async def test_each_day_is_noted_once(scene: Scene) -> None:
    """By which strategy and model, however often the step comes."""
    await scene.announce(PolicyUpdatedEvent, **policy())
    await plan(scene, "momentum")
    await plan(scene, "momentum")
    assert await scene.store.documents.all(PLANS) == {
        MONDAY.isoformat(): {"strategy_id": "momentum", "model": "XGBoost v1"}
    }
