import pytest

from qt_events import PolicyUpdatedEvent
from tests.unit.workers.harness import MONDAY, Harness, policy
from workers.events import Plan, Signal, SignalsScoredEvent, TradingPlannedEvent
from workers.system.planning.orchestrator import PLANS, Orchestrator

CONFIDENCE = {"A": 0.9, "B": 0.8}


@pytest.fixture(autouse=True)
def _orchestrator(harness: Harness) -> None:
    Orchestrator(harness.bus, harness.store)


async def plan(harness: Harness, *strategies: str) -> Plan:
    """Return the plan for signals of these strategies."""
    signals = [Signal(strategy_id=strategy, confidence=CONFIDENCE) for strategy in strategies]
    step = SignalsScoredEvent.create(
        day=MONDAY, rests_on=await harness.rests_on(), signals=signals, model="XGBoost v1"
    )
    await harness.publish(step)
    planned: Plan = harness.last_payload(TradingPlannedEvent)
    return planned


async def test_plans_by_the_strategy_that_the_policy_puts_first(harness: Harness) -> None:
    """The policy's order decides among strategies with a signal."""
    await harness.announce(PolicyUpdatedEvent, **policy(allowed_strategies=["core", "momentum"]))
    assert await plan(harness, "mean_reversion", "momentum", "core") == {
        "day": MONDAY,
        "rests_on": await harness.rests_on(),
        "strategy_id": "core",
        "model": "XGBoost v1",
        "confidence": CONFIDENCE,
    }
    assert (await plan(harness, "mean_reversion", "momentum")).strategy_id == "momentum"


async def test_a_strategy_that_is_not_allowed_is_not_traded(harness: Harness) -> None:
    """The plan is then to hold nothing."""
    await harness.announce(PolicyUpdatedEvent, **policy(allowed_strategies=["core"]))
    planned = await plan(harness, "momentum")
    assert (planned.strategy_id, planned.confidence) == (None, {})


async def test_without_a_policy_nothing_is_planned_to_be_held(harness: Harness) -> None:
    """The day goes on all the same."""
    planned = await plan(harness, "momentum")
    assert (planned.strategy_id, planned.confidence, planned.model) == (None, {}, "XGBoost v1")


async def test_a_new_policy_is_followed_from_the_next_step(harness: Harness) -> None:
    await harness.announce(PolicyUpdatedEvent, **policy(allowed_strategies=["momentum"]))
    assert (await plan(harness, "momentum", "core")).strategy_id == "momentum"
    await harness.announce(PolicyUpdatedEvent, **policy(allowed_strategies=["core"]))
    assert (await plan(harness, "momentum", "core")).strategy_id == "core"


async def test_a_younger_process_plans_the_same(harness: Harness, other: Harness) -> None:
    """The policy is in the database, and the event has the same id."""
    await harness.announce(PolicyUpdatedEvent, **policy())
    Orchestrator(other.bus, other.store)
    assert await plan(other, "momentum") == await plan(harness, "momentum")
    assert (
        other.published(TradingPlannedEvent)[0].id == harness.published(TradingPlannedEvent)[0].id
    )


async def test_each_day_is_noted_once(harness: Harness) -> None:
    """Strategy and model of a day are kept once, however often the step comes."""
    await harness.announce(PolicyUpdatedEvent, **policy())
    await plan(harness, "momentum")
    await plan(harness, "momentum")
    assert await harness.store.documents.all(PLANS) == {
        MONDAY.isoformat(): {"strategy_id": "momentum", "model": "XGBoost v1"}
    }
