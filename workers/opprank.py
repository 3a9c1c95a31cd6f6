"""OppRank: at each week's first close it ranks the symbols anew."""

from qt_events import EventBus, OpportunitiesUpdatedEvent
from workers.events import MarketClosedEvent
from workers.prices import PriceHistory
from workers.ranking import DAYS, TOO_WILD, rank

CRITERIA = {"momentum_days": DAYS - 1, "max_volatility": TOO_WILD}


class OppRank:
    """Publishes `opportunities.updated` once a week."""

    def __init__(self, bus: EventBus) -> None:
        self.bus = bus
        self._history = PriceHistory(DAYS)
        self._ranked = ""  # week
        bus.subscribe(MarketClosedEvent, self.on_market_closed)

    async def on_market_closed(self, event: MarketClosedEvent) -> None:
        self._history.add(event.payload.day, event.payload.closes)
        week = f"{event.payload.day:%G-%V}"
        if len(self._history) < DAYS or week == self._ranked:
            return
        ranking = rank(self._history.last(DAYS))
        update = OpportunitiesUpdatedEvent.create(
            top_symbols=ranking.symbols, scores=ranking.scores, criteria=CRITERIA, excluded_count=ranking.excluded
        )
        await self.bus.publish(update)
        self._ranked = week
