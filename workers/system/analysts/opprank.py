"""OppRank, Opportunity Ranker: ranks the symbols at the first close of each week."""

from datetime import date

from qt_events import OpportunitiesUpdatedEvent
from workers.events import OpportunitiesAnalyzedEvent
from workers.market.prices import PriceHistory, is_first_of_week
from workers.market.ranking import DAYS, MAX_VOLATILITY, rank
from workers.system.analysts.analyst import Analyst

CRITERIA = {"momentum_days": DAYS - 1, "max_volatility": MAX_VOLATILITY}


class OppRank(Analyst):
    """Publishes `opportunities.updated` once a week."""

    name = "opp_rank"
    announces = OpportunitiesUpdatedEvent
    publishes = (OpportunitiesUpdatedEvent, OpportunitiesAnalyzedEvent)

    async def analyze(self, day: date, history: PriceHistory) -> None:
        if len(history) == DAYS or (len(history) > DAYS and is_first_of_week(history)):
            ranking = rank(history.last(DAYS))
            await self.announce(
                day,
                top_symbols=ranking.symbols,
                scores=ranking.scores,
                criteria=CRITERIA,
                excluded_count=ranking.excluded,
            )
