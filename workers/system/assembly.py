"""Assembly: all components of the trading system on one bus."""

from collections.abc import Callable

from qt_events import EventBus, RetryPolicy
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

#: Each takes the bus, on which it subscribes, and the store; they know nothing of each other.
#: `publishes` names the event types that it may publish on the broker.
COMPONENTS: tuple[Callable[[EventBus, Store], object], ...] = (
    MetaStrategyController,
    StrategyGenerator,
    ContinuousLearningManager,
    OppRank,
    StrategyRuntimeEngine,
    EnsembleManager,
    Orchestrator,
    SafetyGovernor,
    PortfolioBalancer,
    RiskGuard,
    Executor,
    PerformanceTracker,
    SystemHealthMonitor,
    Analytics,
    MetricsLogger,
    DiscordNotifier,
    EventLogger,
)


#: The database may be away for two minutes before anything becomes a dead letter.
RETRY = RetryPolicy(max_attempts=12, initial=0.2, max_delay=30)
#: Seconds from which a handler is slow. A replay goes as fast as the database takes it, so handlers
#: wait for one another there, most of all in the first days: no fault of theirs.
SLOW_AFTER = 5.0


def build(bus: EventBus, store: Store) -> None:
    """Subscribe every component to the bus."""
    for component in COMPONENTS:
        component(bus, store)
