from datetime import timedelta

import pytest

from qt_events import HealthStatus, HealthStatusChangedEvent
from tests.unit.workers.harness import MONDAY, Scene
from workers.events import ClearedPlan, TradingClearedEvent, TradingPlannedEvent
from workers.system.planning.safety_governor import HALTED_DAYS, SafetyGovernor

LOGGER = "workers.system.planning.safety_governor"

HEALTHY, DEGRADED, CRITICAL = HealthStatus.HEALTHY, HealthStatus.DEGRADED, HealthStatus.CRITICAL


@pytest.fixture(autouse=True)
def _governor(scene: Scene) -> None:
    SafetyGovernor(scene.bus, scene.store)


async def health(scene: Scene, old: HealthStatus, new: HealthStatus, component: str = "DrawdownGuard") -> None:
    await scene.announce(
        HealthStatusChangedEvent, old_status=old, new_status=new, component=component, reason=f"{component} says so"
    )


async def cleared(scene: Scene, day: int = 0) -> ClearedPlan:
    step = TradingPlannedEvent.create(
        day=MONDAY + timedelta(day),
        rests_on=await scene.rests_on(),
        strategy_id="momentum",
        model="XGBoost v1",
        confidence={"A": 0.9},
    )
    await scene.say(step)
    payload: ClearedPlan = scene.last(TradingClearedEvent)
    return payload


async def test_passes_a_plan_on_unchanged(scene: Scene) -> None:
    """While nothing is known to be wrong."""
    assert await cleared(scene) == {
        "day": MONDAY,
        "rests_on": {},
        "strategy_id": "momentum",
        "model": "XGBoost v1",
        "confidence": {"A": 0.9},
        "halted": False,
    }


async def test_halts_trading_while_critical_and_no_longer(scene: Scene) -> None:
    """DEGRADED is a warning, no reason to stop."""
    await health(scene, HEALTHY, DEGRADED)
    assert not (await cleared(scene)).halted
    await health(scene, DEGRADED, CRITICAL)
    assert (await cleared(scene)).halted
    assert (await cleared(scene)).halted
    await health(scene, CRITICAL, DEGRADED)
    assert not (await cleared(scene)).halted


async def test_one_critical_component_is_enough(scene: Scene) -> None:
    """Whatever is said of the others, and last."""
    await health(scene, HEALTHY, CRITICAL, "DataFeed")
    await health(scene, CRITICAL, HEALTHY)
    assert (await cleared(scene)).halted


async def test_a_younger_process_halts_too(scene: Scene, other: Scene) -> None:
    """What it did not hear it looks up."""
    await health(scene, HEALTHY, CRITICAL)
    SafetyGovernor(other.bus, other.store)
    assert (await cleared(other)).halted


async def test_notes_each_halted_day_once_with_the_reasons(scene: Scene) -> None:
    """By component; days on which trading went on are not among them."""
    await cleared(scene, 0)
    await health(scene, HEALTHY, CRITICAL)
    await cleared(scene, 1)
    await cleared(scene, 1)
    await cleared(scene, 2)
    await health(scene, CRITICAL, HEALTHY)
    await cleared(scene, 3)
    halted = await scene.store.documents.all(HALTED_DAYS)
    assert halted == {day: {"DrawdownGuard": "DrawdownGuard says so"} for day in ("2024-01-02", "2024-01-03")}


async def test_says_in_the_log_when_it_halts_and_when_it_goes_on(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """Once each, as warnings; other changes are others' business."""
    await health(scene, HEALTHY, DEGRADED)
    await health(scene, DEGRADED, CRITICAL)
    await health(scene, CRITICAL, DEGRADED)
    lines = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    assert lines == ["trading is halted: DrawdownGuard says so", "trading goes on: DrawdownGuard says so"]


async def test_the_same_plan_again_has_the_same_answer(scene: Scene) -> None:
    """One event, by its id."""
    await cleared(scene)
    await cleared(scene)
    first, second = scene.heard(TradingClearedEvent)
    assert (first.id, first.payload) == (second.id, second.payload)
