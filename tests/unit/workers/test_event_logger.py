import logging
from typing import TYPE_CHECKING

import pytest

from qt_events import Event
from workers.event_logger import EventLogger

if TYPE_CHECKING:
    from tests.unit.workers.conftest import Scene


async def test_logs_every_event_whatever_its_type(scene: "Scene", caplog: pytest.LogCaptureFixture) -> None:
    """One line each, with the ids that tie it to others."""
    caplog.set_level(logging.INFO, "workers.event_logger")
    EventLogger(scene.bus)
    event: Event = Event("unheard.of", None, {"n": 1}, source="test")
    await scene.say(event, Event("another"))
    assert caplog.messages[0] == f"unheard.of from test, id {event.id}, correlation {event.id}"
    assert len(caplog.messages) == 2
