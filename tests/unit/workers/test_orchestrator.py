from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from qt_events import ModelPromotedEvent, PolicyUpdatedEvent, RiskMode, Stage, StrategyPromotedEvent
from workers.events import TradingOpenedEvent, TradingPlanned, TradingPlannedEvent
from workers.orchestrator import Orchestrator

if TYPE_CHECKING:
    from tests.unit.workers.conftest import Scene

DAY = date(2024, 1, 2)


def policy(allowed_strategies: tuple[str, ...] = ("momentum", "core")) -> PolicyUpdatedEvent:
    return PolicyUpdatedEvent.create(
        risk_mode=RiskMode.NORMAL,
        allowed_strategies=list(allowed_strategies),
        global_min_confidence=0.7,
        max_risk_per_trade=0.1,
        max_positions=5,
    )


def model(name: str, hit_rate: float) -> ModelPromotedEvent:
    return ModelPromotedEvent.create(
        model_name=name, old_version=None, new_version="v1", metrics={"hit_rate": hit_rate}
    )


def stage(strategy_id: str, to_stage: Stage) -> StrategyPromotedEvent:
    return StrategyPromotedEvent.create(strategy_id=strategy_id, from_stage=Stage.SHADOW, to_stage=to_stage)


async def plan(scene: "Scene") -> TradingPlanned:
    await scene.say(TradingOpenedEvent.create(day=DAY))
    return scene.heard(TradingPlannedEvent)[-1].payload


@pytest.fixture
def orchestrator(scene: "Scene") -> Orchestrator:
    return Orchestrator(scene.bus)


async def test_plans_within_the_policy(scene: "Scene", orchestrator: Orchestrator) -> None:
    """The first live strategy that is allowed, the policy's limits."""
    await scene.say(policy(), model("XGBoost", 0.5))
    assert await plan(scene) == TradingPlanned(
        day=DAY, strategy_id="momentum", model="XGBoost v1", max_positions=5, position_share=0.1
    )


@pytest.mark.parametrize("known", [[], [policy()], [model("XGBoost", 0.5)]])
async def test_no_plan_without_policy_and_model(scene: "Scene", orchestrator: Orchestrator, known: list[Any]) -> None:
    """Nothing is traded before both are known."""
    await scene.say(*known, TradingOpenedEvent.create(day=DAY))
    assert scene.heard(TradingPlannedEvent) == []


async def test_a_strategy_must_be_live(scene: "Scene", orchestrator: Orchestrator) -> None:
    """Stages decide among the allowed ones; with none live nothing is to be held."""
    await scene.say(policy(), model("XGBoost", 0.5), stage("momentum", Stage.SHADOW))
    assert (await plan(scene)).strategy_id is None
    await scene.say(stage("core", Stage.LIVE))
    assert (await plan(scene)).strategy_id == "core"


async def test_a_live_strategy_must_be_allowed(scene: "Scene", orchestrator: Orchestrator) -> None:
    """The policy decides among the live ones."""
    await scene.say(policy(("core",)), model("XGBoost", 0.5))
    assert (await plan(scene)).strategy_id is None


async def test_the_model_with_the_best_hit_rate_is_used(scene: "Scene", orchestrator: Orchestrator) -> None:
    """Whichever was promoted last."""
    await scene.say(policy(), model("LightGBM", 0.7), model("XGBoost", 0.6))
    assert (await plan(scene)).model == "LightGBM v1"
