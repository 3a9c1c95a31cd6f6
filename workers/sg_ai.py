"""SG AI: each month it looks how the strategies did on paper, and moves them up or down a stage."""

from qt_events import EventBus, Stage, StrategyPromotedEvent
from workers.events import MarketClosedEvent
from workers.prices import PriceHistory, market_return
from workers.ranking import DAYS, rank
from workers.strategies import FIRST_STAGES, STRATEGIES, Pick

HELD_DAYS = 5  # a paper position's time
TRIED_DAYS = 60
POSITIONS = 4
EDGE = 0.05  # return over the market's that moves a strategy, up or down

UP = {Stage.RETIRED: Stage.BACKTEST, Stage.BACKTEST: Stage.SHADOW, Stage.SHADOW: Stage.LIVE}
DOWN = {Stage.LIVE: Stage.SHADOW, Stage.SHADOW: Stage.RETIRED}


class StrategyGenerator:
    """Publishes `strategy.promoted` for each strategy that changes its stage."""

    def __init__(self, bus: EventBus) -> None:
        self.bus = bus
        self.stages = dict(FIRST_STAGES)
        self._history = PriceHistory()
        self._reviewed: dict[str, str] = {}  # strategy -> month of its last review
        bus.subscribe(MarketClosedEvent, self.on_market_closed)

    async def on_market_closed(self, event: MarketClosedEvent) -> None:
        self._history.add(event.payload.day, event.payload.closes)
        month = f"{event.payload.day:%Y-%m}"
        for strategy_id, pick in STRATEGIES.items():
            if len(self._history) >= TRIED_DAYS + DAYS and self._reviewed.get(strategy_id) != month:
                await self._review(strategy_id, paper_edge(pick, self._history))
                self._reviewed[strategy_id] = month

    async def _review(self, strategy_id: str, edge: float) -> None:
        stage = self.stages[strategy_id]
        next_stage = _next_stage(stage, edge)
        if next_stage is stage:
            return
        event = StrategyPromotedEvent.create(
            strategy_id=strategy_id,
            from_stage=stage,
            to_stage=next_stage,
            reason=f"{edge:+.2%} against the market in {TRIED_DAYS} days",
            metrics={"edge": edge, "days": TRIED_DAYS},
        )
        await self.bus.publish(event)
        self.stages[strategy_id] = next_stage


def _next_stage(stage: Stage, edge: float) -> Stage:
    if edge > EDGE:
        return UP.get(stage, stage)
    if edge < -EDGE:
        return DOWN.get(stage, stage)
    return stage


def paper_edge(pick: Pick, history: PriceHistory) -> float:
    """What the strategy's picks earned over the market in the last days, traded on paper."""
    return round(sum(_edge(pick, history, ago) for ago in range(TRIED_DAYS, 0, -HELD_DAYS)), 4)


def _edge(pick: Pick, history: PriceHistory, ago: int) -> float:
    days = history.last(DAYS, ago)
    (after,) = history.last(1, ago - HELD_DAYS)
    picked = pick(rank(days).symbols)[:POSITIONS]
    return market_return(days[-1], after, picked) - market_return(days[-1], after)
