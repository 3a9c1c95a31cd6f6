"""Safety Governor: while the system's health is CRITICAL, nothing new is bought."""

import logging

from qt_events import EventBus, HealthStatus, HealthStatusChangedEvent
from workers.events import TradingClearedEvent, TradingPlannedEvent, once, plain
from workers.store import Store
from workers.system.announcements import Announcements, Heard

logger = logging.getLogger(__name__)

HALTED_DAYS = "safety_governor.halted"  # kind of the documents, one for each day without new positions


class SafetyGovernor:
    """Passes each `trading.planned` on as `trading.cleared`, and says whether trading is halted."""

    def __init__(self, bus: EventBus, store: Store) -> None:
        self.bus, self._documents = bus, store.documents
        self.health = Heard(Announcements(store.documents, HealthStatusChangedEvent))
        bus.subscribe(HealthStatusChangedEvent, self.on_health_status_changed, broadcast=True)
        bus.subscribe(TradingPlannedEvent, self.on_trading_planned)

    async def on_health_status_changed(self, event: HealthStatusChangedEvent) -> None:
        self.health.hear(event)
        if event.payload.new_status is HealthStatus.CRITICAL:
            logger.warning("trading is halted: %s", event.payload.reason)
        elif event.payload.old_status is HealthStatus.CRITICAL:
            logger.warning("trading goes on: %s", event.payload.reason)

    async def on_trading_planned(self, event: TradingPlannedEvent) -> None:
        plan = event.payload
        health = await self.health.at(plan.rests_on)
        critical = {
            part: status.reason for part, status in health.items() if status.new_status is HealthStatus.CRITICAL
        }
        if critical:
            await self._documents.put(HALTED_DAYS, plan.day.isoformat(), critical)
        cleared = TradingClearedEvent.create(**plain(plan), halted=bool(critical))
        await self.bus.publish(once(cleared, plan.day))
