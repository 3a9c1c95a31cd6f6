"""Orchestrator: what the policy, the strategies and the models of the day come to."""

import logging

from qt_events import EventBus, ModelPromotedEvent, PolicyUpdatedEvent, Stage, StrategyPromotedEvent
from workers.events import TradingOpenedEvent, TradingPlannedEvent
from workers.strategies import FIRST_STAGES

logger = logging.getLogger(__name__)


class Orchestrator:
    """Publishes `trading.planned` for each day. What it remembers it hears by broadcast: every process has it."""

    def __init__(self, bus: EventBus) -> None:
        self.bus = bus
        self.policy: PolicyUpdatedEvent | None = None
        self.stages = dict(FIRST_STAGES)
        self.models: dict[str, ModelPromotedEvent] = {}  #: the version at work, by model
        bus.subscribe(PolicyUpdatedEvent, self.on_policy_updated, broadcast=True)
        bus.subscribe(StrategyPromotedEvent, self.on_strategy_promoted, broadcast=True)
        bus.subscribe(ModelPromotedEvent, self.on_model_promoted, broadcast=True)
        bus.subscribe(TradingOpenedEvent, self.on_trading_opened)

    async def on_policy_updated(self, event: PolicyUpdatedEvent) -> None:
        self.policy = event
        logger.info("policy updated: %s", event.payload.risk_mode)

    async def on_strategy_promoted(self, event: StrategyPromotedEvent) -> None:
        self.stages[event.payload.strategy_id] = event.payload.to_stage

    async def on_model_promoted(self, event: ModelPromotedEvent) -> None:
        self.models[event.payload.model_name] = event

    async def on_trading_opened(self, event: TradingOpenedEvent) -> None:
        if self.policy is None or not self.models:
            return
        policy = self.policy.payload
        plan = TradingPlannedEvent.create(
            day=event.payload.day,
            strategy_id=self._strategy(policy.allowed_strategies),
            model=self._model(),
            max_positions=policy.max_positions,
            position_share=policy.max_risk_per_trade,
        )
        await self.bus.publish(plan)

    def _strategy(self, allowed: list[str]) -> str | None:
        return next((strategy for strategy in allowed if self.stages[strategy] is Stage.LIVE), None)

    def _model(self) -> str:
        models = [event.payload for event in self.models.values()]
        best = max(models, key=lambda model: (model.metrics["hit_rate"], model.model_name))
        return f"{best.model_name} {best.new_version}"
