"""Events and fates as a history keeps them, made for tests."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from qt_events.delivery.telling.fates import Fate
from qt_events.events.cloudevents import CONTENT_TYPE
from qt_events.events.raw import RawEvent

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def raw(id: str = "1", type: str = "trade.executed", **attributes: Any) -> RawEvent:
    """Return an event whose body says the same as its attributes."""
    given: dict[str, Any] = {
        "source": "tests",
        "time": NOON,
        "correlation_id": id,
        "causation_id": None,
    }
    given |= attributes
    document = {
        "specversion": "1.0",
        "id": id,
        "source": given["source"],
        "type": type,
        "time": given["time"].isoformat(),
        "correlationid": given["correlation_id"],
        "causationid": given["causation_id"],
        "data": {"size": 10},
    }
    own: dict[str, Any] = {"body": json.dumps(document).encode(), "content_type": CONTENT_TYPE}
    return RawEvent(type=type, id=id, **(own | given))


def many(count: int, first: int = 0) -> list[RawEvent]:
    """Return events a second apart; the first one's id is `first`."""
    return [
        raw(str(number), time=NOON + timedelta(seconds=number))
        for number in range(first, first + count)
    ]


def fate(event_id: str = "1", subscription: str = "risk_guard", **fields: Any) -> Fate:
    """Return the fate of an attempt that went well."""
    given: dict[str, Any] = {
        "event_source": "tests",
        "event_type": "trade.executed",
        "attempt": 1,
        "at": NOON,
        "seconds": 0.25,
        "worker": "host:1",
        "outcome": "done",
        "reason": "",
        "message": "",
        "delay": None,
        "replayed": False,
    }
    return Fate(event_id=event_id, subscription=subscription, **(given | fields))
