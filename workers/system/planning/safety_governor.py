"""Safety Governor: halts purchases while the system's health is CRITICAL."""

import logging

from qt_events import EventBus, HealthStatus, HealthStatusChangedEvent
from workers.events import TradingClearedEvent, TradingPlannedEvent, as_json, with_fixed_id
from workers.store import Store
from workers.system.announcements import Announcements, KnownAnnouncements

logger = logging.getLogger(__name__)

#: Kind of the documents, one for each day without purchases.
HALTED_DAYS = "safety_governor.halted"


class SafetyGovernor:
    """Answers `trading.planned` with `trading.cleared`, which says if trading is halted."""

    publishes = (TradingClearedEvent,)

    def __init__(self, bus: EventBus, store: Store) -> None:
        self.bus, self._documents = bus, store.documents
        self.health = KnownAnnouncements(Announcements(store.documents, HealthStatusChangedEvent))
        bus.subscribe(
            HealthStatusChangedEvent,
            self.on_health_status_changed,
            name="safety_governor.on_health_status_changed",
            broadcast=True,
        )
        bus.subscribe(
            TradingPlannedEvent, self.on_trading_planned, name="safety_governor.on_trading_planned"
        )

    async def on_health_status_changed(self, event: HealthStatusChangedEvent) -> None:
        self.health.remember(event)
        if event.payload.new_status is HealthStatus.CRITICAL:
            logger.warning("trading is halted: %s", event.payload.reason)
        elif event.payload.old_status is HealthStatus.CRITICAL:
            logger.warning("trading goes on: %s", event.payload.reason)

    async def on_trading_planned(self, event: TradingPlannedEvent) -> None:
        plan = event.payload
        health = await self.health.of_step(plan.rests_on)
        critical = {
            part: status.reason
            for part, status in health.items()
            if status.new_status is HealthStatus.CRITICAL
        }
        if critical:
            await self._documents.put(HALTED_DAYS, plan.day.isoformat(), critical)
        cleared = TradingClearedEvent.create(**as_json(plan), halted=bool(critical))
        await self.bus.publish(with_fixed_id(cleared, plan.day))
