"""CLM, Continuous Learning Manager: replaces the version of a model by a better challenger.

It compares them each month, by their forecasts of the last days.
"""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from qt_events import ModelPromoted, ModelPromotedEvent
from workers.events import ModelAnalyzedEvent
from workers.market.prices import PriceHistory, is_first_of_month
from workers.system.analysts.analyst import Analyst

SHADOW_DAYS = 60
#: Forecasts that a hit rate needs to mean anything.
LEAST_DAYS = 30
#: Hit rate by which a challenger must be ahead.
EDGE = 0.08


class Model(NamedTuple):
    """A small forecaster of the market's next day, from the direction of the last days."""

    direction: int  #: 1 if it expects the same direction, -1 for the opposite
    lookbacks: tuple[int, ...]  #: days; each a version that may be trained


class Version(NamedTuple):
    """A version of a model at work."""

    number: int
    lookback: int  #: days

    @classmethod
    def of(cls, promoted: ModelPromoted) -> "Version":
        """Return the version that a `model.promoted` announced."""
        return cls(int(promoted.new_version.removeprefix("v")), int(promoted.metrics["lookback"]))


MODELS = {
    "XGBoost": Model(1, (5, 10, 20)),
    "LightGBM": Model(-1, (1, 2, 3)),
    "N-HiTS": Model(1, (15, 40, 60)),
    "PatchTST": Model(-1, (4, 8, 12)),
}


class ContinuousLearningManager(Analyst):
    """Publishes `model.promoted` for each version that goes to work."""

    name = "continuous_learning_manager"
    announces = ModelPromotedEvent
    publishes = (ModelPromotedEvent, ModelAnalyzedEvent)

    async def analyze(self, day: date, history: PriceHistory) -> None:
        if not is_first_of_month(history):
            return
        at_work = await self.announcements.all()
        for name, model in MODELS.items():
            last = at_work.get(name)
            if last is None or last.day != day:
                await self._review(
                    day, name, last and Version.of(last.payload), _hit_rates(model, history)
                )

    async def _review(
        self, day: date, name: str, current: Version | None, rates: dict[int, float]
    ) -> None:
        if current is None:
            await self._promote(day, name, None, Version(1, min(rates)), {})
            return
        best = max(rates, key=lambda lookback: (rates[lookback], -lookback))
        if rates[best] >= rates[current.lookback] + EDGE:
            shadow = {
                "days": SHADOW_DAYS,
                "hit_rate": rates[best],
                "hit_rate_at_work": rates[current.lookback],
            }
            await self._promote(day, name, current, Version(current.number + 1, best), shadow)

    async def _promote(
        self, day: date, name: str, old: Version | None, new: Version, shadow: dict[str, float]
    ) -> None:
        await self.announce(
            day,
            model_name=name,
            old_version=old and f"v{old.number}",
            new_version=f"v{new.number}",
            metrics={"lookback": new.lookback, "hit_rate": shadow.get("hit_rate", 0.5)},
            shadow_performance=shadow,
        )


def _hit_rates(model: Model, history: PriceHistory) -> dict[int, float]:
    """Return the hit rate of the last days by lookback."""
    return {
        lookback: hit_rate(history.market(SHADOW_DAYS + lookback), model.direction, lookback)
        for lookback in model.lookbacks
    }


def forecasts_rise(promoted: ModelPromoted, history: PriceHistory) -> bool:
    """Return True if this version forecasts a rise of the market for the next day."""
    direction, lookback = MODELS[promoted.model_name].direction, Version.of(promoted).lookback
    return direction * sum(history.market(lookback)) > 0


def hit_rate(returns: Sequence[float], direction: int, lookback: int) -> float:
    """Return the share of days forecast right; a half if there are too few days."""
    days = [day for day in range(lookback, len(returns)) if returns[day]]
    hits = sum(direction * sum(returns[day - lookback : day]) * returns[day] > 0 for day in days)
    return round(hits / len(days), 4) if len(days) >= LEAST_DAYS else 0.5
