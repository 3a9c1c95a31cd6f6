"""3. A predicate: the Discord notifier is called only when the system's health becomes CRITICAL.

The System Health Monitor watches the drawdown, which is the loss since the last peak, and publishes
each change of the system's health. Nothing leaves this process: `DiscordStandIn` prints what a real
client would post.

Run it: python examples/03_health_monitor_to_discord.py
"""

import asyncio

from qt_events import EventBus, HealthStatus, HealthStatusChangedEvent, InMemoryEventBus

CRITICAL_DRAWDOWN = -5.0  # per cent
DEGRADED_DRAWDOWN = -2.0


class SystemHealthMonitor:
    def __init__(self, event_bus: EventBus) -> None:
        self.event_bus = event_bus
        self.status = HealthStatus.HEALTHY

    async def check_health(self, drawdown: float) -> None:
        status = status_at(drawdown)
        if status is self.status:
            return
        event = HealthStatusChangedEvent.create(
            old_status=self.status,
            new_status=status,
            component="DrawdownGuard",
            reason=f"daily drawdown {drawdown:.1f} %",
            metrics={"dd": drawdown},
        )
        await self.event_bus.publish(event)
        self.status = status


def status_at(drawdown: float) -> HealthStatus:
    if drawdown < CRITICAL_DRAWDOWN:
        return HealthStatus.CRITICAL
    return HealthStatus.DEGRADED if drawdown < DEGRADED_DRAWDOWN else HealthStatus.HEALTHY


class DiscordStandIn:
    """Stand in for a Discord client."""

    async def post(self, text: str) -> None:
        print(f"[discord] {text}")


class DiscordNotifier:
    def __init__(self, event_bus: EventBus, discord: DiscordStandIn) -> None:
        self.discord = discord
        event_bus.subscribe(HealthStatusChangedEvent, self.on_health_changed, when=is_critical)

    async def on_health_changed(self, event: HealthStatusChangedEvent) -> None:
        change = event.payload
        await self.discord.post(f"{change.component} is {change.new_status}: {change.reason}")


def is_critical(event: HealthStatusChangedEvent) -> bool:
    return event.payload.new_status is HealthStatus.CRITICAL


async def main() -> None:
    bus = InMemoryEventBus()
    DiscordNotifier(bus, DiscordStandIn())
    monitor = SystemHealthMonitor(bus)
    async with bus:
        for drawdown in (-0.4, -2.5, -6.1, -6.3, -1.0):
            await monitor.check_health(drawdown)
    stats = bus.get_stats()
    changes, alerts, filtered = stats["published"], stats["delivered"], stats["filtered"]
    print(f"{changes} changes, {alerts} alert, {filtered} filtered out")


asyncio.run(main())
