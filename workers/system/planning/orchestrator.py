"""Orchestrator: of all signals, those of the strategy that the policy puts first."""

import logging
from collections.abc import Iterable

from qt_events import EventBus, PolicyUpdated, PolicyUpdatedEvent
from workers.events import Signal, SignalsScoredEvent, TradingPlannedEvent, once
from workers.store import Store
from workers.system.announcements import Announcements, Heard

logger = logging.getLogger(__name__)

PLANS = "orchestrator.plans"  # kind of the documents, one a day: by which strategy and model


class Orchestrator:
    """Answers `signals.scored` with `trading.planned`. The policy it hears by broadcast: every process has it."""

    def __init__(self, bus: EventBus, store: Store) -> None:
        self.bus, self._documents = bus, store.documents
        self.policies = Heard(Announcements(store.documents, PolicyUpdatedEvent))
        bus.subscribe(PolicyUpdatedEvent, self.on_policy_updated, broadcast=True)
        bus.subscribe(SignalsScoredEvent, self.on_signals_scored)

    async def on_policy_updated(self, event: PolicyUpdatedEvent) -> None:
        self.policies.hear(event)
        logger.info("policy updated: %s", event.payload.risk_mode)

    async def on_signals_scored(self, event: SignalsScoredEvent) -> None:
        step = event.payload
        chosen = choice(await self.policies.one(step.rests_on), step.signals)
        plan = TradingPlannedEvent.create(
            day=step.day,
            rests_on=step.rests_on,
            strategy_id=chosen and chosen.strategy_id,
            model=step.model,
            confidence=chosen.confidence if chosen else {},
        )
        by = {"strategy_id": plan.payload.strategy_id, "model": step.model}
        await self._documents.put(PLANS, step.day.isoformat(), by)
        await self.bus.publish(once(plan, step.day))


def choice(policy: PolicyUpdated | None, signals: Iterable[Signal]) -> Signal | None:
    """The first strategy that the policy allows and that has a signal; none without a policy."""
    by_strategy = {signal.strategy_id: signal for signal in signals}
    allowed = policy.allowed_strategies if policy else []
    return next((by_strategy[strategy] for strategy in allowed if strategy in by_strategy), None)
