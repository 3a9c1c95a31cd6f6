from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest

from qt_events import HealthStatus, HealthStatusChangedEvent
from workers.events import PerformanceReportedEvent
from workers.health_monitor import PEAK_DAYS, SystemHealthMonitor, next_status

if TYPE_CHECKING:
    from tests.unit.workers.conftest import Scene

HEALTHY, DEGRADED, CRITICAL = HealthStatus.HEALTHY, HealthStatus.DEGRADED, HealthStatus.CRITICAL


@pytest.mark.parametrize(
    ("status", "drawdown", "then"),
    [
        (HEALTHY, 0.0, HEALTHY),
        (HEALTHY, -0.059, HEALTHY),
        (HEALTHY, -0.06, DEGRADED),
        (HEALTHY, -0.12, CRITICAL),
        (DEGRADED, -0.031, DEGRADED),
        (DEGRADED, -0.029, HEALTHY),
        (DEGRADED, -0.119, DEGRADED),
        (DEGRADED, -0.12, CRITICAL),
        (CRITICAL, -0.081, CRITICAL),
        (CRITICAL, -0.079, DEGRADED),
        (CRITICAL, -0.031, DEGRADED),
        (CRITICAL, 0.0, HEALTHY),
    ],
)
def test_a_status_begins_at_one_drawdown_and_ends_at_a_smaller_one(
    status: HealthStatus, drawdown: float, then: HealthStatus
) -> None:
    """So that it does not flicker around a limit."""
    assert next_status(status, drawdown) is then


async def report(scene: "Scene", *equity: float) -> None:
    for index, amount in enumerate(equity):
        day = date(2024, 1, 1) + timedelta(index)
        await scene.say(PerformanceReportedEvent.create(day=day, equity=amount, drawdown=0.0, trades=0))


async def test_tells_each_change_with_its_reason(scene: "Scene") -> None:
    """From what to what, why, and the figure."""
    SystemHealthMonitor(scene.bus)
    await report(scene, 100, 93, 92, 99)
    changes = [event.payload for event in scene.heard(HealthStatusChangedEvent)]
    assert [(change.old_status, change.new_status) for change in changes] == [(HEALTHY, DEGRADED), (DEGRADED, HEALTHY)]
    assert changes[0].reason == "drawdown -7.0% in 63 days"
    assert changes[0].metrics == {"dd": -0.07}


async def test_an_old_peak_is_forgotten(scene: "Scene") -> None:
    """A quarter after it nothing is measured by it."""
    monitor = SystemHealthMonitor(scene.bus)
    await report(scene, 100, *[90] * (PEAK_DAYS - 1))
    assert monitor.status is DEGRADED
    await report(scene, 100, *[90] * PEAK_DAYS)
    assert monitor.status is HEALTHY
