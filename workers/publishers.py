"""Event types that each component publishes.

`qt-events topology permissions` makes the broker's permissions of them: docs/security.md. A test
compares them with the events that a replay publishes.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from qt_events import (
    Component,
    Event,
    HealthStatusChangedEvent,
    InMemoryEventBus,
    ModelPromotedEvent,
    OpportunitiesUpdatedEvent,
    PolicyUpdatedEvent,
    StrategyPromotedEvent,
    Subscription,
    TradeExecutedEvent,
)
from workers.events import (
    HealthCheckedEvent,
    MarketClosedEvent,
    ModelAnalyzedEvent,
    OpportunitiesAnalyzedEvent,
    OrdersApprovedEvent,
    OrdersRequestedEvent,
    PerformanceReportedEvent,
    PolicyAnalyzedEvent,
    SignalsGeneratedEvent,
    SignalsScoredEvent,
    StrategyAnalyzedEvent,
    TradingClearedEvent,
    TradingClosedEvent,
    TradingOpenedEvent,
    TradingPlannedEvent,
)
from workers.replay.feed import MarketFeed
from workers.store import Store
from workers.system.analysts.clm import ContinuousLearningManager
from workers.system.analysts.msc_ai import MetaStrategyController
from workers.system.analysts.opprank import OppRank
from workers.system.analysts.sg_ai import StrategyGenerator
from workers.system.listeners.analytics import Analytics
from workers.system.listeners.discord_notifier import DiscordNotifier
from workers.system.listeners.event_logger import EventLogger
from workers.system.listeners.metrics_logger import MetricsLogger
from workers.system.planning.ensemble_manager import EnsembleManager
from workers.system.planning.orchestrator import Orchestrator
from workers.system.planning.safety_governor import SafetyGovernor
from workers.system.planning.strategy_runtime_engine import StrategyRuntimeEngine
from workers.system.results.health_monitor import SystemHealthMonitor
from workers.system.results.performance_tracker import PerformanceTracker
from workers.system.trading.executor import Executor
from workers.system.trading.portfolio_balancer import PortfolioBalancer
from workers.system.trading.risk_guard import RiskGuard

#: By the component's class. A listener publishes nothing.
PUBLISHES: Mapping[type, tuple[type[Event[Any]], ...]] = MappingProxyType(
    {
        MarketFeed: (MarketClosedEvent, TradingOpenedEvent),
        MetaStrategyController: (PolicyUpdatedEvent, PolicyAnalyzedEvent),
        StrategyGenerator: (StrategyPromotedEvent, StrategyAnalyzedEvent),
        ContinuousLearningManager: (ModelPromotedEvent, ModelAnalyzedEvent),
        OppRank: (OpportunitiesUpdatedEvent, OpportunitiesAnalyzedEvent),
        StrategyRuntimeEngine: (SignalsGeneratedEvent,),
        EnsembleManager: (SignalsScoredEvent,),
        Orchestrator: (TradingPlannedEvent,),
        SafetyGovernor: (TradingClearedEvent,),
        PortfolioBalancer: (OrdersRequestedEvent,),
        RiskGuard: (OrdersApprovedEvent,),
        Executor: (TradeExecutedEvent, TradingClosedEvent),
        PerformanceTracker: (PerformanceReportedEvent,),
        SystemHealthMonitor: (HealthStatusChangedEvent, HealthCheckedEvent),
        Analytics: (),
        MetricsLogger: (),
        DiscordNotifier: (),
        EventLogger: (),
    }
)


class _SubscriptionCollector(InMemoryEventBus):
    """A bus that collects the subscriptions made on it."""

    def __init__(self) -> None:
        super().__init__()
        self.collected: dict[str, Subscription] = {}

    def subscribe(self, *args: Any, **options: Any) -> Subscription:
        subscription = super().subscribe(*args, **options)
        self.collected[subscription.name] = subscription
        return subscription


def components() -> list[Component]:
    """Return each component with its event types and subscriptions."""
    # Neither opened nor read.
    store = Store()
    return [_component(each, store) for each in PUBLISHES]


def _component(made: type, store: Store) -> Component:
    bus = _SubscriptionCollector()
    made(bus, store.prices if made is MarketFeed else store)
    types = tuple(each.event_type for each in PUBLISHES[made])
    return Component(made.__module__.rpartition(".")[2], types, tuple(bus.collected.values()))
