"""Strategy Runtime Engine: runs the live strategies on the latest ranking."""

from collections.abc import Sequence

from qt_events import EventBus, OpportunitiesUpdatedEvent, Stage, StrategyPromotedEvent
from workers.events import Signal, SignalsGeneratedEvent, TradingOpenedEvent, with_fixed_id
from workers.market.strategies import FIRST_STAGES, STRATEGIES
from workers.store import Store
from workers.system.announcements import Announcements, KnownAnnouncements


class StrategyRuntimeEngine:
    """Answers `trading.opened` with `signals.generated`: the symbols that each live strategy would
    hold.
    """

    publishes = (SignalsGeneratedEvent,)

    def __init__(self, bus: EventBus, store: Store) -> None:
        self.bus = bus
        self.promotions = KnownAnnouncements(Announcements(store.documents, StrategyPromotedEvent))
        self.rankings = KnownAnnouncements(
            Announcements(store.documents, OpportunitiesUpdatedEvent)
        )
        bus.subscribe(
            StrategyPromotedEvent,
            self.on_strategy_promoted,
            name="strategy_runtime_engine.on_strategy_promoted",
            broadcast=True,
        )
        bus.subscribe(
            OpportunitiesUpdatedEvent,
            self.on_opportunities_updated,
            name="strategy_runtime_engine.on_opportunities_updated",
            broadcast=True,
        )
        bus.subscribe(
            TradingOpenedEvent,
            self.on_trading_opened,
            name="strategy_runtime_engine.on_trading_opened",
        )

    async def on_strategy_promoted(self, event: StrategyPromotedEvent) -> None:
        self.promotions.remember(event)

    async def on_opportunities_updated(self, event: OpportunitiesUpdatedEvent) -> None:
        self.rankings.remember(event)

    async def on_trading_opened(self, event: TradingOpenedEvent) -> None:
        step = event.payload
        promoted = await self.promotions.of_step(step.rests_on)
        stages = FIRST_STAGES | {name: promotion.to_stage for name, promotion in promoted.items()}
        live = [name for name, stage in stages.items() if stage is Stage.LIVE]
        ranking = await self.rankings.single(step.rests_on)
        signals = [signal(name, ranking.top_symbols) for name in live] if ranking else []
        generated = SignalsGeneratedEvent.create(
            day=step.day, rests_on=step.rests_on, signals=signals
        )
        await self.bus.publish(with_fixed_id(generated, step.day))


def signal(strategy_id: str, ranking: Sequence[str]) -> Signal:
    """Return a strategy's signal: confidence 1 for its first choice, less for each one after it."""
    picked = STRATEGIES[strategy_id](ranking)
    confidence = {symbol: round(1 - place / len(ranking), 4) for place, symbol in enumerate(picked)}
    return Signal(strategy_id=strategy_id, confidence=confidence)
