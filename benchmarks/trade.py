"""What all contenders carry: a trade as an event, about 250 bytes of JSON, validated by pydantic on both sides."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict

PREFETCH = (
    100  #: unacknowledged messages a consumer holds: the default of qt_events, so everybody's
)
IN_FLIGHT = 100  #: publishes that have begun and are not confirmed
WAIT = 0.01  #: seconds that a handler waits which waits


class Side(StrEnum):
    """Of a trade."""

    BUY = "BUY"
    SELL = "SELL"


class TradeExecuted(BaseModel):
    """As a peer's users write it: an id and a time, and the fields of qt_events' own TradeExecuted."""

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
        """One more."""
        return cls(event_id=uuid4(), occurred_at=datetime.now(UTC), **fields(number))


def fields(number: int) -> dict[str, Any]:
    """A trade's own."""
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
    """The number that `fields` was given."""
    return int(order_id[-9:])
