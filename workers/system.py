"""The trading system: every component, on one bus."""

from collections.abc import Callable

from qt_events import EventBus, RetryPolicy
from workers.analytics import Analytics
from workers.clm import ContinuousLearningManager
from workers.discord_notifier import DiscordNotifier
from workers.ensemble_manager import EnsembleManager
from workers.event_logger import EventLogger
from workers.executor import Executor
from workers.health_monitor import SystemHealthMonitor
from workers.metrics_logger import MetricsLogger
from workers.msc_ai import MetaStrategyController
from workers.opprank import OppRank
from workers.orchestrator import Orchestrator
from workers.performance_tracker import PerformanceTracker
from workers.portfolio_balancer import PortfolioBalancer
from workers.risk_guard import RiskGuard
from workers.safety_governor import SafetyGovernor
from workers.sg_ai import StrategyGenerator
from workers.store import Store
from workers.strategy_runtime_engine import StrategyRuntimeEngine

#: Each takes the bus, on which it subscribes, and the store; they know nothing of each other.
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


def build(bus: EventBus, store: Store) -> None:
    """Subscribe every component to the bus."""
    for component in COMPONENTS:
        component(bus, store)
