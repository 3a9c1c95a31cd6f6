import pytest

from qt_events import (
    Event,
    HealthStatusChangedEvent,
    ModelPromotedEvent,
    Stage,
    StrategyPromotedEvent,
)
from tests.unit.workers.harness import Harness
from workers.system.listeners.event_logger import EventLogger

LOGGER = "workers.system.listeners.event_logger"


async def test_logs_changes_of_stages_and_of_health(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    """A change is one line with the whole payload; other events are not logged."""
    caplog.set_level("INFO", LOGGER)
    EventLogger(harness.bus, harness.store)
    await harness.publish(
        StrategyPromotedEvent.create(
            strategy_id="core", from_stage=Stage.SHADOW, to_stage=Stage.LIVE
        ),
        ModelPromotedEvent.create(model_name="XGBoost", old_version=None, new_version="v1"),
        HealthStatusChangedEvent.create(
            old_status="HEALTHY", new_status="CRITICAL", component="Feed", reason="late"
        ),
        Event("unheard.of"),
    )
    first, second = (each.getMessage() for each in caplog.records if each.name == LOGGER)
    assert first.startswith("strategy.promoted from sg_ai: ")
    assert "'strategy_id': 'core'" in first
    assert second.startswith("health.status_changed from system_health_monitor: ")
    assert "'component': 'Feed'" in second
