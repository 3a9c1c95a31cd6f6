"""Steps of a trading day as events, beside the six events of qt_events.

market.closed           prices of the day
policy.analyzed, strategy.analyzed, model.analyzed, opportunities.analyzed
                        reports of the analysts
trading.opened          all analysts have reported
signals.generated       symbols that each live strategy would hold
signals.scored          the same, by the best model
trading.planned         signals of the strategy that the policy allows
trading.cleared         the plan, with a halt if there is one
orders.requested        orders that follow the plan
orders.approved         orders within the policy
trading.closed          all trades of the day are published
performance.reported    result of the day
health.checked          result with the system's health: the day is over

A step happens once a day, so its id is made of its type and day: published again, after a crash, it
is the same event.
"""

import uuid
from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

from qt_events import (
    Event,
    HealthStatus,
    HealthStatusChangedEvent,
    ModelPromotedEvent,
    OpportunitiesUpdatedEvent,
    Payload,
    PolicyUpdatedEvent,
    Side,
    StrategyPromotedEvent,
)

E = TypeVar("E", bound=Event[Any])

#: Namespace of the ids made here.
_NAMESPACE = uuid.UUID("6f1c6f0e-4b7e-5b57-9a52-3a5c1f3b7d10")


def with_fixed_id(event: E, *what: object) -> E:
    """Return the event with an id made of its type and of `what` distinguishes it.

    For events that happen only once: published again, after a crash, it has the same id.
    """
    return event.replace(id=str(uuid.uuid5(_NAMESPACE, "/".join(map(str, (event.type, *what))))))


class MarketClosed(Payload):
    """Payload of `market.closed`."""

    day: date
    closes: dict[str, float]  #: symbol -> close price


class MarketClosedEvent(Event[MarketClosed], type="market.closed", source="market_feed"):
    """Prices of one trading day. The analysts read earlier ones from the store."""


class Step(Payload):
    """Payload of a step of a trading day, with the announcements that it rests on.

    workers/system/announcements.py describes these.
    """

    day: date
    rests_on: dict[str, str]  #: announcement, as `type/key` -> id of the event that made it


class AnalyzedEvent(Event[Step]):
    """Report that an analyst has announced all its conclusions from a day's prices.

    Each analyst has a type of its own, which only it may publish on the broker.
    """

    #: Announcement of the same producer. `rests_on` may name no others.
    announces: ClassVar[type[Event[Any]]]


class PolicyAnalyzedEvent(AnalyzedEvent, type="policy.analyzed", source="msc_ai"):
    """Report of MSC AI."""

    announces = PolicyUpdatedEvent


class StrategyAnalyzedEvent(AnalyzedEvent, type="strategy.analyzed", source="sg_ai"):
    """Report of SG AI."""

    announces = StrategyPromotedEvent


class ModelAnalyzedEvent(AnalyzedEvent, type="model.analyzed", source="clm"):
    """Report of CLM."""

    announces = ModelPromotedEvent


class OpportunitiesAnalyzedEvent(AnalyzedEvent, type="opportunities.analyzed", source="opprank"):
    """Report of OppRank."""

    announces = OpportunitiesUpdatedEvent


#: Report of each analyst, by the announcement that it makes.
ANALYZED: Mapping[type[Event[Any]], type[AnalyzedEvent]] = MappingProxyType(
    {
        each.announces: each
        for each in (
            PolicyAnalyzedEvent,
            StrategyAnalyzedEvent,
            ModelAnalyzedEvent,
            OpportunitiesAnalyzedEvent,
        )
    }
)


class TradingOpenedEvent(Event[Step], type="trading.opened", source="market_feed"):
    """Start of trading, when all analysts have reported.

    All later steps rest on their announcements.
    """


class Signal(Payload):
    """Symbols that a strategy would hold, best first."""

    strategy_id: str
    confidence: dict[str, float]  #: symbol -> 0 to 1


class SignalsGenerated(Step):
    """Payload of `signals.generated`."""

    signals: list[Signal]  #: of each live strategy


class SignalsGeneratedEvent(
    Event[SignalsGenerated], type="signals.generated", source="strategy_runtime_engine"
):
    """Signals of the live strategies."""


class SignalsScored(SignalsGenerated):
    """Payload of `signals.scored`."""

    model: str  #: name and version


class SignalsScoredEvent(Event[SignalsScored], type="signals.scored", source="ensemble_manager"):
    """The same signals, with confidence by the best model."""


class Plan(Step):
    """Payload of `trading.planned`."""

    strategy_id: str | None  #: None to hold nothing
    model: str
    confidence: dict[str, float]  #: symbol -> 0 to 1, best first


class TradingPlannedEvent(Event[Plan], type="trading.planned", source="orchestrator"):
    """Plan that the day's orders follow."""


class ClearedPlan(Plan):
    """Payload of `trading.cleared`."""

    halted: bool  #: True to buy nothing


class TradingClearedEvent(Event[ClearedPlan], type="trading.cleared", source="safety_governor"):
    """Plan, with a halt if there is one."""


class Order(Payload):
    """Order to buy or sell at the day's close."""

    order_id: str
    symbol: str
    side: Side
    size: int  #: units of the symbol
    price: float
    share: float  #: of equity that the order is worth
    confidence: float  #: 0 to 1
    strategy_id: str
    model: str


class OrdersRequested(Step):
    """Payload of `orders.requested`."""

    orders: list[Order]


class OrdersRequestedEvent(
    Event[OrdersRequested], type="orders.requested", source="portfolio_balancer"
):
    """Orders that lead from the positions held to the plan; Risk Guard answers."""


class OrdersApproved(OrdersRequested):
    """Payload of `orders.approved`."""

    refused: dict[str, str]  #: order id -> reason


class OrdersApprovedEvent(Event[OrdersApproved], type="orders.approved", source="risk_guard"):
    """Orders within the policy; there may be none."""


class TradingClosed(Payload):
    """Payload of `trading.closed`."""

    day: date
    trades: int  #: of this day


class TradingClosedEvent(Event[TradingClosed], type="trading.closed", source="executor"):
    """End of trading. The trades of the day were published before."""


class PerformanceReported(Payload):
    """Payload of `performance.reported`."""

    day: date
    equity: float  #: in the account's currency, to the cent
    drawdown: float  #: of equity below its highest so far: 0 to -1
    largest_drawdown: float  #: of all days so far
    trades: int  #: so far


class PerformanceReportedEvent(
    Event[PerformanceReported], type="performance.reported", source="performance_tracker"
):
    """Result of the day; System Health Monitor hears it."""


class HealthChecked(PerformanceReported):
    """Payload of `health.checked`."""

    status: HealthStatus
    rests_on: dict[str, str]  #: as in Step


class HealthCheckedEvent(
    Event[HealthChecked], type="health.checked", source="system_health_monitor"
):
    """Result of the day with the system's health; it ends the day."""

    announces: ClassVar[type[Event[Any]]] = HealthStatusChangedEvent  #: as in AnalyzedEvent


def order_id(day: date, symbol: str) -> str:
    """Return the id of the day's order for a symbol; there is at most one."""
    return f"{day:%Y%m%d}-{symbol}"


def day_of(order_id: str) -> date:
    """Return the trading day of an order. `trade.executed` has no field for it."""
    return date.fromisoformat(order_id[:8])


def as_json(payload: Payload) -> dict[str, Any]:
    """Return the payload as JSON has it."""
    return payload.model_dump(mode="json")
