"""Quantum Trader's own events beside the six of qt_events: the steps of a trading day.

    market.closed      the feed's prices
    policy.analyzed, strategy.analyzed, model.analyzed, opportunities.analyzed
                       each analyst is done with them
    trading.opened     the feed has heard all analysts
    signals.generated  what each live strategy would hold
    signals.scored     the same, by the model at work
    trading.planned    the strategy that the policy allows
    trading.cleared    with the Safety Governor's leave
    orders.requested   what to buy and sell for it
    orders.approved    what of that is within the policy
    trading.closed     all trades of the day are told
    performance.reported
    health.checked     the day is over

A step happens once a day, so its id is made of what it is: whoever tells it again, after a crash, tells the same.
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

_ONCE = uuid.UUID("6f1c6f0e-4b7e-5b57-9a52-3a5c1f3b7d10")  # namespace of the ids made here


def once(event: E, *what: object) -> E:
    """The event with the id of something that happens only once: its type, and what tells it from others of it."""
    return event.replace(id=str(uuid.uuid5(_ONCE, "/".join(map(str, (event.type, *what))))))


class MarketClosed(Payload):
    """Payload of `market.closed`."""

    day: date
    closes: dict[str, float]  #: symbol -> close price


class MarketClosedEvent(Event[MarketClosed], type="market.closed", source="market_feed"):
    """A trading day's prices. The analysts read them in the store, with those before."""


class Step(Payload):
    """A step of a trading day, and the announcements that it rests on: see announcements.py."""

    day: date
    rests_on: dict[str, str]  #: announcement, as `type/key` -> id of the event that made it


class AnalyzedEvent(Event[Step]):
    """An analyst is done with a day's prices; what it has to say it has said.

    Each has a type of its own, which the broker lets nobody else publish: nobody is done in another's name.
    """

    announces: ClassVar[
        type[Event[Any]]
    ]  #: what its producer has to say, and all that it may name in `rests_on`


class PolicyAnalyzedEvent(AnalyzedEvent, type="policy.analyzed", source="msc_ai"):
    """MSC AI is done."""

    announces = PolicyUpdatedEvent


class StrategyAnalyzedEvent(AnalyzedEvent, type="strategy.analyzed", source="sg_ai"):
    """SG AI is done."""

    announces = StrategyPromotedEvent


class ModelAnalyzedEvent(AnalyzedEvent, type="model.analyzed", source="clm"):
    """CLM is done."""

    announces = ModelPromotedEvent


class OpportunitiesAnalyzedEvent(AnalyzedEvent, type="opportunities.analyzed", source="opprank"):
    """OppRank is done."""

    announces = OpportunitiesUpdatedEvent


#: By what the analyst announces.
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
    """All analysts are done; what follows rests on all that they said."""


class Signal(Payload):
    """What a strategy would hold, best first."""

    strategy_id: str
    confidence: dict[str, float]  #: symbol -> 0 to 1


class SignalsGenerated(Step):
    """Payload of `signals.generated`."""

    signals: list[Signal]  #: of each live strategy


class SignalsGeneratedEvent(
    Event[SignalsGenerated], type="signals.generated", source="strategy_runtime_engine"
):
    """Strategy Runtime Engine's part of the day."""


class SignalsScored(SignalsGenerated):
    """Payload of `signals.scored`."""

    model: str  #: name and version


class SignalsScoredEvent(Event[SignalsScored], type="signals.scored", source="ensemble_manager"):
    """The same signals, with the confidence of the model at work."""


class Plan(Step):
    """Payload of `trading.planned`."""

    strategy_id: str | None  #: None: hold nothing
    model: str
    confidence: dict[str, float]  #: symbol -> 0 to 1, best first


class TradingPlannedEvent(Event[Plan], type="trading.planned", source="orchestrator"):
    """What to trade by today."""


class ClearedPlan(Plan):
    """Payload of `trading.cleared`."""

    halted: bool  #: buy nothing


class TradingClearedEvent(Event[ClearedPlan], type="trading.cleared", source="safety_governor"):
    """The plan, and whether it may lead to new positions."""


class Order(Payload):
    """A wish to buy or sell, at the day's close."""

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
    """What the plan comes to; Risk Guard answers."""


class OrdersApproved(OrdersRequested):
    """Payload of `orders.approved`."""

    refused: dict[str, str]  #: order id -> why


class OrdersApprovedEvent(Event[OrdersApproved], type="orders.approved", source="risk_guard"):
    """What may be executed, none to all of it."""


class TradingClosed(Payload):
    """Payload of `trading.closed`."""

    day: date
    trades: int  #: of this day


class TradingClosedEvent(Event[TradingClosed], type="trading.closed", source="executor"):
    """The day's orders are executed; each trade was told before."""


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
    """The day's result; Health Monitor watches it."""


class HealthChecked(PerformanceReported):
    """Payload of `health.checked`."""

    status: HealthStatus
    rests_on: dict[str, str]  #: as in Step


class HealthCheckedEvent(
    Event[HealthChecked], type="health.checked", source="system_health_monitor"
):
    """The day is over, and this is what it came to."""

    announces: ClassVar[type[Event[Any]]] = HealthStatusChangedEvent  #: as in AnalyzedEvent


def order_id(day: date, symbol: str) -> str:
    """An order's id: one a day and symbol."""
    return f"{day:%Y%m%d}-{symbol}"


def day_of(order_id: str) -> date:
    """The trading day of an order, which `trade.executed` does not name."""
    return date.fromisoformat(order_id[:8])


def plain(payload: Payload) -> dict[str, Any]:
    """The payload as JSON has it."""
    return payload.model_dump(mode="json")
