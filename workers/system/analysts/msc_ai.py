"""MSC AI: volatility and trend of the market set the risk mode, and with it the policy."""

from datetime import date
from typing import Any

from qt_events import PolicyUpdatedEvent, RiskMode
from workers.market.prices import PriceHistory, trend, volatility
from workers.system.analysts.analyst import Analyst

VOLATILITY_DAYS = 20
TREND_DAYS = 60
STORM, STORM_OVER = 0.30, 0.24  # a year's volatility that brings DEFENSIVE, and under which it ends
CALM, CALM_OVER = 0.14, 0.18  # the same for AGGRESSIVE, downwards

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
    """Publishes `policy.updated` when the risk mode changes, which it keeps in the PolicyStore."""

    announces = PolicyUpdatedEvent

    async def analyze(self, day: date, history: PriceHistory) -> None:
        if len(history) <= VOLATILITY_DAYS:
            return
        policies = self.store.policies
        before = await policies.risk_mode()
        mode = next_risk_mode(before, history)
        if mode is not before and await self.announce(day, risk_mode=mode, **POLICIES[mode]):
            await policies.set_risk_mode(mode, since=day)


def next_risk_mode(mode: RiskMode | None, history: PriceHistory) -> RiskMode:
    """The mode after `mode`: it changes at one threshold and back at another, so that it does not flicker."""
    risk = volatility(history.market(VOLATILITY_DAYS))
    if risk > (STORM_OVER if mode is RiskMode.DEFENSIVE else STORM):
        return RiskMode.DEFENSIVE
    rising = trend(history.market(TREND_DAYS)) > 0
    if rising and risk < (CALM_OVER if mode is RiskMode.AGGRESSIVE else CALM):
        return RiskMode.AGGRESSIVE
    return RiskMode.NORMAL
