"""Event types of the reference have the payloads that it lists."""

import pytest

import qt_events
from qt_events import Event, PolicyUpdatedEvent, RiskMode

REFERENCE = {
    "policy.updated": [
        "risk_mode",
        "allowed_strategies",
        "global_min_confidence",
        "max_risk_per_trade",
        "max_positions",
    ],
    "strategy.promoted": ["strategy_id", "from_stage", "to_stage", "reason", "metrics"],
    "model.promoted": ["model_name", "old_version", "new_version", "metrics", "shadow_performance"],
    "health.status_changed": ["old_status", "new_status", "component", "reason", "metrics"],
    "opportunities.updated": ["top_symbols", "scores", "criteria", "excluded_count"],
    "trade.executed": [
        "order_id",
        "symbol",
        "side",
        "size",
        "price",
        "strategy_id",
        "model",
        "pnl",
    ],
}


@pytest.mark.parametrize("event_type", REFERENCE)
def test_the_reference(event_type: str) -> None:
    """Each event type of the reference has exactly the payload fields that are listed there."""
    classes = [
        value
        for value in vars(qt_events).values()
        if isinstance(value, type) and issubclass(value, Event)
    ]
    [cls] = [cls for cls in classes if cls.event_type == event_type]
    assert cls.payload_model is not None
    assert list(cls.payload_model.model_fields) == REFERENCE[event_type]


def test_payloads_compare_as_the_reference_names_them() -> None:
    """`event.payload["risk_mode"] == "DEFENSIVE"` and `event.payload.risk_mode` both work."""
    event = PolicyUpdatedEvent.create(
        risk_mode="DEFENSIVE",
        allowed_strategies=[],
        global_min_confidence=0.5,
        max_risk_per_trade=0.01,
        max_positions=1,
    )
    assert event.payload["risk_mode"] == "DEFENSIVE"
    assert event.payload.risk_mode is RiskMode.DEFENSIVE
