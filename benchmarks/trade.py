"""Payload of all contenders: a trade of 250 bytes of JSON, validated by pydantic on both sides."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict

#: Unacknowledged messages of a consumer: the default of qt_events, given to all contenders.
PREFETCH = 100
#: Publishes that have begun and are not confirmed.
IN_FLIGHT = 100
#: Seconds that a waiting handler waits.
WAIT = 0.01


class Side(StrEnum):
    """Side of a trade."""

    BUY = "BUY"
    SELL = "SELL"


class TradeExecuted(BaseModel):
    """Event as a peer's users write it: id, time, and the fields of qt_events' TradeExecuted."""

    model_config = ConfigDict(frozen=True)

    event_id: UUID
    occurred_at: datetime
    order_id: str
    symbol: str
    side: Side
    size: float
    price: float
    strategy_id: str
    model: str
    pnl: float | None = None

    @classmethod
    def new(cls, number: int) -> Self:
        """Make the event of this number."""
        return cls(event_id=uuid4(), occurred_at=datetime.now(UTC), **fields(number))


@dataclass(frozen=True)
class PlainTrade:
    """The same event as a dataclass, which checks nothing."""

    event_id: UUID
    occurred_at: datetime
    order_id: str
    symbol: str
    side: str
    size: float
    price: float
    strategy_id: str
    model: str
    pnl: float | None = None

    @classmethod
    def new(cls, number: int) -> Self:
        """Make the event of this number."""
        return cls(event_id=uuid4(), occurred_at=datetime.now(UTC), **fields(number))


def fields(number: int) -> dict[str, Any]:
    """Return the fields of a trade."""
    return {
        "order_id": f"ord-{number:09d}",
        "symbol": "ES",
        "side": "BUY",
        "size": 3.0,
        "price": 5011.25,
        "strategy_id": "mean-reversion-7",
        "model": "gpt-alpha-3",
        "pnl": None,
    }


def number_of(order_id: str) -> int:
    """Return the number that was given to `fields`."""
    return int(order_id[-9:])
