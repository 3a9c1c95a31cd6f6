"""System Health Monitor: a drawdown changes the system's health, and so does its end."""

from collections import deque
from datetime import date

from qt_events import EventBus, HealthStatus, HealthStatusChangedEvent
from workers.events import PerformanceReportedEvent

PEAK_DAYS = 63  # a quarter: the drawdown counts from the highest equity of these
COMPONENT = "DrawdownGuard"

#: Drawdown at which a status begins, and above which it is over: it changes at one and back at the other.
LIMITS = {HealthStatus.CRITICAL: (-0.12, -0.08), HealthStatus.DEGRADED: (-0.06, -0.03)}


class SystemHealthMonitor:
    """Publishes `health.status_changed` when the status changes."""

    def __init__(self, bus: EventBus) -> None:
        self.bus = bus
        self.status = HealthStatus.HEALTHY
        self._last = date.min
        self._equity: deque[float] = deque(maxlen=PEAK_DAYS)
        bus.subscribe(PerformanceReportedEvent, self.on_performance_reported)

    async def on_performance_reported(self, event: PerformanceReportedEvent) -> None:
        self._remember(event.payload.day, event.payload.equity)
        drawdown = round(self._equity[-1] / max(self._equity) - 1, 4)
        status = next_status(self.status, drawdown)
        if status is not self.status:
            await self._change(status, drawdown)

    def _remember(self, day: date, equity: float) -> None:
        if day > self._last:
            self._equity.append(equity)
            self._last = day

    async def _change(self, status: HealthStatus, drawdown: float) -> None:
        event = HealthStatusChangedEvent.create(
            old_status=self.status,
            new_status=status,
            component=COMPONENT,
            reason=f"drawdown {drawdown:.1%} in {PEAK_DAYS} days",
            metrics={"dd": drawdown},
        )
        await self.bus.publish(event)
        self.status = status


def next_status(status: HealthStatus, drawdown: float) -> HealthStatus:
    """The status after `status` at this drawdown (a share, 0 to -1)."""
    worse_or_same = {HealthStatus.CRITICAL: list(LIMITS), HealthStatus.DEGRADED: [HealthStatus.DEGRADED]}
    for candidate, (begins, over) in LIMITS.items():
        limit = over if candidate in worse_or_same.get(status, []) else begins
        if drawdown <= limit:
            return candidate
    return HealthStatus.HEALTHY
