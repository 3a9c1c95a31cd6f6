"""create_event_bus(url): which backend a URL means, and what it says of one that means none."""

from typing import Any

import pytest

from qt_events.bus import create_event_bus
from qt_events.errors import InvalidOptionError, InvalidUrlError
from qt_events.memory import InMemoryEventBus


def test_memory() -> None:
    """memory:// with the options of InMemoryEventBus."""
    bus = create_event_bus("memory://", max_queue_size=7)
    assert isinstance(bus, InMemoryEventBus)
    assert bus.max_queue_size == 7


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:secret@h",
        "amqp://u:secret@[::1",
        "amqp://u:secret@\u2100",
        "amqp://u:secret@h:port",
        "amqp://u:secret@",
        "secret",
        "",
        5,
        None,
    ],
)
def test_a_url_that_means_no_backend_is_refused_without_its_password(url: Any) -> None:
    """The error is ours, says what to write, and does not show a password."""
    with pytest.raises(InvalidUrlError, match="amqp://user:password@host") as caught:
        create_event_bus(url)
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "option", "backend"),
    [
        ("memory://", "prefix", "InMemoryEventBus"),
        ("amqp://guest@h", "clock", "CeleryEventBus"),
        ("amqp://guest@h", "app", "CeleryEventBus"),
    ],
)
def test_an_option_that_the_backend_does_not_have_is_refused_by_name(
    url: str, option: str, backend: str
) -> None:
    """The error names the option and the backend, and what there is instead."""
    with pytest.raises(InvalidOptionError, match=rf"{backend}.*'{option}'.*max_queue_size"):
        create_event_bus(url, **{option: None})
