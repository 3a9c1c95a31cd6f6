"""MSC AI, Meta Strategy Controller: sets the risk mode by the market's volatility and trend."""

from datetime import date
from typing import Any

from qt_events import PolicyUpdatedEvent, RiskMode
from workers.events import PolicyAnalyzedEvent
from workers.market.prices import PriceHistory, trend, volatility
from workers.system.analysts.analyst import Analyst

VOLATILITY_DAYS = 20
TREND_DAYS = 60
#: Annual volatility above which DEFENSIVE begins, and under which it ends.
HIGH_VOLATILITY, HIGH_VOLATILITY_END = 0.30, 0.24
#: Annual volatility under which AGGRESSIVE begins, and above which it ends.
LOW_VOLATILITY, LOW_VOLATILITY_END = 0.14, 0.18

POLICIES: dict[RiskMode, dict[str, Any]] = {
    RiskMode.AGGRESSIVE: {
        "allowed_strategies": ["momentum", "mean_reversion", "core"],
        "global_min_confidence": 0.6,
        "max_risk_per_trade": 0.12,
        "max_positions": 8,
    },
    RiskMode.NORMAL: {
        "allowed_strategies": ["momentum", "mean_reversion", "core"],
        "global_min_confidence": 0.7,
        "max_risk_per_trade": 0.10,
        "max_positions": 6,
    },
    RiskMode.DEFENSIVE: {
        "allowed_strategies": ["core", "mean_reversion"],
        "global_min_confidence": 0.9,
        "max_risk_per_trade": 0.08,
        "max_positions": 4,
    },
}


class MetaStrategyController(Analyst):
    """Publishes `policy.updated` when the risk mode changes, and keeps it in the PolicyStore."""

    name = "meta_strategy_controller"
    announces = PolicyUpdatedEvent
    publishes = (PolicyUpdatedEvent, PolicyAnalyzedEvent)

    async def analyze(self, day: date, history: PriceHistory) -> None:
        if len(history) <= VOLATILITY_DAYS:
            return
        policies = self.store.policies
        before = await policies.risk_mode()
        mode = next_risk_mode(before, history)
        if mode is not before and await self.announce(day, risk_mode=mode, **POLICIES[mode]):
            await policies.set_risk_mode(mode, since=day)


def next_risk_mode(mode: RiskMode | None, history: PriceHistory) -> RiskMode:
    """Return the risk mode after `mode`.

    A mode begins at one threshold and ends at another, so that it does not flicker.
    """
    risk = volatility(history.market(VOLATILITY_DAYS))
    if risk > (HIGH_VOLATILITY_END if mode is RiskMode.DEFENSIVE else HIGH_VOLATILITY):
        return RiskMode.DEFENSIVE
    rising = trend(history.market(TREND_DAYS)) > 0
    if rising and risk < (LOW_VOLATILITY_END if mode is RiskMode.AGGRESSIVE else LOW_VOLATILITY):
        return RiskMode.AGGRESSIVE
    return RiskMode.NORMAL
