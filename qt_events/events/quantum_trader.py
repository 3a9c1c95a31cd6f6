"""Quantum Trader's six events, as its reference names them, and their enums.

Importing this module registers them. `qt_events` imports it when one of its names is asked for.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Self

from pydantic import Field

from qt_events.events.event import Event
from qt_events.events.payload import Payload

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class RiskMode(StrEnum):
    """Risk that MSC AI allows."""

    AGGRESSIVE = "AGGRESSIVE"
    NORMAL = "NORMAL"
    DEFENSIVE = "DEFENSIVE"


class Stage(StrEnum):
    """Stage in the life of a strategy."""

    BACKTEST = "BACKTEST"
    SHADOW = "SHADOW"
    LIVE = "LIVE"
    RETIRED = "RETIRED"


class HealthStatus(StrEnum):
    """Health of the system."""

    HEALTHY = "HEALTHY"
    DEGRADED = "DEGRADED"
    CRITICAL = "CRITICAL"


class Side(StrEnum):
    """Side of an order."""

    BUY = "BUY"
    SELL = "SELL"


class PolicyUpdated(Payload):
    """Payload of `policy.updated`."""

    risk_mode: RiskMode
    allowed_strategies: list[str]  #: ids of the enabled strategies
    global_min_confidence: float  #: share, 0 to 1
    max_risk_per_trade: float  #: share of equity, 0 to 1
    max_positions: int


class StrategyPromoted(Payload):
    """Payload of `strategy.promoted`."""

    strategy_id: str
    from_stage: Stage
    to_stage: Stage
    reason: str = ""
    metrics: dict[str, Any] = Field(default_factory=dict)


class ModelPromoted(Payload):
    """Payload of `model.promoted`."""

    model_name: str  #: XGBoost, LightGBM, N-HiTS or PatchTST
    old_version: str | None
    new_version: str
    metrics: dict[str, Any] = Field(default_factory=dict)  #: from validation
    shadow_performance: dict[str, Any] = Field(default_factory=dict)


class HealthStatusChanged(Payload):
    """Payload of `health.status_changed`."""

    old_status: HealthStatus
    new_status: HealthStatus
    component: str
    reason: str
    metrics: dict[str, Any] = Field(default_factory=dict)


class OpportunitiesUpdated(Payload):
    """Payload of `opportunities.updated`."""

    top_symbols: list[str]  #: best first
    scores: dict[str, float]
    criteria: dict[str, Any] = Field(default_factory=dict)
    excluded_count: int = 0


class TradeExecuted(Payload):
    """Payload of `trade.executed`."""

    order_id: str
    symbol: str
    side: Side
    size: float  #: units of the symbol
    price: float  #: of one unit, in the account's currency
    strategy_id: str
    model: str
    pnl: float | None = None  #: in the account's currency, for closing trades


class PolicyUpdatedEvent(Event[PolicyUpdated], type="policy.updated", source="msc_ai"):
    """Change of policy by MSC AI; Orchestrator, Risk Guard and Portfolio Balancer listen."""

    @classmethod
    def create(
        cls,
        *,
        risk_mode: RiskMode | str,
        allowed_strategies: list[str],
        global_min_confidence: float,
        max_risk_per_trade: float,
        max_positions: int,
    ) -> Self:
        return cls._of({
            "risk_mode": risk_mode, "allowed_strategies": allowed_strategies,
            "global_min_confidence": global_min_confidence,
            "max_risk_per_trade": max_risk_per_trade, "max_positions": max_positions,
        })  # fmt: skip


class StrategyPromotedEvent(Event[StrategyPromoted], type="strategy.promoted", source="sg_ai"):
    """Promotion of a strategy by SG AI; Strategy Runtime Engine, Analytics and Logger listen."""

    @classmethod
    def create(
        cls,
        *,
        strategy_id: str,
        from_stage: Stage | str,
        to_stage: Stage | str,
        reason: str = "",
        metrics: Mapping[str, Any] = NOTHING,
    ) -> Self:
        return cls._of({
            "strategy_id": strategy_id, "from_stage": from_stage, "to_stage": to_stage,
            "reason": reason, "metrics": metrics,
        })  # fmt: skip


class ModelPromotedEvent(Event[ModelPromoted], type="model.promoted", source="clm"):
    """New model version put to work by CLM; Ensemble Manager and Analytics listen."""

    @classmethod
    def create(
        cls,
        *,
        model_name: str,
        old_version: str | None,
        new_version: str,
        metrics: Mapping[str, Any] = NOTHING,
        shadow_performance: Mapping[str, Any] = NOTHING,
    ) -> Self:
        return cls._of({
            "model_name": model_name, "old_version": old_version, "new_version": new_version,
            "metrics": metrics, "shadow_performance": shadow_performance,
        })  # fmt: skip


class HealthStatusChangedEvent(
    Event[HealthStatusChanged], type="health.status_changed", source="system_health_monitor"
):
    """Change of health seen by System Health Monitor.

    Discord Notifier, Safety Governor and Logger listen.
    """

    @classmethod
    def create(
        cls,
        *,
        old_status: HealthStatus | str,
        new_status: HealthStatus | str,
        component: str,
        reason: str,
        metrics: Mapping[str, Any] = NOTHING,
    ) -> Self:
        return cls._of({
            "old_status": old_status, "new_status": new_status, "component": component,
            "reason": reason, "metrics": metrics,
        })  # fmt: skip


class OpportunitiesUpdatedEvent(
    Event[OpportunitiesUpdated], type="opportunities.updated", source="opprank"
):
    """New ranking of symbols by OppRank; Strategy Runtime Engine and Executor listen."""

    @classmethod
    def create(
        cls,
        *,
        top_symbols: list[str],
        scores: dict[str, float],
        criteria: Mapping[str, Any] = NOTHING,
        excluded_count: int = 0,
    ) -> Self:
        return cls._of({
            "top_symbols": top_symbols, "scores": scores, "criteria": criteria,
            "excluded_count": excluded_count,
        })  # fmt: skip


class TradeExecutedEvent(Event[TradeExecuted], type="trade.executed", source="executor"):
    """Order filled for Executor; Analytics, Metrics Logger and Performance Tracker listen."""

    @classmethod
    def create(
        cls,
        *,
        order_id: str,
        symbol: str,
        side: Side | str,
        size: float,
        price: float,
        strategy_id: str,
        model: str,
        pnl: float | None = None,
    ) -> Self:
        return cls._of({
            "order_id": order_id, "symbol": symbol, "side": side, "size": size, "price": price,
            "strategy_id": strategy_id, "model": model, "pnl": pnl,
        })  # fmt: skip
