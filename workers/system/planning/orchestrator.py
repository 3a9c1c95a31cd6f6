"""Orchestrator: chooses the signals of the strategy that the policy puts first."""

import logging
from collections.abc import Iterable

from qt_events import EventBus, PolicyUpdated, PolicyUpdatedEvent
from workers.events import Signal, SignalsScoredEvent, TradingPlannedEvent, with_fixed_id
from workers.store import Store
from workers.system.announcements import Announcements, KnownAnnouncements

logger = logging.getLogger(__name__)

#: Kind of the documents, one a day: strategy and model of the plan.
PLANS = "orchestrator.plans"


class Orchestrator:
    """Answers `signals.scored` with `trading.planned`. Each process hears every policy."""

    publishes = (TradingPlannedEvent,)

    def __init__(self, bus: EventBus, store: Store) -> None:
        self.bus, self._documents = bus, store.documents
        self.policies = KnownAnnouncements(Announcements(store.documents, PolicyUpdatedEvent))
        bus.subscribe(
            PolicyUpdatedEvent,
            self.on_policy_updated,
            name="orchestrator.on_policy_updated",
            broadcast=True,
        )
        bus.subscribe(
            SignalsScoredEvent, self.on_signals_scored, name="orchestrator.on_signals_scored"
        )

    async def on_policy_updated(self, event: PolicyUpdatedEvent) -> None:
        self.policies.remember(event)
        logger.info("policy updated: %s", event.payload.risk_mode)

    async def on_signals_scored(self, event: SignalsScoredEvent) -> None:
        step = event.payload
        chosen = choice(await self.policies.single(step.rests_on), step.signals)
        plan = TradingPlannedEvent.create(
            day=step.day,
            rests_on=step.rests_on,
            strategy_id=chosen and chosen.strategy_id,
            model=step.model,
            confidence=chosen.confidence if chosen else {},
        )
        by = {"strategy_id": plan.payload.strategy_id, "model": step.model}
        await self._documents.put(PLANS, step.day.isoformat(), by)
        await self.bus.publish(with_fixed_id(plan, step.day))


def choice(policy: PolicyUpdated | None, signals: Iterable[Signal]) -> Signal | None:
    """Return the signal of the first strategy that the policy allows; None without a policy."""
    by_strategy = {signal.strategy_id: signal for signal in signals}
    allowed = policy.allowed_strategies if policy else []
    return next((by_strategy[strategy] for strategy in allowed if strategy in by_strategy), None)
