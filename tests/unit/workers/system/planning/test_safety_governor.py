from datetime import timedelta

import pytest

from qt_events import HealthStatus, HealthStatusChangedEvent
from tests.unit.workers.harness import MONDAY, Harness
from workers.events import ClearedPlan, TradingClearedEvent, TradingPlannedEvent
from workers.system.planning.safety_governor import HALTED_DAYS, SafetyGovernor

LOGGER = "workers.system.planning.safety_governor"

HEALTHY, DEGRADED, CRITICAL = HealthStatus.HEALTHY, HealthStatus.DEGRADED, HealthStatus.CRITICAL


@pytest.fixture(autouse=True)
def _governor(harness: Harness) -> None:
    SafetyGovernor(harness.bus, harness.store)


async def health(
    harness: Harness, old: HealthStatus, new: HealthStatus, component: str = "DrawdownGuard"
) -> None:
    await harness.announce(
        HealthStatusChangedEvent,
        old_status=old,
        new_status=new,
        component=component,
        reason=f"{component} says so",
    )


async def cleared(harness: Harness, day: int = 0) -> ClearedPlan:
    step = TradingPlannedEvent.create(
        day=MONDAY + timedelta(day),
        rests_on=await harness.rests_on(),
        strategy_id="momentum",
        model="XGBoost v1",
        confidence={"A": 0.9},
    )
    await harness.publish(step)
    payload: ClearedPlan = harness.last_payload(TradingClearedEvent)
    return payload


async def test_passes_a_plan_on_unchanged(harness: Harness) -> None:
    """No component has a bad health."""
    assert await cleared(harness) == {
        "day": MONDAY,
        "rests_on": {},
        "strategy_id": "momentum",
        "model": "XGBoost v1",
        "confidence": {"A": 0.9},
        "halted": False,
    }


async def test_halts_trading_while_critical_and_no_longer(harness: Harness) -> None:
    """DEGRADED does not halt trading."""
    await health(harness, HEALTHY, DEGRADED)
    assert not (await cleared(harness)).halted
    await health(harness, DEGRADED, CRITICAL)
    assert (await cleared(harness)).halted
    assert (await cleared(harness)).halted
    await health(harness, CRITICAL, DEGRADED)
    assert not (await cleared(harness)).halted


async def test_one_critical_component_is_enough(harness: Harness) -> None:
    """The health of the others does not matter."""
    await health(harness, HEALTHY, CRITICAL, "DataFeed")
    await health(harness, CRITICAL, HEALTHY)
    assert (await cleared(harness)).halted


async def test_a_younger_process_halts_too(harness: Harness, other: Harness) -> None:
    """The health is in the database."""
    await health(harness, HEALTHY, CRITICAL)
    SafetyGovernor(other.bus, other.store)
    assert (await cleared(other)).halted


async def test_notes_each_halted_day_once_with_the_reasons(harness: Harness) -> None:
    """Reasons are kept by component; other days are not kept."""
    await cleared(harness, 0)
    await health(harness, HEALTHY, CRITICAL)
    await cleared(harness, 1)
    await cleared(harness, 1)
    await cleared(harness, 2)
    await health(harness, CRITICAL, HEALTHY)
    await cleared(harness, 3)
    halted = await harness.store.documents.all(HALTED_DAYS)
    assert halted == {
        day: {"DrawdownGuard": "DrawdownGuard says so"} for day in ("2024-01-02", "2024-01-03")
    }


async def test_says_in_the_log_when_it_halts_and_when_it_goes_on(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    """Halt and end are one warning each; other changes of health are not logged."""
    await health(harness, HEALTHY, DEGRADED)
    await health(harness, DEGRADED, CRITICAL)
    await health(harness, CRITICAL, DEGRADED)
    lines = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    assert lines == [
        "trading is halted: DrawdownGuard says so",
        "trading goes on: DrawdownGuard says so",
    ]


async def test_the_same_plan_again_has_the_same_answer(harness: Harness) -> None:
    """The event has the same id."""
    await cleared(harness)
    await cleared(harness)
    first, second = harness.published(TradingClearedEvent)
    assert (first.id, first.payload) == (second.id, second.payload)
