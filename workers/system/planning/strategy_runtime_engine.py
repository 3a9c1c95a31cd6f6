"""Strategy Runtime Engine: runs the live strategies on the latest ranking."""

from collections.abc import Sequence

from qt_events import EventBus, OpportunitiesUpdatedEvent, Stage, StrategyPromotedEvent
from workers.events import Signal, SignalsGeneratedEvent, TradingOpenedEvent, once
from workers.market.strategies import FIRST_STAGES, STRATEGIES
from workers.store import Store
from workers.system.announcements import Announcements, Heard


class StrategyRuntimeEngine:
    """Answers `trading.opened` with `signals.generated`: what each live strategy would hold."""

    def __init__(self, bus: EventBus, store: Store) -> None:
        self.bus = bus
        self.promotions = Heard(Announcements(store.documents, StrategyPromotedEvent))
        self.rankings = Heard(Announcements(store.documents, OpportunitiesUpdatedEvent))
        bus.subscribe(StrategyPromotedEvent, self.on_strategy_promoted, broadcast=True)
        bus.subscribe(OpportunitiesUpdatedEvent, self.on_opportunities_updated, broadcast=True)
        bus.subscribe(TradingOpenedEvent, self.on_trading_opened)

    async def on_strategy_promoted(self, event: StrategyPromotedEvent) -> None:
        self.promotions.hear(event)

    async def on_opportunities_updated(self, event: OpportunitiesUpdatedEvent) -> None:
        self.rankings.hear(event)

    async def on_trading_opened(self, event: TradingOpenedEvent) -> None:
        step = event.payload
        promoted = await self.promotions.at(step.rests_on)
        stages = FIRST_STAGES | {name: promotion.to_stage for name, promotion in promoted.items()}
        live = [name for name, stage in stages.items() if stage is Stage.LIVE]
        ranking = await self.rankings.one(step.rests_on)
        signals = [signal(name, ranking.top_symbols) for name in live] if ranking else []
        generated = SignalsGeneratedEvent.create(day=step.day, rests_on=step.rests_on, signals=signals)
        await self.bus.publish(once(generated, step.day))


def signal(strategy_id: str, ranking: Sequence[str]) -> Signal:
    """What the strategy would hold: 1 for its first choice, less for each one after it."""
    picked = STRATEGIES[strategy_id](ranking)
    confidence = {symbol: round(1 - place / len(ranking), 4) for place, symbol in enumerate(picked)}
    return Signal(strategy_id=strategy_id, confidence=confidence)
