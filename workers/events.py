"""Quantum Trader's own events beside the six of qt_events: a trading day's phases, and an order's way."""

from datetime import date

from qt_events import Event, Payload, Side


class MarketClosed(Payload):
    """Payload of `market.closed`."""

    day: date
    closes: dict[str, float]  #: symbol -> close price


class MarketClosedEvent(Event[MarketClosed], type="market.closed", source="market_feed"):
    """A trading day's prices; the analysts decide on them."""


class TradingDay(Payload):
    """Payload of `trading.opened` and `trading.closed`."""

    day: date


class TradingOpenedEvent(Event[TradingDay], type="trading.opened", source="market_feed"):
    """The analysts are done with this day's prices; Orchestrator plans."""


class TradingClosedEvent(Event[TradingDay], type="trading.closed", source="market_feed"):
    """This day's orders are filled or refused; Performance Tracker reports."""


class TradingPlanned(Payload):
    """Payload of `trading.planned`."""

    day: date
    strategy_id: str | None  #: None: hold nothing
    model: str
    max_positions: int
    position_share: float  #: of equity, for each position


class TradingPlannedEvent(Event[TradingPlanned], type="trading.planned", source="orchestrator"):
    """What to trade by today; Executor makes orders of it."""


class Order(Payload):
    """Payload of `order.requested` and `order.approved`."""

    order_id: str
    symbol: str
    side: Side
    size: int  #: units of the symbol
    price: float
    share: float  #: of equity that the order is worth
    confidence: float  #: 0 to 1
    strategy_id: str
    model: str


class OrderRequestedEvent(Event[Order], type="order.requested", source="executor"):
    """Executor would like to; Risk Guard answers."""


class OrderApprovedEvent(Event[Order], type="order.approved", source="risk_guard"):
    """Executor may."""


class OrderRefused(Order):
    """Payload of `order.refused`."""

    reason: str


class OrderRefusedEvent(Event[OrderRefused], type="order.refused", source="risk_guard"):
    """Executor may not."""


class PerformanceReported(Payload):
    """Payload of `performance.reported`."""

    day: date
    equity: float  #: in the account's currency, to the cent
    drawdown: float  #: of equity below its highest so far: 0 to -1
    trades: int  #: so far


class PerformanceReportedEvent(Event[PerformanceReported], type="performance.reported", source="performance_tracker"):
    """The day's result; Health Monitor watches it."""
