from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qt_events import HealthStatus, HealthStatusChanged, HealthStatusChangedEvent
from tests.unit.workers.harness import MONDAY, Harness
from workers.events import HealthChecked, HealthCheckedEvent, PerformanceReportedEvent
from workers.system.results.health_monitor import (
    COMPONENT,
    PEAK_DAYS,
    SystemHealthMonitor,
    next_status,
)

HEALTHY, DEGRADED, CRITICAL = HealthStatus.HEALTHY, HealthStatus.DEGRADED, HealthStatus.CRITICAL


@pytest.fixture(autouse=True)
def _monitor(harness: Harness) -> None:
    SystemHealthMonitor(harness.bus, harness.store)


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
    """The status does not flicker around a limit."""
    assert next_status(status, drawdown) is then


@given(st.sampled_from(HealthStatus), st.floats(-1, 0))
def test_a_status_stays_while_the_drawdown_does(status: HealthStatus, drawdown: float) -> None:
    then = next_status(status, drawdown)
    assert next_status(then, drawdown) is then


async def report(harness: Harness, *equity: float, begin: int = 0) -> None:
    """Publish a performance report for each drawdown, day after day."""
    for number, amount in enumerate(equity, begin):
        day = MONDAY + timedelta(number)
        await harness.store.prices.add(day, {"A": 1.0})
        told = PerformanceReportedEvent.create(
            day=day, equity=amount, drawdown=0.0, largest_drawdown=0.0, trades=7
        )
        await harness.publish(told)


def changes(harness: Harness) -> list[HealthStatusChanged]:
    return [event.payload for event in harness.published(HealthStatusChangedEvent)]


def statuses(harness: Harness) -> list[HealthStatus]:
    """Return the status of each day."""
    return [event.payload.status for event in harness.published(HealthCheckedEvent)]


async def test_tells_each_change_with_its_reason(harness: Harness) -> None:
    """The event has both statuses, the reason and the drawdown; days without a change have none."""
    await report(harness, 100, 93, 92, 99)
    assert [(change.old_status, change.new_status) for change in changes(harness)] == [
        (HEALTHY, DEGRADED),
        (DEGRADED, HEALTHY),
    ]
    first = changes(harness)[0]
    assert (first.component, first.reason) == (COMPONENT, "drawdown -7.0% in 63 days")
    assert first.metrics == {"dd": -0.07}


async def test_ends_each_day(harness: Harness) -> None:
    """`health.checked` has the report, the status and the announcements for the next day."""
    await report(harness, 100, 80)
    first, second = (event.payload for event in harness.published(HealthCheckedEvent))
    assert first == HealthChecked(
        day=MONDAY,
        equity=100,
        drawdown=0,
        largest_drawdown=0,
        trades=7,
        status=HEALTHY,
        rests_on={},
    )
    (change,) = harness.published(HealthStatusChangedEvent)
    assert (second.status, second.rests_on) == (
        CRITICAL,
        {f"health.status_changed/{COMPONENT}": change.id},
    )


async def test_an_old_peak_is_forgotten(harness: Harness) -> None:
    """The peak counts for a quarter."""
    await report(harness, 100, *[90] * (PEAK_DAYS - 1))
    assert statuses(harness)[-1] is DEGRADED
    await report(harness, 90, begin=PEAK_DAYS)
    assert statuses(harness)[-1] is HEALTHY


async def test_the_same_day_again_ends_the_same(harness: Harness, other: Harness) -> None:
    """The events have the same ids in any process."""
    await report(harness, 100, 80)
    SystemHealthMonitor(other.bus, other.store)
    await report(other, 80, begin=1)
    assert other.published(HealthCheckedEvent)[0].id == harness.published(HealthCheckedEvent)[1].id
    assert (
        other.published(HealthCheckedEvent)[0].payload
        == harness.published(HealthCheckedEvent)[1].payload
    )
    assert changes(other) == []


async def test_two_processes_watch_as_one(harness: Harness, other: Harness) -> None:
    """Two processes take days in turn and share the peak."""
    SystemHealthMonitor(other.bus, other.store)
    for number, amount in enumerate((100, 93, 85, 95, 99)):
        await report((harness, other)[number % 2], amount, begin=number)
    assert statuses(harness) == [HEALTHY, CRITICAL, HEALTHY]
    assert statuses(other) == [DEGRADED, DEGRADED]


async def test_a_day_long_past_is_ignored(harness: Harness) -> None:
    """Later days must not change its result."""
    await report(harness, 100, 101)
    await report(harness, 50)
    assert statuses(harness) == [HEALTHY, HEALTHY]
