"""The trading system: every component, on one bus."""

from dataclasses import dataclass

from qt_events import EventBus
from workers.clm import ContinuousLearningManager
from workers.event_logger import EventLogger
from workers.executor import Executor
from workers.health_monitor import SystemHealthMonitor
from workers.msc_ai import MetaStrategyController
from workers.opprank import OppRank
from workers.orchestrator import Orchestrator
from workers.performance_tracker import PerformanceTracker
from workers.risk_guard import RiskGuard
from workers.sg_ai import StrategyGenerator


@dataclass(frozen=True)
class TradingSystem:
    """The components, for whoever wants to look at them; they themselves know only the bus."""

    msc_ai: MetaStrategyController
    sg_ai: StrategyGenerator
    clm: ContinuousLearningManager
    opprank: OppRank
    orchestrator: Orchestrator
    executor: Executor
    risk_guard: RiskGuard
    performance_tracker: PerformanceTracker
    health_monitor: SystemHealthMonitor
    event_logger: EventLogger


def build(bus: EventBus) -> TradingSystem:
    """Subscribe every component to the bus."""
    return TradingSystem(
        msc_ai=MetaStrategyController(bus),
        sg_ai=StrategyGenerator(bus),
        clm=ContinuousLearningManager(bus),
        opprank=OppRank(bus),
        orchestrator=Orchestrator(bus),
        executor=Executor(bus),
        risk_guard=RiskGuard(bus),
        performance_tracker=PerformanceTracker(bus),
        health_monitor=SystemHealthMonitor(bus),
        event_logger=EventLogger(bus),
    )
