"""The scheme of a URL names its backend."""

from typing import Any

import pytest

from qt_events.bus import scheme_of


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("amqp://h", "amqp"),
        ("AMQPS://u:p@[::1", "amqps"),
        ("sqla+postgresql://h", "sqla+postgresql"),
        ("nats-js.2://h", "nats-js.2"),
        ("u:p@h://", ""),
        ("pass word://", ""),
        ("h:5672", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_a_malformed_url_has_a_scheme_too(url: Any, expected: str) -> None:
    """Except where it could be a piece of a password."""
    assert scheme_of(url) == expected
