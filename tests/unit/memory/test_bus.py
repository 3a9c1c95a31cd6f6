"""InMemoryEventBus: its Protocol and its options. The contract itself is in tests/contract."""

from typing import Any

import pytest

from qt_events.bus import EventBus
from qt_events.errors import InvalidOptionError
from qt_events.memory import InMemoryEventBus


def test_it_is_an_event_bus() -> None:
    """InMemoryEventBus fulfils the Protocol."""
    assert isinstance(InMemoryEventBus(), EventBus)


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_queue_size": 0},
        {"max_queue_size": True},
        {"max_queue_size": 1.5},
        {"max_workers": 0},
        {"publish_timeout": 0},
        {"publish_timeout": float("inf")},
        {"grace": -1},
        {"slow_after": "1"},
    ],
)
def test_a_limit_out_of_its_range_is_refused_by_name(arguments: dict[str, Any]) -> None:
    """Each limit is checked where it is given."""
    with pytest.raises(InvalidOptionError, match=next(iter(arguments))):
        InMemoryEventBus(**arguments)
