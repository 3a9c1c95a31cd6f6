"""SG AI, Strategy Generator: moves strategies up or down a stage, by monthly paper trades."""

from datetime import date

from qt_events import Stage, StrategyPromotedEvent
from workers.events import StrategyAnalyzedEvent
from workers.market.prices import PriceHistory, is_first_of_month, market_return
from workers.market.ranking import DAYS, rank
from workers.market.strategies import FIRST_STAGES, STRATEGIES, Pick
from workers.system.analysts.analyst import Analyst

#: Days that a paper position is held.
HELD_DAYS = 5
TRIED_DAYS = 60
POSITIONS = 4
#: Return over the market's that moves a strategy up, or down if it is negative.
EDGE = 0.05

UP = {Stage.RETIRED: Stage.BACKTEST, Stage.BACKTEST: Stage.SHADOW, Stage.SHADOW: Stage.LIVE}
DOWN = {Stage.LIVE: Stage.SHADOW, Stage.SHADOW: Stage.RETIRED}


class StrategyGenerator(Analyst):
    """Publishes `strategy.promoted` for each strategy that changes its stage."""

    name = "strategy_generator"
    announces = StrategyPromotedEvent
    publishes = (StrategyPromotedEvent, StrategyAnalyzedEvent)

    async def analyze(self, day: date, history: PriceHistory) -> None:
        enough = TRIED_DAYS + DAYS
        if len(history) == enough or (len(history) > enough and is_first_of_month(history)):
            for strategy_id, pick in STRATEGIES.items():
                await self._review(day, strategy_id, paper_edge(pick, history))

    async def _review(self, day: date, strategy_id: str, edge: float) -> None:
        last = (await self.announcements.all()).get(strategy_id)
        stage = last.payload.to_stage if last else FIRST_STAGES[strategy_id]
        next_stage = _next_stage(stage, edge)
        if next_stage is stage or (last and last.day == day):
            return
        await self.announce(
            day,
            strategy_id=strategy_id,
            from_stage=stage,
            to_stage=next_stage,
            reason=f"{edge:+.2%} against the market in {TRIED_DAYS} days",
            metrics={"edge": edge, "days": TRIED_DAYS},
        )


def _next_stage(stage: Stage, edge: float) -> Stage:
    if edge > EDGE:
        return UP.get(stage, stage)
    if edge < -EDGE:
        return DOWN.get(stage, stage)
    return stage


def paper_edge(pick: Pick, history: PriceHistory) -> float:
    """Return the return of a strategy's paper trades over the market's, in the last days."""
    return round(sum(_edge(pick, history, ago) for ago in range(TRIED_DAYS, 0, -HELD_DAYS)), 4)


def _edge(pick: Pick, history: PriceHistory, ago: int) -> float:
    days = history.last(DAYS, ago)
    (after,) = history.last(1, ago - HELD_DAYS)
    picked = pick(rank(days).symbols)[:POSITIONS]
    return market_return(days[-1], after, picked) - market_return(days[-1], after)
