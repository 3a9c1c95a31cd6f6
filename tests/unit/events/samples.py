"""Payload and event as a user writes them, a policy of the catalog, and bodies from the wire."""

import json
from typing import Any

from qt_events.events.event import Event
from qt_events.events.payload import Payload
from qt_events.events.quantum_trader import PolicyUpdatedEvent, RiskMode


class PriceAlert(Payload):
    price: float
    tags: list[str] = []  # noqa: RUF012  # as a user of pydantic writes it
    limits: dict[str, list[float]] = {}  # noqa: RUF012


class PriceAlertEvent(Event[PriceAlert], type="unit.price_alert"): ...


def policy(**changes: Any) -> PolicyUpdatedEvent:
    fields: dict[str, Any] = {
        "risk_mode": RiskMode.NORMAL,
        "allowed_strategies": ["s1"],
        "global_min_confidence": 0.7,
        "max_risk_per_trade": 0.02,
        "max_positions": 5,
    }
    return PolicyUpdatedEvent.create(**{**fields, **changes})


def cloud_event(**changes: Any) -> bytes:
    """Return the body of a CloudEvent with these attributes; `...` leaves one out."""
    document = {"specversion": "1.0", "id": "i", "source": "s", "type": "unit.codec", "data": {}}
    return json.dumps({k: v for k, v in {**document, **changes}.items() if v is not ...}).encode()
