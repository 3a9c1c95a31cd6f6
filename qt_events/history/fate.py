"""Fate: what became of one attempt (until `qt_events.delivery.fates` is merged)."""

from datetime import datetime
from typing import NamedTuple


class Fate(NamedTuple):
    event_id: str
    event_source: str
    event_type: str
    subscription: str
    attempt: int
    at: datetime
    seconds: float
    worker: str
    outcome: str
    reason: str = ""
    message: str = ""
    delay: float | None = None
    replayed: bool = False
