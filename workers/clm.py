"""CLM: each month a challenger of every model that forecast better than the version at work takes its place."""

from collections.abc import Sequence
from typing import NamedTuple

from qt_events import EventBus, ModelPromotedEvent
from workers.events import MarketClosedEvent
from workers.prices import PriceHistory

SHADOW_DAYS = 60
LEAST_DAYS = 30  # forecasts without which a hit rate says nothing
EDGE = 0.08  # hit rate that a challenger must be ahead


class Model(NamedTuple):
    """A small forecaster of the market's next day: it goes on as the last days went, or turns round."""

    direction: int  #: 1 goes on, -1 turns round
    lookbacks: tuple[int, ...]  #: days; each a version that may be trained


class Version(NamedTuple):
    """A version at work."""

    number: int
    lookback: int  #: days


MODELS = {
    "XGBoost": Model(1, (5, 10, 20)),
    "LightGBM": Model(-1, (1, 2, 3)),
    "N-HiTS": Model(1, (15, 40, 60)),
    "PatchTST": Model(-1, (4, 8, 12)),
}


class ContinuousLearningManager:
    """Publishes `model.promoted` for each version that goes to work."""

    def __init__(self, bus: EventBus) -> None:
        self.bus = bus
        self.versions: dict[str, Version] = {}
        self._history = PriceHistory()
        self._reviewed = ""  # month
        bus.subscribe(MarketClosedEvent, self.on_market_closed)

    async def on_market_closed(self, event: MarketClosedEvent) -> None:
        self._history.add(event.payload.day, event.payload.closes)
        month = f"{event.payload.day:%Y-%m}"
        if month == self._reviewed:
            return
        for name, model in MODELS.items():
            await self._review(name, model)
        self._reviewed = month

    async def _review(self, name: str, model: Model) -> None:
        current = self.versions.get(name)
        if current is None:
            await self._promote(name, None, Version(1, model.lookbacks[0]), {})
            return
        rates = {lookback: self._hit_rate(model, lookback) for lookback in model.lookbacks}
        best = max(model.lookbacks, key=lambda lookback: (rates[lookback], -lookback))
        if rates[best] >= rates[current.lookback] + EDGE:
            shadow = {"days": SHADOW_DAYS, "hit_rate": rates[best], "hit_rate_at_work": rates[current.lookback]}
            await self._promote(name, current, Version(current.number + 1, best), shadow)

    async def _promote(self, name: str, old: Version | None, new: Version, shadow: dict[str, float]) -> None:
        event = ModelPromotedEvent.create(
            model_name=name,
            old_version=old and f"v{old.number}",
            new_version=f"v{new.number}",
            metrics={"lookback": new.lookback, "hit_rate": shadow.get("hit_rate", 0.5)},
            shadow_performance=shadow,
        )
        await self.bus.publish(event)
        self.versions[name] = new

    def _hit_rate(self, model: Model, lookback: int) -> float:
        return hit_rate(self._history.market(SHADOW_DAYS + lookback), model.direction, lookback)


def hit_rate(returns: Sequence[float], direction: int, lookback: int) -> float:
    """The share of days with a direction that were forecast right; a half where there are too few to tell."""
    days = [day for day in range(lookback, len(returns)) if returns[day]]
    hits = sum(direction * sum(returns[day - lookback : day]) * returns[day] > 0 for day in days)
    return round(hits / len(days), 4) if len(days) >= LEAST_DAYS else 0.5
