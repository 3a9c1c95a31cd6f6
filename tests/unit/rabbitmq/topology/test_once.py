"""Once: what nobody waits for is asked for now and then, not with each event."""

from unittest.mock import Mock

import pytest

from qt_events.rabbitmq.topology import once
from qt_events.rabbitmq.topology.once import Once


def test_what_nobody_waits_for_is_due_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """A publisher that is blocked would have a request for each event that may expire."""
    now = 100.0
    monkeypatch.setattr(once, "monotonic", lambda: now)
    dead_letters = Once("dead letters of 'audit'", Mock())
    assert [dead_letters.is_due() for _ in range(3)] == [True, False, False]
    now += 10
    assert dead_letters.is_due()
    now += 10
    dead_letters.make(Mock(), epoch=1)
    assert not dead_letters.is_due()
