"""A conversation for tests: a quote, what it led to, and what became of each event."""

from datetime import timedelta

from qt_events.delivery.telling.fates import Fate
from qt_events.events.raw import RawEvent
from tests.support.stored import NOON, fate, raw

QUOTE, SIGNAL, ORDER, TRADE = "quote-1", "signal-1", "order-1", "trade-1"


def events() -> list[RawEvent]:
    """Return a chain of four, recorded in another order than they were caused."""
    return [
        _event(QUOTE, "quote.received", None, 0),
        _event(ORDER, "order.placed", SIGNAL, 3),
        _event(SIGNAL, "signal.raised", QUOTE, 1),
        # Its producer's clock is an hour behind.
        _event(TRADE, "trade.executed", ORDER, -3600),
    ]


def _event(id: str, type: str, cause: str | None, second: float) -> RawEvent:
    time = NOON + timedelta(seconds=second)
    return raw(id, type, correlation_id=QUOTE, causation_id=cause, time=time)


def fates() -> list[Fate]:
    """Return fates: done, retried and then done, dead, and waiting for a third attempt."""
    failed = {"reason": "TimeoutError", "message": "no answer"}
    return [
        fate(QUOTE, "strategy"),
        fate(SIGNAL, "router", outcome="retried", delay=5.0, **failed),
        fate(SIGNAL, "router", attempt=2, at=NOON + timedelta(seconds=5.5)),
        fate(ORDER, "exchange"),
        fate(ORDER, "audit", outcome="dead", reason="exhausted", message="no room"),
        fate(TRADE, "ledger"),
        fate(TRADE, "reports"),
        fate(TRADE, "webhook", outcome="filtered", seconds=None),
        fate(TRADE, "risk_guard", outcome="retried", delay=5.0, **failed),
        fate(
            TRADE, "risk_guard", attempt=2, at=NOON + timedelta(seconds=6), outcome="retried",
            delay=244.0, **failed,
        ),
    ]  # fmt: skip
