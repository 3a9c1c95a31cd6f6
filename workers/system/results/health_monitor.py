"""System Health Monitor: derives the system's health from the drawdown."""

from qt_events import EventBus, HealthStatus, HealthStatusChanged, HealthStatusChangedEvent
from workers.events import (
    HealthCheckedEvent,
    PerformanceReported,
    PerformanceReportedEvent,
    as_json,
    with_fixed_id,
)
from workers.store import Store
from workers.system.announcements import Announcements

#: Days, a quarter: the drawdown counts from the highest equity of these.
PEAK_DAYS = 63
COMPONENT = "DrawdownGuard"
#: Kind of its document: the equity of the last days, by day.
KIND = "system_health_monitor"

#: Drawdown at which a status begins, and above which it ends.
LIMITS = {HealthStatus.CRITICAL: (-0.12, -0.08), HealthStatus.DEGRADED: (-0.06, -0.03)}


class SystemHealthMonitor:
    """Publishes each change as `health.status_changed`, and `health.checked` to end the day."""

    publishes = (HealthStatusChangedEvent, HealthCheckedEvent)

    def __init__(self, bus: EventBus, store: Store) -> None:
        self.bus, self._documents = bus, store.documents
        self._statuses: Announcements[HealthStatusChanged] = Announcements(
            store.documents, HealthStatusChangedEvent
        )
        self._market = store.market
        bus.subscribe(
            PerformanceReportedEvent,
            self.on_performance_reported,
            name="system_health_monitor.on_performance_reported",
        )

    async def on_performance_reported(self, event: PerformanceReportedEvent) -> None:
        report = event.payload
        if await self._market.is_past(report.day):
            return
        drawdown = await self._drawdown(report)
        last = (await self._statuses.all()).get(COMPONENT)
        before = last.payload.new_status if last else HealthStatus.HEALTHY
        status = next_status(before, drawdown)
        if status is not before:
            await self._statuses.announce(
                self.bus,
                report.day,
                old_status=before,
                new_status=status,
                component=COMPONENT,
                reason=f"drawdown {drawdown:.1%} in {PEAK_DAYS} days",
                metrics={"dd": drawdown},
            )
        checked = HealthCheckedEvent.create(
            **as_json(report), status=status, rests_on=await self._statuses.ids()
        )
        await self.bus.publish(with_fixed_id(checked, report.day))

    async def _drawdown(self, report: PerformanceReported) -> float:
        """Return the distance of equity from its highest of the last days, as a share."""
        days = await self._documents.get(KIND, "") or {}
        days[report.day.isoformat()] = report.equity
        kept = dict(sorted(days.items())[-PEAK_DAYS:])
        await self._documents.put(KIND, "", kept)
        highest: float = max(kept.values())
        return round(report.equity / highest - 1, 4)


def next_status(status: HealthStatus, drawdown: float) -> HealthStatus:
    """Return the status after `status` at this drawdown (a share, 0 to -1)."""
    worse_or_same = {
        HealthStatus.CRITICAL: list(LIMITS),
        HealthStatus.DEGRADED: [HealthStatus.DEGRADED],
    }
    for candidate, (begins, over) in LIMITS.items():
        limit = over if candidate in worse_or_same.get(status, []) else begins
        if drawdown <= limit:
            return candidate
    return HealthStatus.HEALTHY
